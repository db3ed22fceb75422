/*-------------------------------------------------------------------------
 *
 * delayed.c
 *	  What becomes due: delayed messages, requests to deliver again.
 *
 * Design notes
 *
 * A delayed message is moved into staging when its time has come: one
 * transaction deletes it and stages it with a new identity.  From there it
 * travels like any other.  The relay knows when the next one is due: from the
 * index, and from shared memory, where commits leave the earliest time of what
 * they have deferred.  Rows that somebody else has locked, to take them back,
 * are left alone and looked at again soon.
 *
 * What shall be delivered again on purpose is staged again, too.  Only the
 * relay knows what has been delivered, so outbox_resend() leaves a request.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* moved in one transaction */
#define MOVE_ROWS		500

/*
 * Find out when the next delayed message is due.  SPI is connected.
 */
static void
find_next_due(Relay *relay)
{
	relay->due_at = DT_NOEND;
	SPI_execute("SELECT due_at FROM outbox.deferred WHERE reason = 'delayed'"
				" ORDER BY due_at LIMIT 1", true, 1);
	if (SPI_processed > 0)
	{
		bool		isnull;
		Datum		due = SPI_getbinval(SPI_tuptable->vals[0],
										SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			relay->due_at = DatumGetTimestampTz(due);
	}
}

void
outbox_look_for_due(Relay *relay)
{
	outbox_begin_step();
	if (outbox_catalog_load() && outbox_lock_relation(OUTBOX_REL_DEFERRED))
	{
		SPI_connect();
		find_next_due(relay);
		SPI_finish();
	}
	outbox_end_step();
}

/*
 * Stage what the last query has returned, with a new identity.
 */
static void
stage_rows(void)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "outbox rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(rows);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		OutboxMessage msg;

		outbox_row_message(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &msg);
		outbox_staging_insert(&msg);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(rows);
}

static bool
lock_tables(void)
{
	return outbox_lock_to_write(OUTBOX_REL_DEFERRED) &&
		outbox_lock_to_write(OUTBOX_REL_STAGING_1) &&
		outbox_lock_to_write(OUTBOX_REL_STAGING_2);
}

static bool
move_rows(Relay *relay, TimestampTz now)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(now)};
	bool		moved;

	SPI_connect();
	SPI_execute_with_args("WITH moved AS (DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM outbox.deferred"
						  " WHERE reason = 'delayed' AND due_at <= $1"
						  " ORDER BY due_at, seq LIMIT " CppAsString2(MOVE_ROWS)
						  " FOR UPDATE SKIP LOCKED)) RETURNING *)"
						  " SELECT * FROM moved ORDER BY due_at, seq",
						  1, types, values, NULL, false, 0);
	moved = SPI_processed > 0;
	stage_rows();
	find_next_due(relay);
	SPI_finish();
	return moved;
}

/*
 * Move what is due into staging.  True if anything was.
 */
bool
outbox_move_due(Relay *relay, TimestampTz now)
{
	uint64		told = pg_atomic_read_u64(&relay->slot->due);
	bool		moved = false;

	/* what commits have deferred since we looked */
	if (told != PG_UINT64_MAX)
		told = pg_atomic_exchange_u64(&relay->slot->due, PG_UINT64_MAX);
	if (told != PG_UINT64_MAX)
		relay->due_at = Min(relay->due_at, (TimestampTz) told);
	if (relay->due_at > now || relay->hold)
		return false;

	outbox_begin_step();
	if (outbox_catalog_load() && lock_tables())
		moved = move_rows(relay, now);
	outbox_end_step();
	if (moved)
		relay->look = true;
	else
		relay->due_at = Max(relay->due_at, now + OUTBOX_LOOK_AGAIN_US);
	return moved;
}

/*
 * What consumers have returned of messages that go again is of the past.
 */
static void
begin_anew(RelayQueue *queue, const SPITupleTable *rows, uint64 n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		ids[i] = SPI_getbinval(rows->vals[i], rows->tupdesc, Anum_staging_id,
							   &isnull);
	outbox_forget_messages(queue->settings.id, ids, (int) n);
	pfree(ids);
}

/*
 * Stage again what Redis has acknowledged of a queue.  SPI is connected.
 */
static void
resend(RelayQueue *queue, Datum since)
{
	Oid			types[5] = {INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[5] = {
		Int32GetDatum(queue->settings.id), since,
		outbox_snap_text(queue->acked.prev), outbox_snap_text(queue->acked.cur),
		Int64GetDatum((int64) queue->acked.seq)
	};
	Portal		portal;

	portal = SPI_cursor_open_with_args(NULL,
									   "SELECT r.* FROM ("
									   "SELECT *, '' AS reason FROM outbox.staging_1 UNION ALL "
									   "SELECT *, '' FROM outbox.staging_2 UNION ALL "
									   "SELECT " OUTBOX_STAGING_COLUMNS ", reason"
									   " FROM outbox.deferred"
									   " WHERE reason IN ('evacuated', 'applied')) AS r"
									   " WHERE queue = $1 AND enqueued_at >= $2"
									   " AND (pg_visible_in_snapshot(xid, $3::pg_snapshot)"
									   " OR (pg_visible_in_snapshot(xid, $4::pg_snapshot)"
									   " AND seq <= $5))"
									   " AND (reason <> '' OR NOT EXISTS ("
									   "SELECT FROM outbox.deferred AS d WHERE d.queue = $1"
									   " AND d.seq = r.seq AND d.reason IN"
									   " ('retry', 'behind', 'evacuated', 'applied')"
									   " UNION ALL SELECT FROM outbox.dead_letter AS d"
									   " WHERE d.queue = $1 AND d.seq = r.seq"
									   " AND d.timeline > 0)) ORDER BY seq",
									   5, types, values, NULL, false, 0);
	for (;;)
	{
		SPITupleTable *rows;
		uint64		n;

		SPI_cursor_fetch(portal, true, MOVE_ROWS);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		stage_rows();
		if (queue->settings.consumer_retry)
			begin_anew(queue, rows, n);
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
}

/*
 * Do what outbox_resend() has asked for, one request of a queue that flows.
 */
void
outbox_resend_requested(Relay *relay)
{
	relay->look_for_requests = relay->requests_wait = false;
	outbox_begin_step();
	if (outbox_catalog_load() && lock_tables() &&
		outbox_lock_to_write(OUTBOX_REL_RETURNED) &&
		outbox_lock_to_write(OUTBOX_REL_RESEND_REQUEST))
	{
		SPI_connect();
		SPI_execute("SELECT ctid, queue, since FROM outbox.resend_request"
					" FOR UPDATE SKIP LOCKED", false, 0);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tup = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;
			int32		id = DatumGetInt32(SPI_getbinval(tup, desc, 2, &isnull));
			RelayQueue *queue = outbox_find_queue(relay, id);
			Oid			types[1] = {TIDOID};
			Datum		values[1];

			/* what it has delivered is known only when it has caught up */
			if (queue != NULL && (queue->state != QUEUE_FLOWING || queue->past_ticks > 0))
			{
				relay->requests_wait = true;
				continue;
			}
			values[0] = SPI_getbinval(tup, desc, 1, &isnull);
			if (queue != NULL)
				resend(queue, SPI_getbinval(tup, desc, 3, &isnull));
			SPI_execute_with_args("DELETE FROM outbox.resend_request WHERE ctid = $1",
								  1, types, values, NULL, false, 0);
			relay->look = relay->look_for_requests = true;
			break;
		}
		SPI_finish();
	}
	outbox_end_step();
}
