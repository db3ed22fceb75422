/*-------------------------------------------------------------------------
 *
 * backfill_types.h
 *	  A backfill: the rows that a captured table has already, enqueued.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what the procedure, its progress and its chunks share.
 * Process: backend.
 * Transaction: none of its own.
 * Memory: the struct's owner is the procedure.
 * Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_BACKFILL_TYPES_H
#define OUTBOX_BACKFILL_TYPES_H

#include "outbox.h"

typedef struct OutboxBackfill
{
	Oid			relid;
	char	   *queue;
	int32		queue_id;
	Oid			function;		/* of the capture's triggers */
	int			chunk_rows;		/* at most */
	int64		max_waiting;	/* messages of the queue */
	int64		room;			/* rows until these are counted again */
	bool		restart;
} OutboxBackfill;

/* where it is: a row of outbox.backfill */
typedef struct OutboxProgress
{
	Datum		position;		/* text[]; 0: at the beginning */
	char	   *key;			/* the primary key's columns, see
								 * backfill_chunk.c */
	bool		stopped;
	bool		taken_over;		/* by another call */
} OutboxProgress;

#endif							/* OUTBOX_BACKFILL_TYPES_H */
