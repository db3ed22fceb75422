/*-------------------------------------------------------------------------
 *
 * policy.h
 *	  What a queue does with a message that Redis refuses, or that is old.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decide according to a queue's settings.
 * Process: relay.  Pure: no catalog, no socket; clock and chance are arguments.
 * Transaction: none needed.
 * Memory: none.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_POLICY_H
#define OUTBOX_POLICY_H

#include "outbox.h"

/* is a message given up after this number of attempts? */
extern bool outbox_gives_up(const OutboxQueue *queue, int attempts);

/*
 * Returns the microseconds until the next attempt, after this number of
 * attempts.  chance is in [0, 1).
 */
extern int64 outbox_retry_delay(const OutboxQueue *queue, int attempts,
								double chance);

/* is a message too old to be delivered? */
extern bool outbox_is_expired(const OutboxQueue *queue,
							  TimestampTz enqueued_at, TimestampTz now);

#endif							/* OUTBOX_POLICY_H */
