/*-------------------------------------------------------------------------
 *
 * asynq.h
 *	  A message as a task of asynq.
 *
 * Purpose: encode messages for target asynq.
 * Process: relay. Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's batch; scratch in the current context.
 * Errors: none of their own; what can't be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ASYNQ_H
#define OUTBOX_ASYNQ_H

#include "outbox.h"

#include "targets/message_args.h"

extern void outbox_encode_asynq(OutboxArgs *args, const OutboxQueue *queue,
								const OutboxMessage *msg);

#endif							/* OUTBOX_ASYNQ_H */
