/*-------------------------------------------------------------------------
 *
 * deferred.h
 *	  Messages that cannot wait in staging, and dead letters.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: insert rows into outbox.deferred; stage rows of it, or of
 *	  outbox.dead_letter, again.
 * Process: backend and relay.
 * Transaction: the caller's.  outbox_defer() connects to SPI itself; the other
 *	  functions need SPI to be connected.
 * Memory: nothing is kept but a saved plan.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on the tables, to the transaction's end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DEFERRED_H
#define OUTBOX_DEFERRED_H

#include "outbox.h"

#include "access/htup.h"
#include "access/tupdesc.h"

/*
 * Insert a row with the rights of the table's owner.  If the table has the
 * message already, its reason, attempts, history and due_at are set.  xid, seq,
 * lsn and enqueued_at must be filled in.  due_at may be 0, for none.
 */
extern void outbox_defer(const OutboxMessage *msg, char reason,
						 TimestampTz due_at);

/* returns the reason as the table has it */
extern const char *outbox_reason_text(char reason);

/*
 * Fill in values and nulls for SPI, for a row of n columns that begins with the
 * columns of staging.  The further columns are not null, and their values are
 * left to the caller.
 */
extern void outbox_row_values(const OutboxMessage *msg, Datum *values,
							  char *nulls, int n);

/*
 * Read a row from SPI that begins with the columns of staging, perhaps followed
 * by the reason as text.
 */
extern void outbox_row_message(HeapTuple tup, TupleDesc desc,
							   OutboxMessage *msg);

/*
 * Stage the rows that the last query has returned, with a new identity.  They
 * must begin with the columns of staging.
 */
extern void outbox_stage_result(void);

/*
 * Stage the rows that a query returns, with a new identity.  The query must
 * return the columns of staging, then ctid, and lock its rows FOR UPDATE.  For
 * each chunk of rows the statement "settle" is run with the array of their
 * ctids as $1, and must process all of them.  Returns the number of rows.
 */
extern int64 outbox_stage_rows(const char *query, int nargs, Oid *types,
							   Datum *values, const char *nulls,
							   const char *settle);

/* true while the extension itself inserts; else a dump is being restored */
extern bool outbox_deferring;

#endif							/* OUTBOX_DEFERRED_H */
