/*-------------------------------------------------------------------------
 *
 * skip.h
 *	  Batches that skip messages which Redis refuses, and their answers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: send a queue's plan so that messages which fail are skipped, and
 *	  record these.
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

/* true if the next batch of a queue that skips may be sent */
extern bool outbox_may_skip(const RelayQueue *queue, OutboxTime now);

/* send the next messages of the queue's plan, if there are any to be sent */
extern void outbox_send_skipping(Relay *relay, RelayQueue *queue,
								 OutboxStaging *staging);
extern void outbox_skip_answer(Relay *relay, const Request *request,
							   const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_SKIP_H */
