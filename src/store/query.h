/*-------------------------------------------------------------------------
 *
 * query.h
 *	  SQL with named parameters, by SPI.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: run a statement and read its result.
 * Process: backend and relay.
 * Transaction: the caller's.  SPI is connected.
 * Memory: SPI's context, until SPI_finish(); plans that are kept.
 * Errors: those of the statement; a failed call of SPI is an error, too.
 * Locks: those of the statement.
 *
 * A parameter is written $name.  A statement need not use all parameters, so
 * several statements may share a list.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUERY_H
#define OUTBOX_QUERY_H

#include "outbox.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "owner.h"

typedef struct OutboxParam
{
	const char *name;
	Oid			type;
	Datum		value;
	bool		is_null;
} OutboxParam;

/*
 * Connect to SPI as the owner of our tables; and finish.  In the relay each step
 * runs as the owner, and SPI is connected directly.
 */
extern void outbox_connect(OutboxCaller *caller);
extern void outbox_finish(const OutboxCaller *caller);

/*
 * Run a statement, which sees what the transaction has done.  Returns
 * SPI_processed.
 */
extern uint64 outbox_query(const char *sql, const OutboxParam *params,
						   int nparams);

/* the same for what is run often: the first call plans it, and keeps the plan */
extern uint64 outbox_query_planned(SPIPlanPtr *plan, const char *sql,
								   const OutboxParam *params, int nparams);

/* the same with a new snapshot, whatever the isolation level is */
extern uint64 outbox_query_latest(const char *sql, const OutboxParam *params,
								  int nparams);

/* returns a cursor over a query, for SPI to fetch from and to close */
extern Portal outbox_query_cursor(const char *sql, const OutboxParam *params,
								  int nparams);

/* returns a column, counted from 1, of a row of the last statement's result */
extern Datum outbox_result(uint64 row, int column, bool *isnull);

/* returns the same as a number; 0 for null */
extern int64 outbox_result_int64(uint64 row, int column);

/* returns an array of ctids */
extern Datum outbox_tid_array(Datum *tids, int n);

/* returns an array of bigint */
extern Datum outbox_int8_array(const uint64 *numbers, int n);

/* returns a transaction id as text, to be cast to xid8 */
extern Datum outbox_xid_text(uint64 xid);

/*
 * outbox_query_planned() for a query that reads the next rows of an index, in its order:
 * without statistics the planner would rather sort all rows each time.
 */
extern uint64 outbox_query_in_order(SPIPlanPtr *plan, const char *sql,
									const OutboxParam *params, int nparams);

#endif							/* OUTBOX_QUERY_H */
