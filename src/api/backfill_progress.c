/*-------------------------------------------------------------------------
 *
 * backfill_progress.c
 *	  How far a backfill is: the rows of outbox.backfill.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A chunk's messages and the row that says how far the backfill is are written in
 * one transaction, so a crash or a cancelled call loses nothing and repeats
 * nothing.
 *
 * Whether a call is still at work is asked of pg_stat_activity: its process is
 * busy with the statement that began when the row says.  Nothing has to be undone
 * when the call ends, however it ends.
 *
 *-------------------------------------------------------------------------
 */
#include "api/backfill_progress.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* view outbox.backfills has the same condition */
#define AT_WORK "EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = b.pid" \
	" AND a.query_start = b.called_at AND a.state = 'active')"

#define PARAMS 8

static void
fill_params(const OutboxBackfill *backfill, OutboxParam *params)
{
	OutboxParam common[] = {
		{"relation", OIDOID, ObjectIdGetDatum(backfill->relid), false},
		{"queue", INT4OID, Int32GetDatum(backfill->queue_id), false},
		{"pid", INT4OID, Int32GetDatum(MyProcPid), false},
		{"called_at", TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentStatementStartTimestamp()), false},
		{"restart", BOOLOID, BoolGetDatum(backfill->restart), false}
	};

	StaticAssertStmt(lengthof(common) <= PARAMS - 3, "room for three more");
	memcpy(params, common, sizeof(common));
}

/*
 * What is left of tables and queues that are gone would be taken for what is known of
 * a later table with the same OID.
 */
static void
forget_gone(void)
{
	outbox_query("DELETE FROM outbox.backfill AS b"
				 " WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = b.relation)"
				 " OR NOT EXISTS (SELECT FROM outbox.queue AS q WHERE q.id = b.queue)",
				 NULL, 0);
}

static void
check_not_at_work(const OutboxBackfill *backfill, const OutboxParam *params)
{
	if (outbox_query("SELECT pid FROM outbox.backfill AS b WHERE relation = $relation"
					 " AND queue = $queue AND pid <> $pid AND " AT_WORK, params, PARAMS) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("process " INT64_FORMAT " is backfilling table \"%s\" to queue \"%s\"",
					outbox_result_int64(0, 1), get_rel_name(backfill->relid), backfill->queue),
			 errhint("outbox_stop_backfill() stops it, and this call will go on from there.")));
}

void
outbox_begin_backfill(const OutboxBackfill *backfill, const char *key)
{
	OutboxParam params[PARAMS] = {0};
	OutboxCaller caller;

	outbox_connect(&caller);
	fill_params(backfill, params);
	params[PARAMS - 1] = (OutboxParam) {"key", TEXTOID, CStringGetTextDatum(key), false};
	for (int i = 0; i < PARAMS; i++)
		if (params[i].name == NULL)
			params[i] = (OutboxParam) {"", INT4OID, (Datum) 0, true};
	forget_gone();
	check_not_at_work(backfill, params);
	outbox_query("INSERT INTO outbox.backfill AS b"
				 " (relation, queue, key, started_at, pid, called_at)"
				 " VALUES ($relation, $queue, $key, clock_timestamp(), $pid, $called_at)"
				 " ON CONFLICT (relation, queue) DO UPDATE SET"
				 " (key, position, rows, started_at) = (SELECT $key, NULL, 0, clock_timestamp()"
				 " WHERE $restart OR b.finished_at IS NOT NULL"
				 " UNION ALL SELECT b.key, b.position, b.rows, b.started_at"
				 " WHERE NOT $restart AND b.finished_at IS NULL),"
				 " pid = $pid, called_at = $called_at, stopped_at = NULL, finished_at = NULL,"
				 " moved_at = CASE WHEN NOT $restart AND b.finished_at IS NULL THEN b.moved_at END"
				 " RETURNING key = $key, rows",
				 params, PARAMS);
	if (!DatumGetBool(outbox_result(0, 1, &(bool) {false})))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has another primary key than when its backfill began",
						get_rel_name(backfill->relid)),
				 errhint("Begin again with settings => '{\"restart\": true}'.")));
	if (outbox_result_int64(0, 2) > 0)
		ereport(NOTICE,
				(errmsg("the backfill goes on, with " INT64_FORMAT " rows done",
						outbox_result_int64(0, 2))));
	outbox_finish(&caller);
}

OutboxProgress
outbox_lock_backfill(const OutboxBackfill *backfill)
{
	MemoryContext context = CurrentMemoryContext;
	OutboxProgress progress = {0};
	OutboxParam params[PARAMS] = {0};
	OutboxCaller caller;
	Datum		position;
	bool		isnull;

	outbox_connect(&caller);
	fill_params(backfill, params);
	if (outbox_query("SELECT position, key, stopped_at IS NOT NULL,"
					 " pid <> $pid OR called_at <> $called_at"
					 " FROM outbox.backfill WHERE relation = $relation AND queue = $queue"
					 " FOR UPDATE", params, PARAMS - 3) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the backfill of table \"%s\" to queue \"%s\" is gone",
						get_rel_name(backfill->relid), backfill->queue)));
	position = outbox_result(0, 1, &isnull);
	progress.stopped = DatumGetBool(outbox_result(0, 3, &(bool) {false}));
	progress.taken_over = DatumGetBool(outbox_result(0, 4, &(bool) {false}));
	context = MemoryContextSwitchTo(context);
	progress.key = TextDatumGetCString(outbox_result(0, 2, &(bool) {false}));
	if (!isnull)
		progress.position = datumCopy(position, false, -1);
	MemoryContextSwitchTo(context);
	outbox_finish(&caller);
	return progress;
}

void
outbox_advance_backfill(const OutboxBackfill *backfill, Datum position, int64 rows,
						bool finished)
{
	OutboxParam params[PARAMS] = {0};
	OutboxCaller caller;

	outbox_connect(&caller);
	fill_params(backfill, params);
	params[PARAMS - 3] = (OutboxParam) {"position", TEXTARRAYOID, position, position == (Datum) 0};
	params[PARAMS - 2] = (OutboxParam) {"rows", INT8OID, Int64GetDatum(rows), false};
	params[PARAMS - 1] = (OutboxParam) {"finished", BOOLOID, BoolGetDatum(finished), false};
	outbox_query("UPDATE outbox.backfill SET position = coalesce($position, position),"
				 " rows = rows + $rows, moved_at = clock_timestamp(),"
				 " finished_at = CASE WHEN $finished THEN clock_timestamp() END"
				 " WHERE relation = $relation AND queue = $queue", params, PARAMS);
	outbox_finish(&caller);
}

bool
outbox_stop_backfill_of(const OutboxBackfill *backfill)
{
	OutboxParam params[PARAMS] = {0};
	OutboxCaller caller;
	uint64		n;

	outbox_connect(&caller);
	fill_params(backfill, params);
	n = outbox_query("UPDATE outbox.backfill SET stopped_at = clock_timestamp()"
					 " WHERE relation = $relation AND queue = $queue"
					 " AND finished_at IS NULL AND stopped_at IS NULL", params, PARAMS - 3);
	outbox_finish(&caller);
	return n > 0;
}

int64
outbox_backfill_waiting(const OutboxBackfill *backfill)
{
	OutboxParam params[PARAMS] = {0};
	OutboxCaller caller;
	int64		n = 0;

	outbox_connect(&caller);
	fill_params(backfill, params);
	if (outbox_query("SELECT waiting FROM outbox.queue_stats(false) WHERE queue = $queue",
					 params, PARAMS - 3) > 0)
		n = outbox_result_int64(0, 1);
	outbox_finish(&caller);
	return n;
}
