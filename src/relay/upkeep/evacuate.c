/*-------------------------------------------------------------------------
 *
 * evacuate.c
 *	  Copy rows of queues that stand still out of a staging table, so that the
 *	  table can be emptied.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A staging table is emptied when all its messages are acknowledged.  A queue
 * that stands still would prevent that, so the queue's rows are copied to
 * outbox.deferred with their identity.  When the queue flows again, they are
 * planned from there like rows in staging.
 *
 * Rows are copied in pieces, in the order of the index, while transactions may
 * still add rows to the table.  Rows that were added behind the last piece are
 * copied when the table is locked, in the transaction that empties it.
 *
 * Dead letters are not copied, though the cursor may not cover them when Redis
 * has lost its last writes: a copy would be delivered.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/evacuate.h"

#include "catalog.h"
#include "clock.h"
#include "guc.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/tables.h"
#include "utils/builtins.h"

/* rows copied in one statement */
#define ROWS		1000
#define ROWS_TEXT	CppAsString2(ROWS)

/* how long a queue has to stand still before it is worth copying */
#define STILL_MS	5000

/* the queue's rows that its cursor doesn't cover, behind the last row copied */
#define LEFT_BEHIND "FROM outbox.staging_%d AS s WHERE queue = $queue" \
	" AND (xid, seq) > ($xid::xid8, $seq) AND NOT " OUTBOX_COVERED("s")

/* parameters of all statements here */
enum
{
	PARAM_QUEUE,
	PARAM_PREV,
	PARAM_CUR,
	PARAM_LAST,
	PARAM_XID,
	PARAM_SEQ,
	NPARAMS
};

static uint64 emptied = 0;		/* how often a table was emptied */
static uint64 emptied_when_begun = 0;	/* the same, when copying began */

static QueueEvacuation *
mine(const RelayQueue *queue)
{
	return unconstify(QueueEvacuation *, queue->evacuation);
}

void
outbox_evacuation_init(RelayQueue *queue)
{
	queue->evacuation = outbox_make_part(queue, sizeof(QueueEvacuation));
	mine(queue)->table = -1;
}

void
outbox_table_was_emptied(void)
{
	emptied++;
}

/*
 * A queue that flows may be evacuated only as long as it still looks for rows
 * outside of staging.
 */
bool
outbox_may_evacuate(const RelayQueue *queue)
{
	const QueueState *state = queue->state;
	int64		ms = Min(STILL_MS, outbox_retention * INT64CONST(1000));

	return (state->state == QUEUE_PAUSED || state->state == QUEUE_BLOCKED ||
			(state->still_since != 0 && queue->plan->ticks_behind > 0)) &&
		queue->cursor->acked.prev != NULL && queue->requests->inflight == 0 &&
		outbox_now() >= outbox_in_ms(state->still_seen_at, ms);
}

static void
set_params(const RelayQueue *queue, uint64 xid, uint64 seq, OutboxParam *params)
{
	const OutboxPosition *acked = &queue->cursor->acked;

	params[PARAM_QUEUE] = (OutboxParam) {"queue", INT4OID, Int32GetDatum(queue->settings->id)};
	params[PARAM_PREV] = (OutboxParam) {"prev", TEXTOID, outbox_snap_text(acked->prev)};
	params[PARAM_CUR] = (OutboxParam) {"cur", TEXTOID, outbox_snap_text(acked->cur)};
	params[PARAM_LAST] = (OutboxParam) {"last", INT8OID, Int64GetDatum((int64) acked->seq)};
	params[PARAM_XID] = (OutboxParam) {"xid", TEXTOID, outbox_xid_text(xid)};
	params[PARAM_SEQ] = (OutboxParam) {"seq", INT8OID, Int64GetDatum((int64) seq)};
}

/*
 * Copy rows behind the last one copied; "which" may end the SQL with an order
 * and a limit.
 */
static void
copy_rows(RelayQueue *queue, int table, const OutboxParam *params,
		  const char *which)
{
	char	   *sql = psprintf("INSERT INTO outbox.deferred"
							   " SELECT s.*, 'evacuated' " LEFT_BEHIND
							   " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
							   " WHERE d.queue = $queue AND d.seq = s.seq"
							   " AND d." OUTBOX_DEAD_NUMBERED ") %s"
							   " ON CONFLICT (queue, seq)"
							   " WHERE reason IN " OUTBOX_REASONS_NUMBERED
							   " DO NOTHING", table + 1, which);

	if (outbox_query(sql, params, NPARAMS) > 0)
		outbox_note_evacuated(queue, true);
}

/*
 * Copy the next rows of a queue.  True if there are no more.
 */
static bool
copy_next_rows(RelayQueue *queue, int table)
{
	QueueEvacuation *done = mine(queue);
	OutboxParam params[NPARAMS];
	char	   *how_far;

	if (done->table != table)
	{
		done->table = table;
		done->xid = done->seq = 0;
	}
	set_params(queue, done->xid, done->seq, params);
	copy_rows(queue, table, params, "ORDER BY xid, seq LIMIT " ROWS_TEXT);
	how_far = psprintf("SELECT xid, seq " LEFT_BEHIND
					   " ORDER BY xid, seq OFFSET " ROWS_TEXT " - 1 LIMIT 1",
					   table + 1);
	if (outbox_query(how_far, params, NPARAMS) == 0)
		return true;
	done->xid = (uint64) outbox_result_int64(0, 1);
	done->seq = (uint64) outbox_result_int64(0, 2);
	return false;
}

/*
 * When a table has been emptied, its new rows have to be copied from the
 * beginning.
 */
static void
begin_anew(Relay *relay)
{
	ListCell   *lc;

	if (emptied == emptied_when_begun)
		return;
	emptied_when_begun = emptied;
	foreach(lc, relay->queues)
		mine(lfirst(lc))->table = -1;
}

static bool
evacuate(Relay *relay, int table, bool rest)
{
	bool		done = true;
	ListCell   *lc;

	if (!outbox_lock_to_write(OUTBOX_REL_DEFERRED))
		return false;
	begin_anew(relay);
	SPI_connect();
	outbox_deferring = true;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		OutboxParam params[NPARAMS];

		if (queue->listed->dropped || !outbox_may_evacuate(queue))
			continue;
		if (!rest)
			done = copy_next_rows(queue, table);
		else
		{
			set_params(queue, 0, 0, params);
			copy_rows(queue, table, params, "");
		}
		if (!done)
			break;
	}
	outbox_deferring = false;
	SPI_finish();
	return done;
}

bool
outbox_evacuate_some(Relay *relay, int table)
{
	return evacuate(relay, table, false);
}

bool
outbox_evacuate_rest(Relay *relay, int table)
{
	return evacuate(relay, table, true);
}
