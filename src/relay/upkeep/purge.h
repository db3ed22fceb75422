/*-------------------------------------------------------------------------
 *
 * purge.h
 *	  Delete rows that have been kept long enough.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: remove evacuated and applied messages after the retention, and
 *	  shorten skip lists.
 * Process: relay.
 * Transaction: its own.
 * Memory: a part of the queue, which holds a snapshot.
 * Errors: those of SQL.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_PURGE_H
#define OUTBOX_RELAY_PURGE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"
#include "store/position.h"

typedef struct QueuePurge
{
	OutboxSnap *delivered;		/* evacuated rows that it sees are deleted ... */
	OutboxTime	at;				/* ... at this time, */
	uint64		cursor_reads;	/* if QueueCursor.reads is still this */
} QueuePurge;

extern void outbox_purge_init(RelayQueue *queue);
extern void outbox_purge_free(RelayQueue *queue);

/* delete what has been kept long enough; true if there is more */
extern bool outbox_purge(Relay *relay, OutboxTime now);

/* a staging table has been emptied: dead letters may leave their skip lists */
extern void outbox_want_unskip(void);

#endif							/* OUTBOX_RELAY_PURGE_H */
