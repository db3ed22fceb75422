/*-------------------------------------------------------------------------
 *
 * resend.c
 *	  Deliver messages again that Redis has acknowledged, on request.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Messages are delivered again by staging them again.  Only the relay knows
 * which messages have been delivered, so outbox_resend() inserts a request.
 * A request waits until the queue flows and takes part in plans up to a new
 * snapshot: before that the relay doesn't know, either.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/resend.h"

#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/consumers/returned.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"

/* rows fetched at a time */
#define RESEND_ROWS		500

static bool requests_wanted = true;
static bool requests_wait = false;	/* for queues to flow, or for a lock */

void
outbox_look_for_resend(void)
{
	requests_wanted = true;
}

void
outbox_look_for_waiting_resend(void)
{
	requests_wanted |= requests_wait;
}

/*
 * Messages that are delivered again begin with their first attempt.
 */
static void
begin_anew(RelayQueue *queue, const SPITupleTable *rows, uint64 n)
{
	Datum	   *ids = palloc(n * sizeof(Datum));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		ids[i] = SPI_getbinval(rows->vals[i], rows->tupdesc, Anum_staging_id,
							   &isnull);
	outbox_forget_messages(queue->settings->id, ids, (int) n);
	pfree(ids);
}

/*
 * An SQL cursor over the queue's rows that Redis has acknowledged.  If a message
 * has a row in another table, too, its row in staging doesn't count.
 */
static Portal
open_acknowledged(RelayQueue *queue, Datum since)
{
	const OutboxPosition *acked = &queue->cursor->acked;
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"since", TIMESTAMPTZOID, since},
		{"prev", TEXTOID, outbox_snap_text(acked->prev)},
		{"cur", TEXTOID, outbox_snap_text(acked->cur)},
		{"last", INT8OID, Int64GetDatum((int64) acked->seq)}
	};

	return outbox_query_cursor("SELECT r.* FROM ("
							   "SELECT *, '' AS reason FROM outbox.staging_1 UNION ALL "
							   "SELECT *, '' FROM outbox.staging_2 UNION ALL "
							   "SELECT " OUTBOX_STAGING_COLUMNS ", reason"
							   " FROM outbox.deferred"
							   " WHERE reason IN ('evacuated', 'applied')) AS r"
							   " WHERE queue = $queue AND enqueued_at >= $since"
							   " AND " OUTBOX_COVERED("r")
							   " AND (reason <> '' OR NOT EXISTS ("
							   "SELECT FROM outbox.deferred AS d"
							   " WHERE d.queue = $queue AND d.seq = r.seq"
							   " AND d.reason IN " OUTBOX_REASONS_NUMBERED
							   " UNION ALL SELECT FROM outbox.dead_letter AS d"
							   " WHERE d.queue = $queue AND d.seq = r.seq"
							   " AND d." OUTBOX_DEAD_NUMBERED ")) ORDER BY seq",
							   params, lengthof(params));
}

/*
 * Stage again what Redis has acknowledged of a queue since then.  SPI is
 * connected.
 */
static void
resend(RelayQueue *queue, Datum since)
{
	Portal		portal = open_acknowledged(queue, since);

	for (;;)
	{
		SPITupleTable *rows;
		uint64		n;

		SPI_cursor_fetch(portal, true, RESEND_ROWS);
		rows = SPI_tuptable;
		n = SPI_processed;
		if (n == 0)
			break;
		outbox_stage_result();
		if (queue->settings->consumer_retry)
			begin_anew(queue, rows, n);
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
}

/*
 * Do the first request whose queue is ready.  SPI is connected.
 */
static void
do_one_request(void)
{
	uint64		n = outbox_query("SELECT ctid, queue, since FROM outbox.resend_request"
								 " FOR UPDATE SKIP LOCKED", NULL, 0);

	for (uint64 i = 0; i < n; i++)
	{
		RelayQueue *queue = outbox_find_queue((int32) outbox_result_int64(i, 2));
		OutboxParam request = {"request", TIDOID};
		bool		isnull;

		if (queue != NULL && (queue->state->state != QUEUE_FLOWING ||
							  queue->plan->ticks_behind > 0))
		{
			requests_wait = true;
			continue;
		}
		request.value = outbox_result(i, 1, &isnull);
		if (queue != NULL)
			resend(queue, outbox_result(i, 3, &isnull));
		outbox_query("DELETE FROM outbox.resend_request WHERE ctid = $request",
					 &request, 1);
		outbox_want_plan(PLAN_STAGED);
		requests_wanted = true;
		return;
	}
}

void
outbox_resend_requested(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_DEFERRED, true},
		{OUTBOX_REL_STAGING_1, true},
		{OUTBOX_REL_STAGING_2, true},
		{OUTBOX_REL_RETURNED, true},
		{OUTBOX_REL_RESEND_REQUEST, true}
	};

	if (!requests_wanted)
		return;
	requests_wanted = requests_wait = false;
	if (!outbox_begin_locked_step(locks, lengthof(locks)))
	{
		requests_wait = true;
		return;
	}
	SPI_connect();
	do_one_request();
	SPI_finish();
	outbox_end_step();
}
