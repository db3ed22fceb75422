/*-------------------------------------------------------------------------
 *
 * reconcile.h
 *	  Make the tables agree with the skip list of a cursor.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: after a cursor has been read, update deferred messages and dead
 *	  letters, and find out what can leave the skip list.
 * Process: relay.
 * Transaction: its own.
 * Memory: the seqs to drop are palloc'ed in the current context.
 * Errors: those of SQL.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RECONCILE_H
#define OUTBOX_RELAY_RECONCILE_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"

/* a queue's cursor, as it is in Redis */
typedef struct StoredCursor
{
	const char *text;			/* the position without seq; "": there is none */
	const char *seq;
	const char *line;			/* the runs of its mover, see store/run.c */
	bool		may_move;		/* the standby had what that rests on */
	uint64		applied;		/* messages since the cursor began */
	int			nskips;
	uint64	   *skips;			/* seqs */
	const char **errors;		/* why each was skipped; "": behind another
								 * one */
} StoredCursor;

/*
 * left: where our history left that of the cursor, whose position has been
 * clipped then; or 0.  *drop becomes the seqs that have to be taken out of the skip
 * list.  False if a table is locked.
 */
extern bool outbox_reconcile(RelayQueue *queue, const StoredCursor *cursor,
							 const OutboxPosition *pos, XLogRecPtr left,
							 int *ndrop, uint64 **drop);

#endif							/* OUTBOX_RELAY_RECONCILE_H */
