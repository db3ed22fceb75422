/*-------------------------------------------------------------------------
 *
 * emptying.h
 *	  Empty a staging table.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: remove all rows of a staging table at once.
 * Process: relay.
 * Transaction: the caller's.  Nothing is removed before it commits.
 * Memory: none is kept.
 * Errors: those of the catalog.
 * Locks: AccessExclusiveLock on the table, its toast table and their indexes,
 *	  if all of them can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EMPTYING_H
#define OUTBOX_EMPTYING_H

#include "outbox.h"

#include "storage/block.h"
#include "utils/relcache.h"

/*
 * Returns the size of a table and its toast table; InvalidBlockNumber if the
 * latter is locked.
 */
extern BlockNumber outbox_table_blocks(Relation rel);

/*
 * Lock a staging table and all that belongs to it.  Returns false, without
 * waiting, if somebody holds a lock on any of it; locks that were taken stay
 * until the transaction ends.
 */
extern bool outbox_lock_to_empty(Relation rel);

/* empty a table that is locked and that nobody here has open */
extern void outbox_empty_table(Oid relid);

#endif							/* OUTBOX_EMPTYING_H */
