/*-------------------------------------------------------------------------
 *
 * state.h
 *	  The relay and its queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what all files of the relay share, and which file may change it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: Relay.context for the relay's life, RelayQueue.context for the
 *	  queue's; Relay.scratch is reset on every turn of the loop.
 * Errors: a thrown error ends the worker, which is started again and recovers
 *	  from Redis.
 * Locks: none.
 *
 * A queue consists of parts.  Each part is declared in the header of the file
 * that owns it, and only that file writes the part: all others see it as const.
 * The owner has a static function mine() that casts the const away; no other
 * file may do that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_STATE_H
#define OUTBOX_RELAY_STATE_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "convert.h"
#include "nodes/pg_list.h"
#include "shmem.h"

typedef struct RelayQueue
{
	MemoryContext context;		/* of this struct and its parts */
	struct Link *const link;	/* where it goes: its connection to Redis;
								 * outbox_queue_uses_link() changes it */
	struct Link *home;			/* ... unless it has one of its own, or has
								 * been moved just now: that of its server.
								 * servers.c, nodes.c and cluster.c change it */
	const char *cursor_key;
	int			slot;			/* of both its keys, in a cluster */

	/* relay/base */
	const OutboxQueue *settings;	/* queues.h */
	const struct QueueListed *listed;	/* queues.h */
	const struct QueueRequests *requests;	/* link.h */
	const struct QueueShown *shown; /* shown.h */

	/* relay/deliver */
	const struct QueueState *state; /* queue_state.h */
	const struct QueuePlan *plan;	/* plan.h */
	const struct QueueCursor *cursor;	/* cursor.h */
	const struct QueueLoss *loss;	/* lost_messages.h */
	const struct QueueMove *move;	/* move.h */
	const struct QueueScripts *scripts; /* script.h */
	const struct QueueHeld *held;	/* held.h */
	const struct QueueReconcile *reconcile; /* reconcile.h */
	const struct QueueSuspect *suspect; /* suspect.h */
	const struct QueueSkipping *skipping;	/* skip_batch.h */

	/* relay/consumers */
	const struct QueueConsumer *consumer;	/* streams.h */

	/* relay/upkeep */
	const struct QueueBacklog *backlog; /* backlog.h */
	const struct QueueEvacuation *evacuation;	/* evacuate.h */
	const struct QueuePurge *purge; /* purge.h */
	const struct QueueTotals *totals;	/* totals.h */
} RelayQueue;

typedef struct Relay
{
	OutboxSlot *slot;			/* what others see of the relay */
	MemoryContext context;
	MemoryContext scratch;
	List	   *queues;			/* of RelayQueue; queues.c changes it */
	List	   *links;			/* of Link: that of the default server, those
								 * of own_link.c, then those of other servers */

	/* written by attach.c */
	char		source[OUTBOX_UUID_TEXT_LEN + 1];

	/* written by own_run.c; NULL until this server's run is recorded */
	struct OutboxHistory *history;	/* the runs of this database's history */
	const char *line;			/* the last of them, as cursors name them */
} Relay;

/* zeroed memory for a part, which lives as long as the queue */
extern void *outbox_make_part(RelayQueue *queue, Size size);

#endif							/* OUTBOX_RELAY_STATE_H */
