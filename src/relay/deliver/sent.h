/*-------------------------------------------------------------------------
 *
 * sent.h
 *	  A batch under way, and what its answer says of the queue.
 *
 * Purpose: what all kinds of batches have in common.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a Request until its answer has been dealt with.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SENT_H
#define OUTBOX_RELAY_SENT_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/deliver/script.h"

/*
 * Send a call that expects the cursor where it will be when all that is under
 * way has been applied.  The call's own expectation isn't looked at.
 */
extern void outbox_send_call(RelayQueue *queue, const ScriptCall *call);

/* a batch was sent that moves the cursor to where the queue is */
extern Request *outbox_expect_batch(const Relay *relay, RequestKind kind,
									 RelayQueue *queue);

/* Redis has moved the cursor to the batch's position */
extern void outbox_batch_is_covered(RelayQueue *queue, const Request *request);

/* Redis has applied this number of the request's messages */
extern void outbox_batch_is_applied(Relay *relay, RelayQueue *queue,
									const Request *request, int count);

#endif							/* OUTBOX_RELAY_SENT_H */
