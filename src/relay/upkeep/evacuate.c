/*-------------------------------------------------------------------------
 *
 * evacuate.c
 *	  What standing queues have in staging, and rows kept long enough.
 *
 * Design notes
 *
 * A staging table is emptied when all in it has been acknowledged.  A queue
 * that stands still would keep it from that, so its rows are copied to
 * outbox.deferred with their identity; when it goes on they are planned from
 * there like those in staging.
 *
 * They are copied in pieces, in the order of the index, while the table may
 * still get new rows.  What such a transaction has added behind our back is
 * copied when the table is locked, in the transaction that empties it.
 *
 * Dead letters aren't copied, though they may be beyond the cursor when Redis has
 * lost its last writes: where there is a copy, there is a message to deliver.
 *
 * Copies whose messages have been delivered stay for outbox.retention, as
 * rows in staging do; so do messages that were refused once and have been
 * delivered since.
 *
 * With a staged row the reason goes why its dead letter has to be in the skip
 * list: nobody can find it and take it for forgotten any more.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "guc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* rows copied or deleted in one statement */
#define ROWS	1000

/* how long a queue has to stand still before it is worth copying */
#define STILL_MS	5000

#define ROWS_TEXT	CppAsString2(ROWS)

/*
 * Has the queue stood still for a while?  Then its rows may be copied.  Not if
 * it has gone on and looks for rows in staging only.
 */
bool
outbox_stands_still(const RelayQueue *queue)
{
	return (queue->state == QUEUE_PAUSED || queue->state == QUEUE_BLOCKED ||
			(queue->still_since != 0 && queue->past_ticks > 0)) &&
		queue->acked.prev != NULL && queue->inflight == 0 &&
		TimestampDifferenceExceeds(queue->still_since, GetCurrentTimestamp(),
								   Min(STILL_MS, outbox_retention * 1000));
}

/*
 * Copy the next rows of a queue.  True if there are no more.  With rest, all
 * that hasn't been copied.
 */
static bool
copy_rows(RelayQueue *queue, int table, bool rest)
{
	Oid			types[6] = {INT4OID, TEXTOID, TEXTOID, INT8OID, TEXTOID, INT8OID};
	Datum		values[6];
	char		xid[24];
	bool		done;

	if (queue->evacuating != table)
	{
		queue->evacuating = table;
		queue->evacuated_xid = queue->evacuated_seq = 0;
	}
	xid[pg_ulltoa_n(rest ? 0 : queue->evacuated_xid, xid)] = '\0';
	values[0] = Int32GetDatum(queue->settings.id);
	values[1] = outbox_snap_text(queue->acked.prev);
	values[2] = outbox_snap_text(queue->acked.cur);
	values[3] = Int64GetDatum((int64) queue->acked.seq);
	values[4] = CStringGetTextDatum(xid);
	values[5] = Int64GetDatum(rest ? 0 : (int64) queue->evacuated_seq);

	SPI_execute_with_args(psprintf("INSERT INTO outbox.deferred"
								   " SELECT s.*, 'evacuated' FROM outbox.staging_%d AS s"
								   " WHERE queue = $1 AND (xid, seq) > ($5::xid8, $6)"
								   " AND NOT pg_visible_in_snapshot(xid, $2::pg_snapshot)"
								   " AND NOT (pg_visible_in_snapshot(xid, $3::pg_snapshot)"
								   " AND seq <= $4)"
								   " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
								   " WHERE d.queue = $1 AND d.seq = s.seq"
								   " AND d.timeline > 0) %s"
								   " ON CONFLICT (queue, seq)"
								   " WHERE reason IN ('retry', 'behind', 'evacuated', 'applied')"
								   " DO NOTHING", table + 1,
								   rest ? "" : "ORDER BY xid, seq LIMIT " ROWS_TEXT),
						  6, types, values, NULL, false, 0);
	if (SPI_processed > 0)
		queue->evacuated = true;
	if (rest)
		return true;

	/* how far that was */
	SPI_execute_with_args(psprintf("SELECT xid, seq FROM outbox.staging_%d"
								   " WHERE queue = $1 AND (xid, seq) > ($5::xid8, $6)"
								   " AND NOT pg_visible_in_snapshot(xid, $2::pg_snapshot)"
								   " AND NOT (pg_visible_in_snapshot(xid, $3::pg_snapshot)"
								   " AND seq <= $4)"
								   " ORDER BY xid, seq OFFSET " ROWS_TEXT " - 1 LIMIT 1",
								   table + 1),
						  6, types, values, NULL, true, 1);
	done = SPI_processed == 0;
	if (!done)
	{
		HeapTuple	tup = SPI_tuptable->vals[0];
		bool		isnull;

		queue->evacuated_xid = DatumGetUInt64(SPI_getbinval(tup, SPI_tuptable->tupdesc,
															1, &isnull));
		queue->evacuated_seq = DatumGetInt64(SPI_getbinval(tup, SPI_tuptable->tupdesc,
														   2, &isnull));
	}
	return done;
}

/*
 * Copy what queues that stand still have in a table.  True if all of it is
 * copied.  In the caller's transaction; with rest the table is locked.
 */
bool
outbox_evacuate(Relay *relay, int table, bool rest)
{
	bool		done = true;
	ListCell   *lc;

	if (!outbox_lock_to_write(OUTBOX_REL_DEFERRED))
		return false;
	SPI_connect();
	outbox_deferring = true;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->dropped || !outbox_stands_still(queue))
			continue;
		done = copy_rows(queue, table, rest);
		if (!done)
			break;
	}
	outbox_deferring = false;
	SPI_finish();
	return done;
}

/*
 * Delete copies that have been delivered and kept long enough.
 */
static void
purge_queue(Relay *relay, RelayQueue *queue, TimestampTz now)
{
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];

	if (queue->purge_snap == NULL)
	{
		if (queue->state == QUEUE_FLOWING && queue->past_ticks == 0)
		{
			queue->purge_snap = outbox_snap_ref(queue->settled);
			queue->purge_at = TimestampTzPlusMilliseconds(now, outbox_retention * 1000);
		}
		return;
	}
	if (queue->purge_at > now)
		return;
	values[0] = Int32GetDatum(queue->settings.id);
	values[1] = outbox_snap_text(queue->purge_snap);
	SPI_execute_with_args("DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM outbox.deferred WHERE queue = $1"
						  " AND reason = 'evacuated'"
						  " AND pg_visible_in_snapshot(xid, $2::pg_snapshot)"
						  " LIMIT " ROWS_TEXT "))",
						  2, types, values, NULL, false, 0);
	if (SPI_processed == ROWS)
	{
		relay->hurry = true;
		return;
	}
	outbox_snap_unref(queue->purge_snap);
	queue->purge_snap = NULL;
	SPI_execute_with_args("SELECT FROM outbox.deferred WHERE queue = $1"
						  " AND reason = 'evacuated' LIMIT 1",
						  1, types, values, NULL, true, 0);
	queue->evacuated = SPI_processed > 0;
}

static void
purge_applied(Relay *relay, TimestampTz now)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {
		TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, -1000 * outbox_retention))
	};

	SPI_execute_with_args("DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM outbox.deferred"
						  " WHERE reason = 'applied' AND due_at < $1"
						  " ORDER BY due_at LIMIT " ROWS_TEXT "))",
						  1, types, values, NULL, false, 0);
	if (SPI_processed == ROWS)
		relay->hurry = true;
}

/*
 * Take what the last query has returned out of a queue's skip list.  If that
 * is lost it stays there, until the cursor is read the next time.
 */
static void
send_unskip(Relay *relay, RelayQueue *queue)
{
	char		expect_seq[24];

	expect_seq[pg_ulltoa_n(queue->expect_seq, expect_seq)] = '\0';
	outbox_script_call(&relay->command, OUTBOX_SCRIPT_APPLY, queue, "unskip",
					   3 + SPI_processed, queue->expect_pos, expect_seq,
					   queue->expect_pos, queue->expect_seq);
	outbox_resp_string(&relay->command, "0");
	outbox_resp_string(&relay->command, "");
	outbox_script_channel(&relay->command, queue);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		seq = SPI_getbinval(SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc, 1, &isnull);

		outbox_resp_number(&relay->command, DatumGetInt64(seq));
	}
	outbox_send_command(relay);
	outbox_expect_answer(relay, REQUEST_IGNORED, queue);
}

/*
 * The least transaction id that is still staged.
 */
static uint64
oldest_staged(OutboxStaging *staging)
{
	uint64		oldest = PG_UINT64_MAX;
	uint64		xid;

	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		if (outbox_staging_first_xid(staging, i, 0, &xid))
			oldest = Min(oldest, xid);
	return oldest;
}

/*
 * Forget the dead letters of a queue whose rows have left staging.
 */
static void
forget_of_queue(Relay *relay, RelayQueue *queue, Datum oldest)
{
	Oid			types[2] = {TEXTOID, INT4OID};
	Datum		values[2] = {oldest, Int32GetDatum(queue->settings.id)};

	SPI_execute_with_args("UPDATE outbox.dead_letter SET skipped = false"
						  " WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM outbox.dead_letter"
						  " WHERE skipped AND timeline > 0 AND queue = $2"
						  " AND xid < $1::xid8 LIMIT " ROWS_TEXT
						  " FOR UPDATE SKIP LOCKED)) RETURNING seq",
						  2, types, values, NULL, false, 0);
	if (SPI_processed > 0)
		send_unskip(relay, queue);
	relay->truncated |= SPI_processed == ROWS;
}

static void
forget_dead_letters(Relay *relay, OutboxStaging *staging)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	char		oldest[24];
	SPITupleTable *rows;
	uint64		n;

	oldest[pg_ulltoa_n(oldest_staged(staging), oldest)] = '\0';
	values[0] = CStringGetTextDatum(oldest);
	relay->truncated = false;
	SPI_execute_with_args("SELECT DISTINCT queue FROM outbox.dead_letter"
						  " WHERE skipped AND timeline > 0 AND xid < $1::xid8",
						  1, types, values, NULL, true, 0);
	rows = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		id = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);
		RelayQueue *queue = outbox_find_queue(relay, DatumGetInt32(id));

		if (queue != NULL && queue->state == QUEUE_FLOWING)
			forget_of_queue(relay, queue, values[0]);
		else
			relay->truncated = true;
	}
	SPI_execute("DELETE FROM outbox.dead_letter WHERE ctid = ANY (ARRAY("
				"SELECT ctid FROM outbox.dead_letter"
				" WHERE gone_at IS NOT NULL AND NOT skipped FOR UPDATE SKIP LOCKED))",
				false, 0);
}

/*
 * Delete what has been kept long enough.
 */
void
outbox_purge(Relay *relay, TimestampTz now)
{
	OutboxStaging staging;
	ListCell   *lc;

	outbox_begin_step();
	if (outbox_catalog_load() && outbox_lock_failures())
	{
		SPI_connect();
		purge_applied(relay, now);
		foreach(lc, relay->queues)
		{
			RelayQueue *queue = lfirst(lc);

			if (queue->evacuated && !queue->dropped)
				purge_queue(relay, queue, now);
		}
		if (relay->truncated &&
			outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_STAGING_TABLES))
		{
			forget_dead_letters(relay, &staging);
			outbox_staging_close(&staging);
		}
		SPI_finish();
	}
	outbox_end_step();
}
