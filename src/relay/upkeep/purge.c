/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  Delete rows that have been kept long enough.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Evacuated rows whose messages have been delivered stay for outbox.retention,
 * as rows in staging do; so do messages that were refused first and have been
 * delivered since.  As with staging, a look later than that must have found that
 * Redis has not lost what they are kept for (look.c), and with wait_replicas
 * enough replicas have it.
 *
 * The seq of a dead letter stays in its queue's skip list as long as the
 * message has a row in staging: if a crash loses the dead letter's record, it
 * is made again from these two (reconcile.c).  So the record of a dead letter
 * that was replayed or discarded is kept as long, or it would be made again,
 * too.  When the row is gone, the seq leaves the skip list, and then the record
 * can be deleted.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/purge.h"

#include "guc.h"
#include "redis/resp.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/look.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/script.h"
#include "relay/deliver/sent.h"
#include "relay/deliver/tick.h"
#include "relay/upkeep/replicas.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* rows deleted in one statement */
#define ROWS		300
#define ROWS_TEXT	CppAsString2(ROWS)

static bool want_unskip = true;

/* when this was looked for, no row with the reason "applied" had an earlier time */
static TimestampTz none_applied_before = DT_NOBEGIN;

static QueuePurge *
mine(const RelayQueue *queue)
{
	return unconstify(QueuePurge *, queue->purge);
}

void
outbox_purge_init(RelayQueue *queue)
{
	queue->purge = outbox_make_part(queue, sizeof(QueuePurge));
}

static void
forget_snapshot(QueuePurge *purge)
{
	outbox_snap_unref(purge->delivered);
	purge->delivered = NULL;
}

void
outbox_purge_free(RelayQueue *queue)
{
	forget_snapshot(mine(queue));
}

void
outbox_want_unskip(void)
{
	want_unskip = true;
}

static bool
is_at_present(const RelayQueue *queue)
{
	return queue->state->state == QUEUE_FLOWING &&
		queue->plan->ticks_behind == 0 &&
		outbox_cursor_replicated_snapshot(queue) != NULL;
}

/*
 * Note which messages are delivered now: their rows may be deleted when the
 * retention has passed.
 */
static void
begin_retention(RelayQueue *queue, OutboxTime now)
{
	QueuePurge *purge = mine(queue);

	purge->delivered = outbox_snap_ref(outbox_cursor_replicated_snapshot(queue));
	purge->cursor_reads = queue->cursor->reads;
	purge->at = outbox_in_ms(now, outbox_retention * INT64CONST(1000));
}

/*
 * Delete evacuated rows whose messages have been delivered and kept long
 * enough.  True if there are more.
 */
static bool
purge_evacuated(RelayQueue *queue, OutboxTime now)
{
	QueuePurge *purge = mine(queue);
	OutboxParam params[2];

	if (purge->cursor_reads != queue->cursor->reads)
		forget_snapshot(purge);
	if (purge->delivered == NULL)
	{
		if (is_at_present(queue))
			begin_retention(queue, now);
		return false;
	}
	if (purge->at > now || queue->cursor->confirmed_at < purge->at)
		return false;
	params[0] = (OutboxParam) {"queue", INT4OID, Int32GetDatum(queue->settings->id)};
	params[1] = (OutboxParam) {"seen", TEXTOID, outbox_snap_text(purge->delivered)};
	if (outbox_query("DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
					 "SELECT ctid FROM outbox.deferred WHERE queue = $queue"
					 " AND reason = 'evacuated'"
					 " AND pg_visible_in_snapshot(xid, $seen::pg_snapshot)"
					 " LIMIT " ROWS_TEXT " FOR UPDATE SKIP LOCKED))",
					 params, 2) == ROWS)
		return true;
	forget_snapshot(purge);
	outbox_note_evacuated(queue,
						  outbox_query("SELECT FROM outbox.deferred"
									   " WHERE queue = $queue"
									   " AND reason = 'evacuated' LIMIT 1",
									   params, 2) > 0);
	return false;
}

/*
 * The ids of the queues at whose cursors there was no look within this time, or
 * whose replicas have not kept up within that time.
 */
static Datum
unconfirmed(const Relay *relay, OutboxTime now, int64 look_ms, int64 kept_ms)
{
	uint64	   *ids = palloc((list_length(relay->queues) + 1) * sizeof(uint64));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (!outbox_cursor_confirmed(queue, outbox_in_ms(now, -look_ms)) ||
			!outbox_replicas_kept_up(queue, outbox_in_ms(now, -kept_ms),
									 look_ms, now))
			ids[n++] = queue->settings->id;
	}
	return outbox_int8_array(ids, n);
}

/*
 * Rows with the reason "applied" are kept for the retention, then until the next look,
 * whose answer is here when two have been due.
 */
static int64
applied_kept_ms(void)
{
	return outbox_retention * INT64CONST(1000) + 2 * (int64) outbox_look_interval_ms();
}

static TimestampTz
applied_expire_before(void)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -applied_kept_ms());
}

/*
 * May there be such a row?  If the clock has been put back, nothing is known.
 */
static bool
may_be_applied(void)
{
	return applied_expire_before() > none_applied_before ||
		GetCurrentTimestamp() < none_applied_before;
}

/*
 * Such a row gets the time of then when it is written.
 */
static void
find_first_applied(void)
{
	static SPIPlanPtr plan = NULL;
	TimestampTz now = GetCurrentTimestamp();

	none_applied_before =
		outbox_query_in_order(&plan, "SELECT due_at FROM outbox.deferred"
							  " WHERE reason = 'applied' AND due_at IS NOT NULL"
							  " ORDER BY due_at LIMIT 1", NULL, 0) > 0 ?
		Min(outbox_result_int64(0, 1), now) : now;
}

/*
 * Delete rows with the reason "applied" that have been kept long enough.  True if
 * there are more.
 */
static bool
purge_applied(const Relay *relay, OutboxTime now)
{
	TimestampTz before = applied_expire_before();
	OutboxParam params[2] = {
		{"before", TIMESTAMPTZOID, TimestampTzGetDatum(before)}
	};

	if (may_be_applied())
		find_first_applied();
	if (before <= none_applied_before)
		return false;
	params[1] = (OutboxParam) {
		"unconfirmed", INT8ARRAYOID,
		unconfirmed(relay, now, 2 * (int64) outbox_look_interval_ms(), applied_kept_ms())
	};
	return outbox_query("DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
						"SELECT ctid FROM outbox.deferred"
						" WHERE reason = 'applied' AND due_at < $before"
						" AND queue <> ALL ($unconfirmed)"
						" ORDER BY due_at LIMIT " ROWS_TEXT
						" FOR UPDATE SKIP LOCKED))",
						params, lengthof(params)) == ROWS;
}

/*
 * Take the seqs that the last query has returned out of the queue's skip list.
 * If the request is lost, they stay there until the cursor is read again.
 */
static void
send_unskip(RelayQueue *queue)
{
	const QueueCursor *cursor = queue->cursor;
	StringInfoData seqs;

	initStringInfo(&seqs);
	for (uint64 i = 0; i < SPI_processed; i++)
		outbox_resp_number(&seqs, (uint64) outbox_result_int64(i, 1));
	outbox_send_call(queue, &(ScriptCall) {
		.mode = SCRIPT_MOVE,
		.to_text = cursor->expect_text,
		.to_seq = cursor->expect_seq,
		.nargs = (int) SPI_processed,
		.args = &seqs
	});
	outbox_expect_answer(queue->link, REQUEST_IGNORED, queue);
}

/*
 * The least transaction id that has a row in staging.
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
 * Take dead letters of a queue whose rows have left staging out of its skip
 * list.
 */
static void
unskip_dead_letters_of(RelayQueue *queue, Datum oldest)
{
	OutboxParam params[] = {
		{"oldest", TEXTOID, oldest},
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)}
	};
	uint64		n = outbox_query("UPDATE outbox.dead_letter SET skipped = false"
								 " WHERE ctid = ANY (ARRAY("
								 "SELECT ctid FROM outbox.dead_letter"
								 " WHERE skipped AND " OUTBOX_DEAD_NUMBERED
								 " AND queue = $queue AND xid < $oldest::xid8"
								 " LIMIT " ROWS_TEXT
								 " FOR UPDATE SKIP LOCKED)) RETURNING seq",
								 params, lengthof(params));

	if (n > 0)
		send_unskip(queue);
	want_unskip |= n == ROWS;
}

static void
unskip_dead_letters(OutboxStaging *staging)
{
	OutboxParam params[] = {
		{"oldest", TEXTOID, outbox_xid_text(oldest_staged(staging))}
	};
	SPITupleTable *rows;
	uint64		n;

	want_unskip = false;
	n = outbox_query("SELECT DISTINCT queue FROM outbox.dead_letter"
					 " WHERE skipped AND " OUTBOX_DEAD_NUMBERED
					 " AND xid < $oldest::xid8",
					 params, lengthof(params));
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		id = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);
		RelayQueue *queue = outbox_find_queue(DatumGetInt32(id));

		if (queue != NULL && queue->state->state == QUEUE_FLOWING &&
			!outbox_piece_is_done())
			unskip_dead_letters_of(queue, params[0].value);
		else
			want_unskip = true;
	}
	want_unskip |=
		outbox_query("DELETE FROM outbox.dead_letter WHERE ctid = ANY (ARRAY("
					 "SELECT ctid FROM outbox.dead_letter"
					 " WHERE gone_at IS NOT NULL AND NOT skipped"
					 " LIMIT " ROWS_TEXT " FOR UPDATE SKIP LOCKED))",
					 NULL, 0) == ROWS;
}

/*
 * May any row be deleted now?  This is asked once a second.
 */
static bool
may_be_any(const Relay *relay)
{
	ListCell   *lc;

	/* an obstacle is forgotten by who can write */
	if (want_unskip || may_be_applied() || outbox_oldest_obstacle() != NULL)
		return true;
	foreach(lc, relay->queues)
	{
		if (((RelayQueue *) lfirst(lc))->held->evacuated)
			return true;
	}
	return false;
}

bool
outbox_purge(Relay *relay, OutboxTime now)
{
	OutboxStaging staging;
	bool		more;
	ListCell   *lc;

	if (!may_be_any(relay) || !outbox_begin_failure_step())
		return false;
	outbox_turn_does(OUTBOX_STEP_PURGE);
	SPI_connect();
	more = purge_applied(relay, now);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!queue->held->evacuated || queue->listed->dropped)
			continue;
		if (outbox_piece_is_done())
		{
			more = true;
			break;
		}
		more |= purge_evacuated(queue, now);
	}
	if (want_unskip &&
		outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_STAGING_TABLES))
	{
		unskip_dead_letters(&staging);
		outbox_staging_close(&staging);
	}
	SPI_finish();
	outbox_end_step();
	return more;
}
