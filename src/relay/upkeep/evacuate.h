/*-------------------------------------------------------------------------
 *
 * evacuate.h
 *	  Copy rows of queues that stand still out of a staging table, so that the
 *	  table can be emptied.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep messages that wait when their table is truncated.
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

/* true if the queue has stood still for a while, so that it may be evacuated */
extern bool outbox_may_evacuate(const RelayQueue *queue);

/*
 * Copy rows of queues that may be evacuated from a table: the next rows; or,
 * with the table locked, all that have not been copied.  True if all are copied.
 */
extern bool outbox_evacuate_some(Relay *relay, int table);
extern bool outbox_evacuate_rest(Relay *relay, int table);

/* a staging table has been emptied */
extern void outbox_table_was_emptied(void);

#endif							/* OUTBOX_RELAY_EVACUATE_H */
