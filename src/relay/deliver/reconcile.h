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
#include "relay/deliver/skip_list.h"
#include "store/position.h"

/* a queue's cursor, as it is in Redis */
typedef struct StoredCursor
{
	const char *text;			/* the position without seq; "": there is none */
	const char *seq;
	const char *line;			/* the runs of its mover, see store/run.c */
	const char *moved;			/* sealed: the move, and where to; else "" */
	const char *arrived;		/* by which move it has come; else "" */
	bool		may_move;		/* the standby had what that rests on */
	uint64		applied;		/* messages since the cursor began */
	int			nskips;
	Skip	   *skips;
} StoredCursor;

typedef struct ReconcileResult
{
	StoredCursor cursor;		/* as it was read, without the line */
	OutboxPosition pos;
	int			ndrop;			/* seqs to be taken out of the skip list */
	uint64	   *drop;
} ReconcileResult;

typedef struct Reconciliation Reconciliation;

typedef struct QueueReconcile
{
	Reconciliation *rec;		/* what is under way; NULL: nothing */
} QueueReconcile;

extern void outbox_reconcile_init(RelayQueue *queue);

/*
 * Begin with a cursor that was read.  left: where our history left that of the cursor,
 * whose position has been clipped then; or 0.
 */
extern void outbox_reconcile_begin(RelayQueue *queue, const StoredCursor *cursor,
								   const OutboxPosition *pos, XLogRecPtr left);

/*
 * Do some of it.  False if a table is locked.  When all is done, *result is not NULL,
 * and true until the end.
 */
extern bool outbox_reconcile_some(RelayQueue *queue,
								  const ReconcileResult **result);

/* it is over, or given up */
extern void outbox_reconcile_end(RelayQueue *queue);

/* is one under way, of whatever queue? */
extern bool outbox_any_reconciled(void);

#endif							/* OUTBOX_RELAY_RECONCILE_H */
