/*-------------------------------------------------------------------------
 *
 * skipped_rows.h
 *	  Messages in a skip list, found in outbox.deferred by their numbers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read refused messages and those behind them, and change their reason.
 * Process: relay.
 * Transaction: the caller's; SPI is connected, and the tables are locked.
 * Memory: the current context.
 * Errors: those of reading and writing tables.
 * Locks: the rows that are changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SKIPPED_ROWS_H
#define OUTBOX_SKIPPED_ROWS_H

#include "outbox.h"

/* called for each message that is changed, with its key, or NULL */
typedef void (*OutboxKeyVisit) (void *arg, const struct varlena *key);

/*
 * Read those of these messages that are in a skip list; returns how many.
 */
extern int	outbox_read_skipped(int32 queue, const uint64 *seqs, int n,
								OutboxMessage *messages);

/*
 * Set reason and due_at, 0 for none, of those of these messages that are in a skip
 * list; returns how many.  "visit" may be NULL.
 */
extern int	outbox_change_skipped(int32 queue, const uint64 *seqs, int n,
								  char reason, TimestampTz due_at,
								  OutboxKeyVisit visit, void *arg);

#endif							/* OUTBOX_SKIPPED_ROWS_H */
