/*-------------------------------------------------------------------------
 *
 * deferred.c
 *	  Messages that cannot wait in staging: insert them, stage them again.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Rows are inserted into outbox.deferred by outbox_defer(), in a caller's
 * transaction or the relay's.  Callers have no rights on the table: the saved
 * plan runs as its owner, see owner.c.
 *
 * Rows that are inserted in any other way come out of a dump, see
 * api/restore.c.  A flag that is set while we insert tells the trigger there
 * that a row is ours.
 *
 * Rows leave the table by being staged again with a new identity, a chunk at a
 * time.  A chunk's rows are locked when they are read, so that their ctids stay
 * valid, and removed before the next chunk is read.  So memory is bounded, and
 * nobody else who uses the table has to wait.
 *
 *-------------------------------------------------------------------------
 */
#include "store/deferred.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* rows in a chunk */
#define CHUNK_ROWS 1000

/* payloads that are in memory at once when rows are staged again */
#define STAGE_BYTES (256 * 1024)

bool		outbox_deferring = false;

const char *
outbox_reason_text(char reason)
{
	switch (reason)
	{
		case OUTBOX_DELAYED:
			return "delayed";
		case OUTBOX_RETRIED:
			return "retry";
		case OUTBOX_BEHIND:
			return "behind";
		case OUTBOX_EVACUATED:
			return "evacuated";
		case OUTBOX_APPLIED:
			return "applied";
	}
	elog(ERROR, "unknown reason to defer a message: %d", reason);
	return NULL;
}

static SPIPlanPtr
insert_plan(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[Natts_deferred];

	if (plan != NULL)
		return plan;
	memcpy(types, outbox_staging_types, Natts_staging * sizeof(Oid));
	types[Anum_deferred_reason - 1] = TEXTOID;
	types[Anum_deferred_due_at - 1] = TIMESTAMPTZOID;
	plan = SPI_prepare("INSERT INTO outbox.deferred AS d"
					   " (" OUTBOX_STAGING_COLUMNS ", reason, due_at)"
					   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
					   " $12, $13, $14, $15, $16)"
					   " ON CONFLICT (queue, seq)"
					   " WHERE reason IN " OUTBOX_REASONS_NUMBERED
					   " DO UPDATE SET reason = EXCLUDED.reason,"
					   " attempts = EXCLUDED.attempts,"
					   " history = EXCLUDED.history, due_at = EXCLUDED.due_at",
					   Natts_deferred, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

void
outbox_row_values(const OutboxMessage *msg, Datum *values, char *nulls, int n)
{
	bool		isnull[Natts_staging];

	memset(nulls, ' ', n);
	outbox_staging_values(msg, values, isnull);
	for (int i = 0; i < Natts_staging; i++)
		if (isnull[i])
			nulls[i] = 'n';
}

static void
insert_row(const OutboxMessage *msg, char reason, TimestampTz due_at)
{
	Datum		values[Natts_deferred];
	char		nulls[Natts_deferred];

	outbox_row_values(msg, values, nulls, Natts_deferred);
	values[Anum_deferred_reason - 1] = CStringGetTextDatum(outbox_reason_text(reason));
	values[Anum_deferred_due_at - 1] = TimestampTzGetDatum(due_at);
	if (due_at == 0)
		nulls[Anum_deferred_due_at - 1] = 'n';
	SPI_execute_plan(insert_plan(), values, nulls, false, 0);
}

void
outbox_defer(const OutboxMessage *msg, char reason, TimestampTz due_at)
{
	bool		was_deferring = outbox_deferring;
	OutboxCaller caller;

	outbox_connect(&caller);
	outbox_deferring = true;
	PG_TRY();
	{
		insert_row(msg, reason, due_at);
	}
	PG_FINALLY();
	{
		outbox_deferring = was_deferring;
	}
	PG_END_TRY();
	outbox_finish(&caller);
}

static struct varlena *
varlena_column(HeapTuple tup, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tup, desc, column, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM_PACKED(value);
}

void
outbox_row_message(HeapTuple tup, TupleDesc desc, OutboxMessage *msg)
{
	bool		isnull;

#define COLUMN(name) SPI_getbinval(tup, desc, Anum_staging_##name, &isnull)
	memset(msg, 0, sizeof(OutboxMessage));
	msg->xid = DatumGetUInt64(COLUMN(xid));
	msg->seq = DatumGetInt64(COLUMN(seq));
	msg->enqueued_at = DatumGetTimestampTz(COLUMN(enqueued_at));
	msg->id = *DatumGetUUIDP(COLUMN(id));
	msg->lsn = DatumGetLSN(COLUMN(lsn));
	msg->queue = DatumGetInt32(COLUMN(queue));
	msg->attempts = DatumGetInt16(COLUMN(attempts));
	msg->kind = DatumGetChar(COLUMN(kind));
#undef COLUMN
	msg->type = varlena_column(tup, desc, Anum_staging_type);
	msg->key = varlena_column(tup, desc, Anum_staging_key);
	msg->headers = varlena_column(tup, desc, Anum_staging_headers);
	msg->payload = varlena_column(tup, desc, Anum_staging_payload);
	msg->history = varlena_column(tup, desc, Anum_staging_history);
	msg->options = varlena_column(tup, desc, Anum_staging_options);
	if (desc->natts >= Anum_deferred_reason &&
		SPI_gettypeid(desc, Anum_deferred_reason) == TEXTOID)
	{
		struct varlena *reason = varlena_column(tup, desc, Anum_deferred_reason);

		msg->reason = VARSIZE_ANY_EXHDR(reason) > 0 ? *VARDATA_ANY(reason) : 0;
	}
}

/*
 * Stage the rows of a result, as many at a time as may be.  What is out of line or
 * compressed takes memory for so many bytes at a time.
 */
static void
stage(HeapTuple *rows, TupleDesc desc, uint64 n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox messages to stage",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxMessage msgs[OUTBOX_STAGING_CHUNK];
	Size		bytes = 0;
	int			chunk = 0;

	for (uint64 i = 0; i < n; i++)
	{
		outbox_row_message(rows[i], desc, &msgs[chunk]);
		bytes += VARSIZE_ANY(msgs[chunk].payload);
		chunk++;
		if (chunk < OUTBOX_STAGING_CHUNK && bytes < STAGE_BYTES && i + 1 < n)
			continue;
		outbox_staging_insert(msgs, chunk);
		MemoryContextReset(context);
		bytes = 0;
		chunk = 0;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
outbox_stage_result(void)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "outbox rows",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(rows);

	stage(SPI_tuptable->vals, SPI_tuptable->tupdesc, SPI_processed);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(rows);
}

/*
 * Stage a chunk, and run "settle" for its rows.
 */
static void
stage_chunk(const SPITupleTable *chunk, int n, const char *settle)
{
	Datum	   *tids = palloc(n * sizeof(Datum));
	Oid			types[1] = {TIDARRAYOID};
	Datum		values[1];

	stage(chunk->vals, chunk->tupdesc, n);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		tids[i] = SPI_getbinval(chunk->vals[i], chunk->tupdesc,
								Natts_staging + 1, &isnull);
	}
	values[0] = outbox_tid_array(tids, n);
	SPI_execute_with_args(settle, 1, types, values, NULL, false, 0);
	if (SPI_processed != n)
		elog(ERROR, "%d rows were locked, but " UINT64_FORMAT " found again",
			 n, SPI_processed);
}

int64
outbox_stage_rows(const char *query, int nargs, Oid *types, Datum *values,
				  const char *nulls, const char *settle)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "outbox rows to stage",
											   ALLOCSET_DEFAULT_SIZES);
	Portal		portal = SPI_cursor_open_with_args(NULL, query, nargs, types,
												   values, nulls, false, 0);
	int64		total = 0;

	for (;;)
	{
		SPITupleTable *chunk;
		MemoryContext old;
		int			n;

		SPI_cursor_fetch(portal, true, CHUNK_ROWS);
		chunk = SPI_tuptable;
		n = (int) SPI_processed;
		if (n == 0)
			break;
		old = MemoryContextSwitchTo(rows);
		stage_chunk(chunk, n, settle);
		MemoryContextSwitchTo(old);
		MemoryContextReset(rows);
		SPI_freetuptable(chunk);
		total += n;
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
	return total;
}
