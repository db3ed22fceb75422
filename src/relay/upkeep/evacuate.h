/*-------------------------------------------------------------------------
 *
 * evacuate.h
 *	  Find what Redis hasn't acknowledged of a staging table, and copy it for
 *	  queues that stand still, so that the table can be emptied.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep messages that wait when their table is emptied.
 * Process: relay.
 * Transaction: the caller's.
 * Memory: static, and a part of the queue; they hold snapshots.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on outbox.deferred, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_EVACUATE_H
#define OUTBOX_RELAY_EVACUATE_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"
#include "store/staging.h"

typedef struct QueueEvacuation
{
	/* for each table: the acknowledged position when its pass began */
	OutboxPosition then[OUTBOX_STAGING_TABLES];

	/* ... and since when its server was away; 0: it was not */
	int64		away[OUTBOX_STAGING_TABLES];
} QueueEvacuation;

/* how far a pass over a table has got */
typedef enum PassState
{
	PASS_MORE,					/* there are more rows, or it is to be tried
								 * again soon */
	PASS_WAITS,					/* for a row that will be delivered */
	PASS_DONE					/* every row is acknowledged, or its queue
								 * stands still */
} PassState;

extern void outbox_evacuation_init(RelayQueue *queue);
extern void outbox_evacuation_free(RelayQueue *queue);

/* true if Redis has acknowledged all rows of a table, for all queues */
extern bool outbox_all_acknowledged(Relay *relay, OutboxStaging *staging,
									int table);

/*
 * Go on with the pass over a table, for a bounded time.  With "copies", the rows
 * of queues that stand still are copied; a pass that has not copied any is begun
 * anew then.
 */
extern PassState outbox_pass_some(Relay *relay, OutboxStaging *staging,
								  int table, bool copies);

/*
 * With the table locked: has the pass copied every row that Redis hasn't
 * acknowledged?  If it never will, the pass is forgotten.
 */
extern bool outbox_pass_holds(Relay *relay, OutboxStaging *staging, int table);

/* the next pass over a table begins anew */
extern void outbox_forget_pass(int table);

#endif							/* OUTBOX_RELAY_EVACUATE_H */
