/*-------------------------------------------------------------------------
 *
 * deferred.h
 *	  Messages that can't just wait in staging, and dead letters.
 *
 * Purpose: insert rows into outbox.deferred; stage rows again.
 * Process: backend and relay.
 * Transaction: the caller's.  outbox_stage_rows() and outbox_stage_result()
 *	  need SPI to be connected, outbox_defer() connects.
 * Memory: nothing is kept but a saved plan.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DEFERRED_H
#define OUTBOX_DEFERRED_H

#include "outbox.h"

#include "access/htup.h"
#include "access/tupdesc.h"

/*
 * Insert a row with the rights of the table's owner.  If the message is there
 * already, its reason, attempts, history and due_at are set.  What outbox.seq
 * and the transaction give (xid, seq, timeline, enqueued_at) must be filled
 * in.  due_at 0 is none.
 */
extern void outbox_defer(const OutboxMessage *msg, char reason,
						 TimestampTz due_at);

/* values for SPI, of n columns of which the first are those of staging */
extern void outbox_row_values(const OutboxMessage *msg, Datum *values,
							  char *nulls, int n);

/*
 * A row out of SPI that begins with the columns of staging, and perhaps the
 * reason as text.
 */
extern void outbox_row_message(HeapTuple tup, TupleDesc desc,
							   OutboxMessage *msg);

/*
 * Stage, with a new identity, what the last query has returned: rows that
 * begin with the columns of staging.
 */
extern void outbox_stage_result(void);

/*
 * Stage again, with a new identity, what a query returns: the columns of
 * staging, then ctid.  It must lock its rows FOR UPDATE.  For each chunk of
 * them "settle" is run, with an array of ctids as $1, and must find all.
 * Returns how many there were.
 */
extern int64 outbox_stage_rows(const char *query, int nargs, Oid *types,
							   Datum *values, const char *nulls,
							   const char *settle);

/* true while the extension itself inserts: it is not a dump being restored */
extern bool outbox_deferring;

#endif							/* OUTBOX_DEFERRED_H */
