/*-------------------------------------------------------------------------
 *
 * totals.h
 *	  Totals kept, and deferred messages counted.
 *
 * Purpose: keep what has become of queues' messages; count what is deferred
 *	  and dead.
 * Process: relay.
 * Transaction: outbox_read_totals() in the caller's, the rest its own.
 * Memory: a part of the queue; static.
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

typedef struct QueueTotals
{
	ShownTotals written;
	int64		delayed;		/* found so far, in the pass under way */
	int64		dead;
} QueueTotals;

/* makes the part, and the one of shown.h: what a former relay has counted */
extern void outbox_read_totals(RelayQueue *queue);

/* write those that have changed, if it is time or must be now */
extern void outbox_write_totals(Relay *relay, OutboxTime now, bool must);

/* has there been anything deferred or dead since the tables were vacuumed? */
extern bool outbox_anything_deferred(void);

/* go on with the passes that count */
extern void outbox_count_deferred(Relay *relay);

#endif							/* OUTBOX_RELAY_TOTALS_H */
