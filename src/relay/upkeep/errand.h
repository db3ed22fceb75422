/*-------------------------------------------------------------------------
 *
 * errand.h
 *	  Cursors are marked, and errands of backends done.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say in each cursor whose it is; ask Redis what a backend wants to know
 *	  of the cursors of others.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none but the link's.
 * Errors: none thrown.
 * Locks: OutboxShared.lock, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ERRAND_H
#define OUTBOX_RELAY_ERRAND_H

#include "outbox.h"

#include "redis/reply.h"
#include "relay/base/state.h"
#include "clock.h"

/* mark some cursors that have not been marked lately; true if some are left */
extern bool outbox_mark_cursors(Relay *relay, OutboxTime now);

/* send what a backend asks, or tell it why that can't be sent */
extern void outbox_run_errand(Relay *relay);

/* hand the answer to the backend */
extern void outbox_errand_answer(Relay *relay, const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_ERRAND_H */
