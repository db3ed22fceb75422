/*-------------------------------------------------------------------------
 *
 * purge.h
 *	  Delete rows that have been kept long enough.
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
	OutboxSnap *delivered;		/* evacuated rows visible in it are deleted ... */
	OutboxTime	at;				/* ... then */
	uint64		cursor_reads;	/* as long as the cursor wasn't read again */
} QueuePurge;

extern void outbox_purge_init(RelayQueue *queue);
extern void outbox_purge_free(RelayQueue *queue);

/* true if there is more to do at once */
extern bool outbox_purge(Relay *relay, OutboxTime now);

/* staging has been emptied: dead letters may leave their skip lists */
extern void outbox_want_unskip(void);

#endif							/* OUTBOX_RELAY_PURGE_H */
