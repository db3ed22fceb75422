/*-------------------------------------------------------------------------
 *
 * json.h
 *	  A message as one JSON object, for lists and channels.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: encode messages for targets list and publish.
 * Process: relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JSON_H
#define OUTBOX_JSON_H

#include "outbox.h"

#include "targets/message_args.h"

/* append the object, one argument */
extern void outbox_encode_json(OutboxArgs *args, const OutboxQueue *queue,
							   const OutboxMessage *msg);

#endif							/* OUTBOX_JSON_H */
