/*-------------------------------------------------------------------------
 *
 * backfill_chunk.h
 *	  Enqueue some rows of a captured table.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the rows that follow a position, in the order of the primary key.
 * Process: backend.
 * Transaction: the caller's, READ COMMITTED, with an active snapshot.
 * Memory: the result is palloc'ed in the current context.
 * Errors: INSUFFICIENT_PRIVILEGE, UNDEFINED_TABLE, UNDEFINED_OBJECT if the table is
 *	  not captured, OBJECT_NOT_IN_PREREQUISITE_STATE, those of capturing,
 *	  LOCK_NOT_AVAILABLE.
 * Locks: RowShareLock on the table and FOR SHARE locks on rows, to the
 *	  transaction's end.  Waits only while it holds no lock on a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_BACKFILL_CHUNK_H
#define OUTBOX_BACKFILL_CHUNK_H

#include "api/backfill_types.h"

typedef struct OutboxChunk
{
	Datum		position;		/* text[]; 0 if no row was there */
	int64		rows;			/* that have been enqueued */
	bool		finished;
} OutboxChunk;

/*
 * An error unless the caller may backfill the table, and it can be; returns the
 * primary key's columns as text, for OutboxProgress.
 */
extern char *outbox_check_backfill(const OutboxBackfill *backfill);

/* enqueue the next rows */
extern OutboxChunk outbox_backfill_chunk(const OutboxBackfill *backfill,
										 const OutboxProgress *progress);

#endif							/* OUTBOX_BACKFILL_CHUNK_H */
