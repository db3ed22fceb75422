/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  A message as an entry of a stream.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: encode messages for targets stream and watermill.
 * Process: relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_STREAM_H
#define OUTBOX_STREAM_H

#include "outbox.h"

#include "targets/message_args.h"

/* a field of Watermill's entries, so no header can have this name */
#define OUTBOX_WATERMILL_UUID "_watermill_message_uuid"

/* append a message to a run of messages with the same fields */
extern void outbox_encode_stream(OutboxArgs *args, const OutboxQueue *queue,
								 const OutboxMessage *msg);

/* append a message by itself: the number of arguments, then these */
extern void outbox_encode_stream_alone(OutboxArgs *args,
									   const OutboxQueue *queue,
									   const OutboxMessage *msg);

#endif							/* OUTBOX_STREAM_H */
