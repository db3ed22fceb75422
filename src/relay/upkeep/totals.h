/*-------------------------------------------------------------------------
 *
 * totals.h
 *	  Keep the totals of queues, and count deferred messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: store counts of delivered, refused and dead messages; count rows
 *	  that are delayed or dead.
 * Process: relay.
 * Transaction: outbox_totals_init() in the caller's; the rest has its own.
 * Memory: a part of the queue; some is static.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on outbox.queue_total, AccessShareLock on the other
 *	  tables, if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_TOTALS_H
#define OUTBOX_RELAY_TOTALS_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/shown.h"
#include "relay/base/state.h"

/* how often totals are written */
#define OUTBOX_TOTALS_INTERVAL_S 10

typedef struct QueueTotals
{
	bool		known;			/* what a former relay counted was added */
	ShownTotals written;		/* as they are in outbox.queue_total, */
	uint64		written_count;	/* ... with the count of the cursor */
	int64		delayed;		/* rows found so far by the pass under way */
	int64		dead;			/* likewise */
} QueueTotals;

/*
 * Make this part and that of shown.h, with what a former relay has counted.  If
 * the table is locked, that is added later.
 */
extern void outbox_totals_init(RelayQueue *queue);

/* the queue is the one that another one was, which has counted more since */
extern void outbox_totals_go_on(RelayQueue *queue, const RelayQueue *before);

/* write totals that have changed, if it is time to or they must be */
extern void outbox_write_totals(Relay *relay, OutboxTime now, bool must);

/* false if no row was deferred or dead since the tables were last vacuumed */
extern bool outbox_anything_deferred(void);

/* count the next rows of both passes */
extern void outbox_count_deferred(Relay *relay);

#endif							/* OUTBOX_RELAY_TOTALS_H */
