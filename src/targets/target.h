/*-------------------------------------------------------------------------
 *
 * target.h
 *	  How a message becomes arguments of the apply script.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one encoder for each target.
 * Process: relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TARGET_H
#define OUTBOX_TARGET_H

#include "outbox.h"

#include "targets/message_args.h"

/* returns the name of the script's branch for the queue's target */
extern const char *outbox_target_branch(const OutboxQueue *queue);

/* append one message, within a batch of the queue's */
extern void outbox_target_encode(OutboxArgs *args, const OutboxQueue *queue,
								 const OutboxMessage *msg);

/* append one message by itself: the number of its arguments, then these */
extern void outbox_target_encode_alone(OutboxArgs *args,
									   const OutboxQueue *queue,
									   const OutboxMessage *msg);

#endif							/* OUTBOX_TARGET_H */
