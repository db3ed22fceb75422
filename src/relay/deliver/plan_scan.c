/*-------------------------------------------------------------------------
 *
 * plan_scan.c
 *	  Find the rows of queues' ticks.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * One scan of the index serves several queues, as they share their ticks or at
 * least most of the rows that are looked at.  There are two scans, so that
 * queues that keep up need not wait for one that has a million rows to go
 * through:
 *
 *		near	queues whose last plan was a few thousand transactions ago
 *		far		all others: after a time without Redis, a pause, a refusal
 *
 * Queues that have delivered all take part in each near scan, without being asked:
 * they share the end of their ticks (plan.c).  One of them is part of the scan by name
 * when it has found a row of it.
 *
 * A queue for which the near scan finds more than some thousand rows leaves it
 * for the far one.  Each scan does a piece in a turn and goes on in the next,
 * while batches are sent.  Queues that need a plan when their scan is under way
 * already wait for the next one.
 *
 * The index has the rows of a transaction in the order of their queues.  So what
 * a large transaction has for other queues, or was planned and sent before, or
 * lies beyond the rows that the plan has room for, is passed over with one
 * descent: the second and the tenth plan of six million rows do not go through
 * all of them again.
 *
 * Places of rows are good as long as no table is rewritten, by VACUUM FULL or by
 * TRUNCATE: that changes the table's file.  Then all scans and plans begin anew.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/plan_scan.h"

#include "compat.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/deliver/basis.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * Entries of all plans together, about: 32 MB; those of near scans may have a
 * part of that.
 */
#define PLAN_LIMIT		(2 * 1024 * 1024)
#define PLAN_LIMIT_MIN	1024
#define NEAR_PART		4

/* the near scan is for queues that are behind by so many transactions ... */
#define NEAR_XIDS		8192

/* ... and for so many rows of a queue */
#define NEAR_ROWS		8192

/* how often the time is looked at */
#define CHECK_ROWS		64

typedef struct PlanScan
{
	PlanScanKind kind;
	bool		running;
	uint64		number;			/* of the plan */
	OutboxSnap *now;			/* the snapshot that it goes up to */
	uint64		planned;
	TickBasis	basis;
	TickScan	tick;

	/* within a piece */
	OutboxStaging *staging;
	uint64		visited;
} PlanScan;

static PlanScan scans[] = {{.kind = SCAN_NEAR}, {.kind = SCAN_FAR}};
static uint64 last_number = 0;	/* of the last plan */
static uint32 files[OUTBOX_TABLES]; /* the tables' file numbers */

static PlanScan *
scan_of_kind(PlanScanKind kind)
{
	return &scans[kind - SCAN_NEAR];
}

bool
outbox_is_planning(void)
{
	return scans[0].running || scans[1].running;
}

bool
outbox_missed_plan(const RelayQueue *queue)
{
	return queue->plan->number != last_number;
}

static void
end_scan(PlanScan *scan)
{
	outbox_tick_end(&scan->tick);
	outbox_snap_unref(scan->now);
	scan->now = NULL;
	scan->running = false;
}

bool
outbox_check_plan_files(Relay *relay, OutboxStaging *staging)
{
	bool		same = true;
	ListCell   *lc;

	for (int i = 0; i < staging->ntables; i++)
	{
		uint32		file = outbox_relation_file(staging->table[i]);

		/* of a table that was not looked at yet nothing is planned */
		same &= files[i] == file || files[i] == 0;
		files[i] = file;
	}
	if (same)
		return true;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (outbox_has_planned(queue) || queue->plan->scan != SCAN_NONE)
			outbox_stop_plan(queue);
	}
	for (int i = 0; i < lengthof(scans); i++)
		if (scans[i].running)
			end_scan(&scans[i]);
	outbox_want_plan(PLAN_ROW_GONE);
	return false;
}

/*
 * How many entries each of these queues may plan, if others keep theirs.
 */
static int
plan_limit(const List *queues, PlanScanKind kind)
{
	int			room = PLAN_LIMIT - outbox_rows_size_in_all();
	ListCell   *lc;

	foreach(lc, queues)
		room += outbox_plan_size(lfirst(lc));
	if (kind == SCAN_NEAR)
		room /= NEAR_PART;
	return Max(room / Max(list_length(queues), 1), PLAN_LIMIT_MIN);
}

static void
begin_scan(Relay *relay, PlanScan *scan, List *queues, OutboxSnap *now,
		   XLogRecPtr inserted, int ntables)
{
	OutboxSnap *last_prev = NULL;
	OutboxSnap *last_cur = NULL;
	int			limit = plan_limit(queues, scan->kind);
	ListCell   *lc;

	scan->running = true;
	scan->number = last_number;
	scan->now = outbox_snap_ref(now);
	scan->planned = 0;
	outbox_basis_begin(&scan->basis, now, inserted);
	outbox_tick_begin(&scan->tick, ntables, relay->context);
	if (scan->kind == SCAN_NEAR && outbox_count_sharing() > 0)
		outbox_tick_cover(&scan->tick, outbox_shared_tick(), now);
	foreach(lc, queues)
	{
		RelayQueue *queue = lfirst(lc);
		const QueuePlan *plan = queue->plan;

		outbox_plan_begin(queue, scan->kind, last_number, now, limit);
		/* queues that keep up share their snapshots */
		if (plan->prev != last_prev || plan->cur != last_cur)
			outbox_tick_cover(&scan->tick, plan->prev, plan->cur);
		last_prev = plan->prev;
		last_cur = plan->cur;
	}
}

static PlanScanKind
kind_for(const RelayQueue *queue, const OutboxSnap *now)
{
	return !queue->plan->many &&
		outbox_planned_up_to(queue)->xmax + NEAR_XIDS >= now->xmax ?
		SCAN_NEAR : SCAN_FAR;
}

void
outbox_begin_plans(Relay *relay, OutboxStaging *staging)
{
	List	   *queues[lengthof(scans)] = {NIL, NIL};
	MemoryContext old;
	OutboxSnap *now;
	XLogRecPtr	inserted;

	outbox_plan_is_made();
	last_number++;
	old = MemoryContextSwitchTo(relay->context);
	now = outbox_take_snapshot(&inserted);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);
		PlanScanKind kind;

		if (queue->state->state != QUEUE_FLOWING || queue->plan->shares_tick ||
			!outbox_needs_plan(queue) || !outbox_has_its_tables(queue, staging))
			continue;
		kind = kind_for(queue, now);
		if (!scan_of_kind(kind)->running)
			queues[kind - SCAN_NEAR] = lappend(queues[kind - SCAN_NEAR], queue);
	}
	for (int i = 0; i < lengthof(scans); i++)
		if (!scans[i].running &&
			(queues[i] != NIL ||
			 (scans[i].kind == SCAN_NEAR && outbox_count_sharing() > 0)))
			begin_scan(relay, &scans[i], queues[i], now, inserted,
					   staging->ntables);
	outbox_snap_unref(now);
}

/*
 * Queues that share their ticks wait for rows: the entry may be one of this queue's.
 */
static bool
takes_part(PlanScan *scan, RelayQueue *queue, const OutboxStagedEntry *entry)
{
	int			room = PLAN_LIMIT - outbox_rows_size_in_all();

	if (queue == NULL || queue->plan->scan == scan->kind)
		return queue != NULL;
	if (scan->kind != SCAN_NEAR || !queue->plan->shares_tick ||
		!outbox_snap_sees(scan->now, entry->xid) ||
		outbox_snap_sees(outbox_shared_tick(), entry->xid))
		return false;
	outbox_plan_begin(queue, SCAN_NEAR, scan->number, scan->now,
					  Max(Min(room / NEAR_PART, 2 * NEAR_ROWS), PLAN_LIMIT_MIN));
	return true;
}

static OutboxWalk
plan_visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	PlanScan   *scan = arg;
	RelayQueue *queue;
	OutboxWalk	how;
	bool		found;

	if (++scan->visited % CHECK_ROWS == 0 && outbox_piece_is_done())
		return OUTBOX_WALK_STOP;
	queue = outbox_find_queue(entry->queue);
	if (!takes_part(scan, queue, entry))
	{
		*key = (OutboxStagedKey) {entry->xid, entry->queue + 1, 0};
		return outbox_tick_pass_over(&scan->tick, entry);
	}
	how = outbox_plan_row(queue, scan->staging, entry, key, &found);
	if (found)
	{
		scan->planned++;
		outbox_basis_add(&scan->basis, entry->xid);
	}
	if (scan->kind == SCAN_NEAR && queue->plan->rows.n >= NEAR_ROWS)
		outbox_plan_has_many(queue);
	return how == OUTBOX_WALK_TO_KEY ? outbox_tick_pass_over(&scan->tick, entry) : how;
}

/*
 * The scan has found all rows.  Queues that had no part in it, and transactions
 * that have ended since it began, are for the next one.
 */
static void
finish_scan(PlanScan *scan)
{
	XLogRecPtr	behind = InvalidXLogRecPtr;

	if (scan->planned > 0)
		behind = outbox_flush_basis(&scan->basis);
	outbox_rest_on(behind);
	if (scan->kind == SCAN_NEAR)
		outbox_share_tick(scan->now);
	end_scan(scan);
	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);

		if (queue->plan->scan == scan->kind)
			outbox_plan_end(queue, behind, !scan_of_kind(SCAN_NEAR)->running);
	}
	if (scan->number != last_number)
		outbox_want_plan(PLAN_MISSED);
}

static bool
anybody_takes_part(PlanScanKind kind)
{
	if (kind == SCAN_NEAR && outbox_count_sharing() > 0)
		return true;
	for (int i = 0; i < outbox_count_awake(); i++)
		if (outbox_awake_queue(i)->plan->scan == kind)
			return true;
	return false;
}

/*
 * A table that was there when the scan began is locked now.  Queues that may have rows
 * in it leave, and go on with their ticks when it can be had.
 */
static void
go_on_without(PlanScan *scan, const OutboxStaging *staging)
{
	scan->tick.ntables = staging->ntables;
	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);

		if (queue->plan->scan == scan->kind && !outbox_has_its_tables(queue, staging))
			outbox_discard_plan(queue);
	}
}

bool
outbox_go_on_planning(Relay *relay, OutboxStaging *staging)
{
	bool		planned = false;

	for (int i = 0; i < lengthof(scans); i++)
	{
		PlanScan   *scan = &scans[i];
		uint64		before = scan->visited;
		bool		done;

		if (!scan->running)
			continue;
		outbox_turn_does(OUTBOX_STEP_PLAN);
		scan->staging = staging;
		if (staging->ntables < scan->tick.ntables)
			go_on_without(scan, staging);
		done = !anybody_takes_part(scan->kind) ||
			outbox_tick_scan(&scan->tick, staging, plan_visit, scan);
		outbox_turn_worked(0, (int64) (scan->visited - before));
		if (!done)
			continue;
		finish_scan(scan);
		planned |= scan->planned > 0;
	}
	return planned;
}
