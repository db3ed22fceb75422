/*-------------------------------------------------------------------------
 *
 * capture_newest.h
 *	  What has become of a row since the statement that is told.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find the newest version of a row that this transaction has changed.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: a slot is palloc'ed in the current context.
 * Errors: none of its own.
 * Locks: the caller holds one on the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_NEWEST_H
#define OUTBOX_CAPTURE_NEWEST_H

#include "outbox.h"

#include "executor/tuptable.h"
#include "utils/relcache.h"

/*
 * Returns the newest version of the row in the slot: the slot itself, or another
 * one, which the caller gives to outbox_drop_newest(); NULL if the row has been
 * deleted since.
 */
extern TupleTableSlot *outbox_newest_version(Relation rel, TupleTableSlot *slot);

extern void outbox_drop_newest(TupleTableSlot *newest, TupleTableSlot *slot);

#endif							/* OUTBOX_CAPTURE_NEWEST_H */
