/*-------------------------------------------------------------------------
 *
 * asynq.h
 *	  A message as a task of asynq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: encode messages for target asynq.
 * Process: relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ASYNQ_H
#define OUTBOX_ASYNQ_H

#include "outbox.h"

#include "targets/message_args.h"

/* append the arguments of one message */
extern void outbox_encode_asynq(OutboxArgs *args, const OutboxQueue *queue,
								const OutboxMessage *msg);

#endif							/* OUTBOX_ASYNQ_H */
