/*-------------------------------------------------------------------------
 *
 * evacuate.h
 *	  Copy what standing queues have in a staging table, so that it can be
 *	  emptied.
 *
 * Purpose: move waiting messages out of the way of TRUNCATE.
 * Process: relay.
 * Transaction: the caller's.
 * Memory: a part of the queue.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on outbox.deferred, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_EVACUATE_H
#define OUTBOX_RELAY_EVACUATE_H

#include "outbox.h"

#include "relay/base/state.h"

/* how far the rows of a table have been copied */
typedef struct QueueEvacuation
{
	int			table;			/* -1: none is being copied */
	uint64		xid;
	uint64		seq;
} QueueEvacuation;

extern void outbox_evacuation_init(RelayQueue *queue);

/* has the queue stood still for a while, so that its rows may be copied? */
extern bool outbox_may_evacuate(const RelayQueue *queue);

/*
 * Copy what queues that stand still have in a table: the next rows; or all
 * that haven't been copied, with the table locked.  True if all is copied.
 */
extern bool outbox_evacuate_some(Relay *relay, int table);
extern bool outbox_evacuate_rest(Relay *relay, int table);

/* the table that was copied has been emptied */
extern void outbox_table_was_emptied(void);

#endif							/* OUTBOX_RELAY_EVACUATE_H */
