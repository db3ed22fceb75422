/*-------------------------------------------------------------------------
 *
 * evacuate.c
 *	  Find what Redis hasn't acknowledged of a staging table, and copy it for
 *	  queues that stand still, so that the table can be emptied.
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
 * A pass reads the index of a table once, for all queues together and a piece at
 * a time, so its cost is that of the table's rows, however many queues stand
 * still, and each piece is short.  The pass remembers a snapshot and each queue's
 * position from when it began.  Rows of transactions that the snapshot sees were
 * in the index by then, so the pass comes upon them.  When the table is locked,
 * only later transactions are looked at again.  What the pass has found of a
 * queue that stands still is true as long as the queue's position is the same;
 * Redis may lose writes and set it back.  Else a new pass begins.
 *
 * While a queue's server is away, it is not known what that has: it may come back
 * without its last writes.  So all rows of the queue are copied, and it holds no other
 * queue's rows back, whether its cursor has ever been read or not.
 *
 * With wait_replicas the position is the one that replicas have: what it does not
 * cover is copied, also if Redis has it.
 *
 * Dead letters are not copied, though the cursor may not cover them when Redis
 * has lost its last writes: a copy would be delivered.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/evacuate.h"

#include "lock.h"
#include "clock.h"
#include "guc.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* rows copied in one piece, and how often the time is looked at */
#define PIECE_ROWS		250
#define CHECK_ROWS		64

/* how long a queue has to stand still before it is worth copying */
#define STILL_MS	5000

typedef struct Pass
{
	OutboxSnap *began;			/* NULL: there is no pass */
	bool		copies;
	bool		done;
	OutboxStagedKey next;		/* where it goes on */
} Pass;

/* what a piece of a pass has come upon */
typedef struct Piece
{
	Pass	   *pass;
	int			table;
	PassState	state;
	int			nentries;
	int			nrows;			/* to be copied: */
	Datum	   *tids;
	uint64	   *seqs;
	List	   *queues;			/* of RelayQueue */
} Piece;

static Pass passes[OUTBOX_STAGING_TABLES];

static QueueEvacuation *
mine(const RelayQueue *queue)
{
	return unconstify(QueueEvacuation *, queue->evacuation);
}

void
outbox_evacuation_init(RelayQueue *queue)
{
	queue->evacuation = outbox_make_part(queue, sizeof(QueueEvacuation));
}

static void
remember_position(RelayQueue *queue, int table, const OutboxPosition *pos)
{
	OutboxPosition *then = &mine(queue)->then[table];
	OutboxPosition old = *then;

	*then = *pos;
	if (pos->prev != NULL)
	{
		outbox_snap_ref(pos->prev);
		outbox_snap_ref(pos->cur);
	}
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
}

void
outbox_evacuation_free(RelayQueue *queue)
{
	static const OutboxPosition none = {0};

	for (int table = 0; table < OUTBOX_STAGING_TABLES; table++)
		remember_position(queue, table, &none);
}

/*
 * True if the queue has stood still for a while.  A queue that flows may be
 * evacuated only as long as it still looks for rows outside of staging.
 */
static bool
stands_still(const RelayQueue *queue)
{
	const QueueState *state = queue->state;
	int64		ms = Min(STILL_MS, outbox_retention * INT64CONST(1000));

	if (outbox_queue_is_away(queue))
		return true;
	return (state->state == QUEUE_PAUSED || state->state == QUEUE_BLOCKED ||
			(state->still_since != 0 && queue->plan->ticks_behind > 0)) &&
		queue->cursor->acked.prev != NULL &&
		outbox_now() >= outbox_in_ms(state->still_seen_at, ms);
}

static bool
has_xid(OutboxStaging *staging, int table, uint64 xid)
{
	uint64		found;

	return outbox_staging_first_xid(staging, table, xid, &found) &&
		found == xid;
}

/*
 * True if the snapshot sees every row of the table.
 */
static bool
sees_table(const OutboxSnap *snap, OutboxStaging *staging, int table)
{
	uint64		last_xid;

	if (!outbox_staging_last_xid(staging, table, &last_xid))
		return true;
	if (last_xid >= snap->xmax)
		return false;
	for (int i = 0; i < snap->nxip; i++)
		if (has_xid(staging, table, snap->xip[i]))
			return false;
	return true;
}

/*
 * Is all of the table acknowledged, or do these queues' positions allow for
 * what is not?  Most queues have the same snapshot, which is tried once.
 */
static bool
check_queues(Relay *relay, OutboxStaging *staging, int table,
			 bool (*allow) (RelayQueue *queue, int table))
{
	OutboxSnap *last = NULL;
	bool		seen = false;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		OutboxSnap *settled = outbox_cursor_replicated_snapshot(queue);
		bool		away = outbox_queue_is_away(queue);

		if (queue->listed->dropped)
			continue;
		if (!away)
		{
			if (settled == NULL)
				return false;
			if (settled != last)
				seen = sees_table(settled, staging, table);
			last = settled;
		}
		if ((away || !seen) && (allow == NULL || !allow(queue, table)))
			return false;
	}
	return true;
}

bool
outbox_all_acknowledged(Relay *relay, OutboxStaging *staging, int table)
{
	return check_queues(relay, staging, table, NULL);
}

void
outbox_forget_pass(int table)
{
	outbox_snap_unref(passes[table].began);
	memset(&passes[table], 0, sizeof(Pass));
}

static void
begin_pass(Relay *relay, int table, bool copies)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;
	ListCell   *lc;

	outbox_forget_pass(table);
	passes[table].began = outbox_take_snapshot(&lsn);
	passes[table].copies = copies;
	MemoryContextSwitchTo(old);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		remember_position(queue, table, outbox_cursor_replicated(queue));
		mine(queue)->away[table] = outbox_queue_is_away(queue) ?
			outbox_queue_away_since(queue) : 0;
	}
}

/*
 * Is the queue where it was when the pass began?
 */
static bool
is_as_then(const RelayQueue *queue, int table)
{
	const QueueEvacuation *evacuation = queue->evacuation;

	if (outbox_queue_is_away(queue))
		return evacuation->away[table] == outbox_queue_away_since(queue);
	return evacuation->away[table] == 0 &&
		evacuation->then[table].prev != NULL &&
		outbox_replicated_cursor_is_at(queue, &evacuation->then[table]);
}

static void
add_row(Piece *piece, RelayQueue *queue, const OutboxStagedEntry *entry)
{
	ItemPointer tid = palloc(sizeof(ItemPointerData));

	*tid = entry->tid;
	piece->tids[piece->nrows] = PointerGetDatum(tid);
	piece->seqs[piece->nrows++] = entry->seq;
	piece->queues = list_append_unique_ptr(piece->queues, queue);
}

static bool
is_acknowledged(const RelayQueue *queue, const OutboxStagedEntry *entry)
{
	return !outbox_queue_is_away(queue) &&
		outbox_snap_sees(outbox_cursor_replicated_snapshot(queue), entry->xid);
}

/*
 * Classify an entry.  Rows of dropped queues are not delivered.  For a queue
 * whose position was not known when the pass began a new pass is needed.
 */
static OutboxWalk
pass_visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	Piece	   *piece = arg;
	RelayQueue *queue = outbox_known_queue(entry->queue);
	const OutboxPosition *then;

	if (piece->nrows == PIECE_ROWS ||
		(++piece->nentries % CHECK_ROWS == 0 && outbox_piece_is_done()))
	{
		piece->state = PASS_MORE;
		return OUTBOX_WALK_STOP;
	}
	if (queue == NULL || is_acknowledged(queue, entry))
		return OUTBOX_WALK_ON;

	then = &queue->evacuation->then[piece->table];

	/* its cursor may be looked at or asked for: that will be over soon */
	piece->state = stands_still(queue) ? PASS_MORE : PASS_WAITS;
	if (piece->state == PASS_WAITS || queue->requests->inflight > 0)
		return OUTBOX_WALK_STOP;
	if (!is_as_then(queue, piece->table))
	{
		outbox_forget_pass(piece->table);
		return OUTBOX_WALK_STOP;
	}
	if (piece->pass->copies &&
		(outbox_queue_is_away(queue) ||
		 !outbox_position_covers(then, entry->xid, entry->seq)))
		add_row(piece, queue, entry);
	piece->state = PASS_DONE;
	return OUTBOX_WALK_ON;
}

/*
 * Copy rows.  A place whose transaction rolled back may have been used again
 * since the index was read, so the number is compared.
 */
static void
copy_rows(Piece *piece)
{
	char	   *sql = psprintf("INSERT INTO outbox.deferred"
							   " SELECT s.*, 'evacuated' FROM outbox.staging_%d AS s"
							   " WHERE s.ctid = ANY ($tids) AND s.seq = ANY ($seqs)"
							   " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
							   " WHERE d.queue = s.queue AND d.seq = s.seq"
							   " AND d." OUTBOX_DEAD_NUMBERED ")"
							   " ON CONFLICT (queue, seq)"
							   " WHERE reason IN " OUTBOX_REASONS_NUMBERED
							   " DO NOTHING", piece->table + 1);
	OutboxParam params[] = {
		{"tids", TIDARRAYOID, outbox_tid_array(piece->tids, piece->nrows)},
		{"seqs", INT8ARRAYOID, outbox_int8_array(piece->seqs, piece->nrows)}
	};
	ListCell   *lc;

	SPI_connect();
	outbox_deferring = true;
	outbox_query(sql, params, lengthof(params));
	outbox_deferring = false;
	SPI_finish();
	foreach(lc, piece->queues)
	{
		outbox_note_evacuated(lfirst(lc), true);
		outbox_rows_left_staging(lfirst(lc));
	}
}

PassState
outbox_pass_some(Relay *relay, OutboxStaging *staging, int table, bool copies)
{
	Pass	   *pass = &passes[table];
	Piece		piece = {pass, table, PASS_DONE};
	OutboxStagedKey next;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!queue->listed->dropped &&
			outbox_cursor_replicated_snapshot(queue) == NULL &&
			!outbox_queue_is_away(queue))
			return PASS_WAITS;
	}
	if (pass->began == NULL || (copies && !pass->copies))
		begin_pass(relay, table, copies);
	if (pass->done)
		return PASS_DONE;
	if (pass->copies && !outbox_lock_to_write(OUTBOX_REL_DEFERRED))
		return PASS_MORE;

	next = pass->next;
	piece.tids = palloc(PIECE_ROWS * sizeof(Datum));
	piece.seqs = palloc(PIECE_ROWS * sizeof(uint64));
	(void) outbox_staging_walk(staging, table, &next, PG_UINT64_MAX, pass_visit,
							   &piece);
	outbox_turn_worked(0, piece.nentries);
	if (pass->began == NULL)
		return PASS_MORE;
	if (piece.nrows > 0)
		copy_rows(&piece);
	pass->next = next;
	pass->done = piece.state == PASS_DONE;
	return piece.state;
}

static bool
late_visit(void *arg, const OutboxStagedEntry *entry)
{
	bool	   *ok = arg;
	RelayQueue *queue = outbox_known_queue(entry->queue);

	*ok = queue == NULL || is_acknowledged(queue, entry);
	return *ok;
}

/*
 * True if Redis has acknowledged all rows of transactions that the pass's
 * snapshot does not see.
 */
static bool
none_came_late(OutboxStaging *staging, int table)
{
	const OutboxSnap *began = passes[table].began;
	bool		ok = true;

	for (int i = 0; ok && i < began->nxip; i++)
		outbox_staging_scan(staging, table, began->xip[i], began->xip[i] + 1,
							late_visit, &ok);
	if (ok)
		outbox_staging_scan(staging, table, began->xmax, PG_UINT64_MAX,
							late_visit, &ok);
	return ok;
}

/* does the queue stand where it stood when the pass began? */
static bool
stands_there(RelayQueue *queue, int table)
{
	if (!stands_still(queue) || queue->requests->inflight > 0)
		return false;
	if (is_as_then(queue, table))
		return true;
	outbox_forget_pass(table);
	return false;
}

bool
outbox_pass_holds(Relay *relay, OutboxStaging *staging, int table)
{
	if (!passes[table].done || !passes[table].copies ||
		!check_queues(relay, staging, table, stands_there))
		return false;
	if (none_came_late(staging, table))
		return true;
	outbox_forget_pass(table);
	return false;
}
