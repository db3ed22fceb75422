/*-------------------------------------------------------------------------
 *
 * dumped.c
 *	  Messages that a dump would miss.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * pg_dump reads with one snapshot, but emptying a staging table does not heed
 * snapshots.  What waited in the table has been copied to outbox.deferred or
 * outbox.dead_letter before, perhaps after the dump's snapshot: then the dump
 * would have the message from neither.  So the queries that are dumped (see the
 * install script) add what these functions find: rows of other tables that the
 * dump's snapshot does not see, of messages that it does see.
 *
 * The alternative, to leave a staging table alone as long as there is a snapshot
 * that is older than what was copied from it, would keep staging from being
 * emptied during each long dump or report.
 *
 * The latest snapshot is taken when staging has been locked by the query that
 * calls us.  So a table that this query finds empty has been emptied before, and
 * what was copied from it is seen.  On a standby it is the same.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

/* rows fetched at a time */
#define ROWS 1000

PG_FUNCTION_INFO_V1(outbox_moved_messages);
PG_FUNCTION_INFO_V1(outbox_moved_dead_letters);

/*
 * Add those rows to the result whose version the snapshot doesn't see; the
 * version's xmin is their last column.
 */
static void
add_unseen(ReturnSetInfo *result, Snapshot snapshot)
{
	int			natts = result->setDesc->natts;
	Datum	   *values = palloc((natts + 1) * sizeof(Datum));
	bool	   *nulls = palloc((natts + 1) * sizeof(bool));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
						  values, nulls);
		if (XidInMVCCSnapshot(DatumGetTransactionId(values[natts]), snapshot))
			tuplestore_putvalues(result->setResult, result->setDesc,
								 values, nulls);
	}
	pfree(values);
	pfree(nulls);
}

/*
 * Return the rows of a query, run with the latest snapshot, that the active
 * snapshot does not see.  The query's $1 is the active snapshot.
 */
static void
return_moved(FunctionCallInfo fcinfo, const char *query)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = GetActiveSnapshot();
	Oid			type = PG_SNAPSHOTOID;
	Datum		value = DirectFunctionCall1(pg_current_snapshot, (Datum) 0);
	Portal		portal;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	portal = SPI_cursor_open_with_args(NULL, query, 1, &type, &value, NULL,
									   true, 0);
	PopActiveSnapshot();
	do
	{
		SPI_cursor_fetch(portal, true, ROWS);
		add_unseen(result, snapshot);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
}

/*
 * outbox.moved_messages(): messages in outbox.deferred
 */
Datum
outbox_moved_messages(PG_FUNCTION_ARGS)
{
	return_moved(fcinfo,
				 "SELECT *, xmin FROM outbox.deferred WHERE reason OPERATOR(pg_catalog.=)"
				 " ANY (ARRAY['retry', 'behind', 'evacuated'])"
				 " AND pg_catalog.pg_visible_in_snapshot(xid, $1)");
	PG_RETURN_NULL();
}

/*
 * outbox.moved_dead_letters(): dead letters; one that has been replayed or
 * discarded since is still dead for who has the active snapshot
 */
Datum
outbox_moved_dead_letters(PG_FUNCTION_ARGS)
{
	return_moved(fcinfo,
				 "SELECT *, xmin FROM outbox.dead_letter"
				 " WHERE pg_catalog.pg_visible_in_snapshot(xid, $1)");
	PG_RETURN_NULL();
}
