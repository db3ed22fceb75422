/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  Locks on our relations that are not waited for.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: lock all that a statement on a table needs, or nothing can be done
 *	  now; remember what is in the way.
 * Process: relay.
 * Transaction: the caller's.
 * Memory: static.
 * Errors: none for a lock that somebody else holds.
 * Locks: those that are asked for, to the transaction's end.
 *
 * All functions that lock return false, without waiting, if somebody holds a
 * lock that conflicts, if the relation is gone, or if it has been changed by
 * hand (shape.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOCK_H
#define OUTBOX_LOCK_H

#include "outbox.h"

#include "catalog.h"
#include "clock.h"

/* what is in the way of the relay */
typedef struct OutboxObstacle
{
	OutboxTime	since;
	OutboxRelation relation;
	int32		queue;			/* not 0: this queue is locked, not a relation */
	int			mode;			/* the lock that can't be had; 0: see fault */
	char		fault[OUTBOX_OBSTACLE_SIZE];	/* how it has been changed */
} OutboxObstacle;

/* lock a relation with its indexes and its toast table: to read ... */
extern bool outbox_lock_relation(OutboxRelation which);

/* ... to insert, update and delete rows */
extern bool outbox_lock_to_write(OutboxRelation which);

/* false if an open transaction drops the queue, and so has locked its rows */
extern bool outbox_queue_is_free(int32 id);

/* returns what is in the way longest; NULL if nothing is */
extern const OutboxObstacle *outbox_oldest_obstacle(void);

#endif							/* OUTBOX_LOCK_H */
