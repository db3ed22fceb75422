/*-------------------------------------------------------------------------
 *
 * skip.h
 *	  Go past messages that Redis refuses.
 *
 * Purpose: send a queue's plan so that what fails is skipped, and record it.
 * Process: relay.
 * Transaction: outbox_send_skipping() in the caller's; the answer has one of
 *	  its own.
 * Memory: a Request until its answer has been dealt with.
 * Errors: those of SQL and of reading rows; a WARNING for each dead letter.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SKIP_H
#define OUTBOX_RELAY_SKIP_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "store/staging.h"

/* may the next batch of a queue that skips be sent? */
extern bool outbox_may_skip(const RelayQueue *queue, OutboxTime now);

extern void outbox_send_skipping(Relay *relay, RelayQueue *queue,
								 OutboxStaging *staging);
extern void outbox_skip_answer(Relay *relay, const Request *request,
							   const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_SKIP_H */
