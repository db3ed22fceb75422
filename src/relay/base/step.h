/*-------------------------------------------------------------------------
 *
 * step.h
 *	  A step of the relay: a transaction that waits for nobody.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: begin and end a step, with the locks that it needs.
 * Process: relay.
 * Transaction: none may be open when a step begins.
 * Memory: the transaction's, freed when the step ends; then the context that
 *	  was current when it began is current again.
 * Errors: those of the statements in it; they end the worker.
 * Locks: those that are asked for, until the step ends.  They are taken only
 *	  if nobody holds a conflicting one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_STEP_H
#define OUTBOX_RELAY_STEP_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "lock.h"

/* what is locked, or can't be done yet, is looked at again after this */
#define OUTBOX_LOOK_AGAIN_MS	20

typedef struct StepLock
{
	OutboxRelation relation;
	bool		write;			/* RowExclusiveLock; else AccessShareLock */
} StepLock;

/* a transaction with an active snapshot; commit it */
extern void outbox_begin_step(void);
extern void outbox_end_step(void);

/* take locks in a step; false if one can't be had now */
extern bool outbox_take_locks(const StepLock *locks, int n);

/*
 * Begin a step with locks.  False, and no step has begun, if the extension is
 * gone or one of the locks can't be had now.
 */
extern bool outbox_begin_locked_step(const StepLock *locks, int n);

/* the end of the last record before an insert position */
extern XLogRecPtr outbox_end_of_record(XLogRecPtr lsn);

/* flush WAL up to an insert position */
extern void outbox_flush_wal(XLogRecPtr lsn);

#endif							/* OUTBOX_RELAY_STEP_H */
