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
 * There may be very many, so all is done in pieces.  First the queue's rows are
 * looked for that its position covers, like those of a plan; then they are staged
 * in the order of their numbers, some in each turn, and how far that has got is
 * written to the request in the same transaction.  Another relay goes on from
 * there.  What is staged again has greater numbers than any message had when the
 * request was begun, and isn't taken for what was asked for.
 *
 * If a message can't be read, its queue's requests are set aside: they wait, and those
 * of other queues do not.
 *
 * If a message has rows in several tables, the one that was written last tells:
 * it is delivered again only if it is not refused, behind a refused one, or a
 * dead letter.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/resend.h"

#include "compat.h"
#include "queue/partition.h"
#include "relay/base/aside.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/consumers/returned.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "store/query.h"
#include "store/staging.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* rows staged in one transaction, and remembered at a time */
#define RESEND_ROWS		500
#define RESEND_LIMIT	(512 * 1024)

/* bytes after which a transaction takes no further row */
#define RESEND_BYTES	(1024 * 1024)

/* entries of other queues before they are passed over; how often to look at the time */
#define USELESS_ROWS	32
#define CHECK_ROWS		64

/* the request that is under way */
typedef struct Resend
{
	int32		queue;			/* 0: none */
	TimestampTz since;
	uint64		upto;
	uint64		done;
	OutboxPosition acked;		/* when it was begun */
	bool		scanned;		/* rows are complete, as far as there is room */
	PlanRows	rows;
	TickScan	tick;
	uint32		files[OUTBOX_TABLES];
	uint64		visited;
	uint64		xid;			/* entries of these came last ... */
	int32		other;
	int			useless;		/* ... and so many were of no use */
} Resend;

static Resend resend;
static bool requests_wanted = true;
static bool requests_wait = false;	/* for queues to flow, or for a lock */

/* queues that have a message which can't be read */
static Aside aside = {{"deliver messages again"}};

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

static void
forget_request(void)
{
	outbox_snap_unref(resend.acked.prev);
	outbox_snap_unref(resend.acked.cur);
	memset(&resend.acked, 0, sizeof(OutboxPosition));
	outbox_rows_forget(&resend.rows);
	outbox_tick_end(&resend.tick);
	resend.queue = 0;
}

/*
 * Look for rows from the beginning, behind what is done.
 */
static void
begin_scan(Relay *relay, const OutboxStaging *staging)
{
	outbox_rows_forget(&resend.rows);
	outbox_tick_end(&resend.tick);
	resend.rows.limit = RESEND_LIMIT;
	resend.scanned = false;
	resend.useless = 0;
	outbox_tick_begin(&resend.tick, OUTBOX_TABLES, relay->context);
	resend.tick.from = 0;
	resend.tick.below = resend.acked.cur->xmax;
	for (int i = 0; i < OUTBOX_TABLES; i++)
		resend.files[i] = outbox_relation_file(staging->table[i]);
}

/*
 * Note that a request is begun, unless a former relay has.  SPI is connected.
 */
static uint64
begin_request(Datum tid, uint64 upto)
{
	OutboxParam params[] = {{"request", TIDOID, tid}};

	if (upto != 0)
		return upto;
	outbox_query("UPDATE outbox.resend_request"
				 " SET upto = (SELECT last_value FROM outbox.seq)"
				 " WHERE ctid = $request RETURNING upto", params, 1);
	return (uint64) outbox_result_int64(0, 1);
}

static void
delete_request(Datum tid)
{
	OutboxParam params[] = {{"request", TIDOID, tid}};

	outbox_query("DELETE FROM outbox.resend_request WHERE ctid = $request",
				 params, 1);
}

/*
 * Begin the first request whose queue is ready.  SPI is connected.
 */
static void
find_request(Relay *relay, const OutboxStaging *staging)
{
	uint64		n = outbox_query("SELECT ctid, queue, since, upto, done"
								 " FROM outbox.resend_request"
								 " FOR UPDATE SKIP LOCKED", NULL, 0);

	requests_wanted = false;
	requests_wait = n == 0 &&
		outbox_query("SELECT FROM outbox.resend_request LIMIT 1", NULL, 0) > 0;
	for (uint64 i = 0; i < n; i++)
	{
		RelayQueue *queue = outbox_find_queue((int32) outbox_result_int64(i, 2));
		bool		isnull;
		Datum		tid = outbox_result(i, 1, &isnull);

		if (queue != NULL && (queue->state->state != QUEUE_FLOWING ||
							  queue->plan->ticks_behind > 0 ||
							  outbox_is_aside(&aside, queue->settings->id) ||
							  !outbox_queue_is_free(outbox_queue_of(queue->settings))))
		{
			requests_wait = true;
			continue;
		}
		requests_wanted = true;
		if (queue == NULL)
		{
			delete_request(tid);
			return;
		}
		resend.queue = queue->settings->id;
		resend.since = outbox_result_int64(i, 3);
		resend.done = (uint64) outbox_result_int64(i, 5);
		resend.acked = queue->cursor->acked;
		outbox_snap_ref(resend.acked.prev);
		outbox_snap_ref(resend.acked.cur);
		resend.upto = begin_request(tid, (uint64) outbox_result_int64(i, 4));
		begin_scan(relay, staging);
		return;
	}
}

/*
 * The entry is of no use.  If others like it are likely to follow, pass over
 * them.
 */
static OutboxWalk
useless(const OutboxStagedEntry *entry)
{
	if (entry->xid != resend.xid || entry->queue != resend.other)
		resend.useless = 0;
	resend.xid = entry->xid;
	resend.other = entry->queue;
	return ++resend.useless % USELESS_ROWS == 0 ?
		OUTBOX_WALK_TO_KEY : OUTBOX_WALK_ON;
}

static OutboxWalk
scan_visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	bool		mine = entry->queue == resend.queue;
	TimestampTz at;
	PlanEntry	row;

	if (++resend.visited % CHECK_ROWS == 0 && outbox_piece_is_done())
		return OUTBOX_WALK_STOP;
	if (!mine || entry->seq <= resend.done || entry->seq > resend.upto ||
		!outbox_position_covers(&resend.acked, entry->xid, entry->seq))
	{
		*key = (OutboxStagedKey) {entry->xid, entry->queue + 1, 0};
		if (mine && entry->seq <= resend.done)
			*key = (OutboxStagedKey) {entry->xid, entry->queue, resend.done + 1};
		return useless(entry);
	}
	if (!outbox_staging_visible(arg, entry, &at) || at < resend.since)
		return OUTBOX_WALK_ON;
	row.seq = entry->seq;
	row.block = ItemPointerGetBlockNumber(&entry->tid);
	row.offset = ItemPointerGetOffsetNumber(&entry->tid);
	row.table = entry->table;
	outbox_rows_add(&resend.rows, TopMemoryContext, &row);
	return OUTBOX_WALK_ON;
}

/*
 * Stage the next rows.  SPI is connected.  Returns how many there were.
 */
static int
stage_rows(OutboxStaging *staging, Datum *ids)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox rows to resend",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Size		bytes = 0;
	int			n = 0;

	while (outbox_rows_left(&resend.rows) && n < RESEND_ROWS &&
		   bytes < RESEND_BYTES && !(n % 16 == 15 && outbox_piece_is_done()))
	{
		const PlanEntry *row = outbox_rows_first(&resend.rows);
		OutboxMessage msg;

		resend.done = row->seq;
		if (outbox_fetch_planned(staging, row, &msg) &&
			(msg.reason == 0 || msg.reason == OUTBOX_EVACUATED ||
			 msg.reason == OUTBOX_APPLIED))
		{
			pg_uuid_t  *id = MemoryContextAlloc(CurTransactionContext,
												sizeof(pg_uuid_t));

			*id = msg.id;
			ids[n++] = UUIDPGetDatum(id);
			bytes += VARSIZE_ANY(msg.payload);
			outbox_staging_insert(&msg, 1);
		}
		outbox_rows_advance(&resend.rows);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/*
 * Lock the request; false if somebody else has, or has deleted it.  SPI is
 * connected.
 */
static bool
lock_request(Datum *tid)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(resend.queue)},
		{"upto", INT8OID, Int64GetDatum((int64) resend.upto)}
	};
	bool		isnull;

	if (outbox_query("SELECT ctid FROM outbox.resend_request"
					 " WHERE queue = $queue AND upto = $upto LIMIT 1"
					 " FOR UPDATE SKIP LOCKED", params, lengthof(params)) == 0)
		return false;
	*tid = outbox_result(0, 1, &isnull);
	return true;
}

/*
 * Stage a piece, and note how far that is.  SPI is connected.
 */
static void
stage_piece(Relay *relay, OutboxStaging *staging)
{
	RelayQueue *queue = outbox_known_queue(resend.queue);
	Datum		ids[RESEND_ROWS];
	OutboxParam params[2];
	Datum		tid;
	int			n;

	if (queue == NULL || !lock_request(&tid))
	{
		forget_request();
		return;
	}
	n = stage_rows(staging, ids);
	/* messages that are delivered again begin with their first attempt */
	if (n > 0 && queue->settings->consumer_retry)
		outbox_forget_messages(resend.queue, ids, n);
	if (n > 0)
		outbox_want_plan(PLAN_STAGED);
	outbox_turn_worked(resend.queue, n);
	if (!outbox_rows_left(&resend.rows) && !resend.rows.cut)
	{
		delete_request(tid);
		forget_request();
		return;
	}
	params[0] = (OutboxParam) {"request", TIDOID, tid};
	params[1] = (OutboxParam) {"done", INT8OID, Int64GetDatum((int64) resend.done)};
	outbox_query("UPDATE outbox.resend_request SET done = $done"
				 " WHERE ctid = $request", params, lengthof(params));
	if (!outbox_rows_left(&resend.rows))
		begin_scan(relay, staging);
}

static bool
tables_are_the_same(const OutboxStaging *staging)
{
	for (int i = 0; i < OUTBOX_TABLES; i++)
		if (resend.files[i] != outbox_relation_file(staging->table[i]))
			return false;
	return true;
}

/*
 * SPI is connected.
 */
static void
do_piece(Relay *relay, OutboxStaging *staging)
{
	if (resend.queue == 0)
	{
		find_request(relay, staging);
		return;
	}
	if (!tables_are_the_same(staging))
		begin_scan(relay, staging);
	if (!resend.scanned)
	{
		uint64		before = resend.visited;

		resend.scanned = outbox_tick_scan(&resend.tick, staging, scan_visit,
										  staging);
		outbox_turn_worked(resend.queue, (int64) (resend.visited - before));
	}
	else
		stage_piece(relay, staging);
}

static bool
do_step(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_DEFERRED, true},
		{OUTBOX_REL_STAGING_1, true},
		{OUTBOX_REL_STAGING_2, true},
		{OUTBOX_REL_RETURNED, true},
		{OUTBOX_REL_RESEND_REQUEST, true},
		{OUTBOX_REL_SEQ, true},
		{OUTBOX_REL_DEAD_LETTER, false}
	};
	OutboxStaging staging;
	bool		ok = false;

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
	{
		requests_wait = true;
		requests_wanted = false;
		return false;
	}
	outbox_turn_does(OUTBOX_STEP_RESEND);
	ok = outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES);
	if (ok)
	{
		SPI_connect();
		do_piece(relay, &staging);
		SPI_finish();
		outbox_staging_close(&staging);
	}
	else
		requests_wait = true;
	outbox_end_step();
	return ok && (requests_wanted || resend.queue != 0);
}

/*
 * In PG_CATCH(): leave the queue's requests for later.  What has been passed in this
 * piece was not staged: they begin anew from what the table says.
 */
static bool
can_go_on_without(MemoryContext context)
{
	RelayQueue *queue = outbox_known_queue(resend.queue);
	char		what[OUTBOX_OBSTACLE_SIZE];

	forget_request();
	requests_wanted = true;
	if (queue == NULL || !outbox_is_error_of_data())
		return false;
	snprintf(what, sizeof(what), "deliver messages of %s again",
			 outbox_queue_title(queue->settings));
	if (!outbox_set_aside(&aside, queue->settings->id, what, context))
		return false;
	outbox_show_error(queue, psprintf("cannot %s: %s", what, aside.mishap.text));
	return true;
}

bool
outbox_resend_requested(Relay *relay)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool more;

	requests_wanted |= outbox_try_aside_again(&aside, outbox_now());
	if (!requests_wanted && resend.queue == 0)
		return false;
	PG_TRY();
	{
		more = do_step(relay);
	}
	PG_CATCH();
	{
		if (!can_go_on_without(context))
			PG_RE_THROW();
		more = true;
	}
	PG_END_TRY();
	return more;
}
