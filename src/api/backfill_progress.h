/*-------------------------------------------------------------------------
 *
 * backfill_progress.h
 *	  How far a backfill is: the rows of outbox.backfill.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: begin, lock, move on and stop.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: OBJECT_IN_USE, OBJECT_NOT_IN_PREREQUISITE_STATE, UNDEFINED_OBJECT.
 * Locks: a row's, to the transaction's end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_BACKFILL_PROGRESS_H
#define OUTBOX_BACKFILL_PROGRESS_H

#include "api/backfill_types.h"

/*
 * Begin, or go on where an earlier call has ended.  An error if another process
 * is at work, or the primary key is another one than then.
 */
extern void outbox_begin_backfill(const OutboxBackfill *backfill, const char *key);

/* lock a backfill's row and return it; an error if there is none */
extern OutboxProgress outbox_lock_backfill(const OutboxBackfill *backfill);

/* note what a chunk has done; position 0 leaves it as it was */
extern void outbox_advance_backfill(const OutboxBackfill *backfill, Datum position,
									int64 rows, bool finished);

/* have it stopped; returns false if there is none that is not finished */
extern bool outbox_stop_backfill_of(const OutboxBackfill *backfill);

/* returns how many messages of the queue wait, as the relay has counted */
extern int64 outbox_backfill_waiting(const OutboxBackfill *backfill);

#endif							/* OUTBOX_BACKFILL_PROGRESS_H */
