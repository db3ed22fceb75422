/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Try skipped messages again when they are due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: send retries, and record what has become of the messages.
 * Process: relay.
 * Transaction: outbox_send_retries() in the caller's; the answer has one of
 *	  its own.
 * Memory: a Request until its answer has been dealt with.
 * Errors: those of SQL; a WARNING for each dead letter.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RETRY_H
#define OUTBOX_RELAY_RETRY_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* true if skipped messages may be due */
extern bool outbox_wants_retry(const RelayQueue *queue, OutboxTime now);

/* ... and a retry may be sent, as nothing of the queue is under way */
extern bool outbox_may_retry(const RelayQueue *queue, OutboxTime now);

/* milliseconds until the next is due; LONG_MAX: no message is skipped */
extern long outbox_ms_until_retry(const RelayQueue *queue, OutboxTime now);

/* send messages that are due, in the caller's transaction */
extern void outbox_send_retries(Relay *relay, RelayQueue *queue);
extern void outbox_retry_answer(Relay *relay, const Request *request,
								const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_RETRY_H */
