/*-------------------------------------------------------------------------
 *
 * mishap.h
 *	  An error in one thing that the relay does doesn't end the relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: catch an error, say so, and try that thing again later.
 * Process: relay.
 * Transaction: the open one is aborted.
 * Memory: static.
 * Errors: one that is caught is logged as a WARNING when it is another one than
 *	  before.
 * Locks: those of the aborted transaction are released.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MISHAP_H
#define OUTBOX_RELAY_MISHAP_H

#include "outbox.h"

#include "catalog.h"
#include "clock.h"
#include "relay/base/state.h"

/* something that may fail; a static variable for each */
typedef struct Mishap
{
	const char *what;			/* what can't be done: "outbox cannot ..." */
	OutboxTime	since;			/* when it first failed; 0: it has not */
	OutboxTime	not_before;		/* when it is tried again */
	int			failures;
	char		text[OUTBOX_OBSTACLE_SIZE];
} Mishap;

/* is it time to try? */
extern bool outbox_may_try(const Mishap *mishap, OutboxTime now);

/* it was done, or there was nothing to do */
extern void outbox_has_not_failed(Mishap *mishap, OutboxTime now);

/* it was done */
extern void outbox_is_done(Mishap *mishap);

/* in PG_CATCH(): end the error and its transaction; plan the next attempt */
extern void outbox_it_has_failed(Mishap *mishap, MemoryContext context);

/* in PG_CATCH(): the same, without a plan; returns the error's text */
extern char *outbox_end_error(MemoryContext context);

/* do something that is left for later if it fails; false then, too */
extern bool outbox_attempt(Mishap *mishap, bool (*what) (Relay *, OutboxTime),
						   Relay *relay, OutboxTime now);

/* returns what has failed longest; NULL if nothing has */
extern const Mishap *outbox_oldest_mishap(void);

#endif							/* OUTBOX_RELAY_MISHAP_H */
