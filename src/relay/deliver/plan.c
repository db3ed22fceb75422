/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  A queue's tick, and which rows of it are to be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Every queue has its own tick: the rows visible in cur and not in prev.  When
 * the tick is finished, the queue takes part in the next plan with prev = cur
 * and cur = a new snapshot.  A queue whose cursor has just been read from Redis
 * first takes part with the tick that the cursor stands in, from the cursor's
 * seq on, and then with the tick up to a new snapshot.  Recovery is nothing
 * else than these plans.
 *
 * Queues don't wait for each other.  A queue with a million rows to be sent
 * takes no part in the plans made meanwhile, and catches up later.
 *
 * A plan is made from the index: entries of transactions that are new to some
 * queue, by range (from the oldest prev.xmax on) and by id (those in progress
 * in prev).  So a transaction that stays open for an hour costs nothing, and
 * its rows are found when it has ended.
 *
 * Entries are kept as (seq, place), 16 bytes, sorted by seq.  Beyond the
 * limit only those with the lowest numbers are kept; when they have been sent,
 * the queue takes part once more with the same tick, from there on.  So the
 * relay's memory is bounded whatever the backlog.
 *
 * A message is in staging, unless it was skipped or evacuated: then it is in
 * outbox.deferred or outbox.dead_letter.  Only a queue whose cursor has just
 * been read has to look there, until it takes part with a new snapshot.  Rows
 * in these tables are updated and deleted, and the index keeps entries of old
 * versions, which must not be planned.  If a row is updated between the plan
 * and the batch, the plan ends before it and the next plan finds the new
 * version.
 *
 * Rows don't move, so a place is valid in later transactions, until the table
 * is rewritten (VACUUM FULL), which changes its file number.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/plan.h"

#include "compat.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/deliver/lost_messages.h"
#include "relay/deliver/tick.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* entries of all plans together, about: 32 MB */
#define PLAN_LIMIT		(2 * 1024 * 1024)
StaticAssertDecl(sizeof(PlanEntry) == 16, "an entry of a plan has 16 bytes");
#define PLAN_LIMIT_MIN	1024
#define PLAN_KEEP		1024	/* a plan up to this size keeps its memory */

/* the tick that a cursor stands in, and the one up to a new snapshot */
#define TICKS_OF_THE_PAST	2

#define ST_SORT sort_plan
#define ST_ELEMENT_TYPE PlanEntry
#define ST_COMPARE(a, b) ((a)->seq < (b)->seq ? -1 : (a)->seq > (b)->seq)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

typedef struct PlanScan
{
	OutboxStaging *staging;
	uint64		planned;
} PlanScan;

static uint64 last_number = 0;	/* of the last plan */
static uint32 files[OUTBOX_TABLES]; /* file numbers of the tables then */

static QueuePlan *
mine(const RelayQueue *queue)
{
	return unconstify(QueuePlan *, queue->plan);
}

void
outbox_plan_init(RelayQueue *queue)
{
	queue->plan = outbox_make_part(queue, sizeof(QueuePlan));
}

void
outbox_plan_free(RelayQueue *queue)
{
	outbox_discard_plan(queue);
	outbox_snap_unref(queue->plan->prev);
	outbox_snap_unref(queue->plan->cur);
}

/*
 * Begin a tick, or continue one behind this seq.
 */
static void
set_tick(QueuePlan *plan, OutboxSnap *prev, OutboxSnap *cur, XLogRecPtr lsn,
		 uint64 seq)
{
	OutboxSnap *old_prev = plan->prev;
	OutboxSnap *old_cur = plan->cur;

	plan->prev = outbox_snap_ref(prev);
	plan->cur = outbox_snap_ref(cur);
	outbox_snap_unref(old_prev);
	outbox_snap_unref(old_cur);
	plan->lsn = lsn;
	plan->seq = seq;
	plan->finished = false;
	if (plan->text != NULL)
		pfree(plan->text);
	plan->text = NULL;
}

void
outbox_resume_tick(RelayQueue *queue, const OutboxPosition *pos)
{
	QueuePlan  *plan = mine(queue);

	set_tick(plan, pos->prev, pos->cur, pos->lsn, pos->seq);
	outbox_discard_plan(queue);
	plan->sent_seq = pos->seq;
	plan->ticks_behind = TICKS_OF_THE_PAST;
}

void
outbox_discard_plan(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	plan->n = plan->next = 0;
	plan->cut = false;
	if (plan->size > PLAN_KEEP)
	{
		pfree(plan->entries);
		plan->entries = NULL;
		plan->size = 0;
	}
}

void
outbox_stop_plan(RelayQueue *queue)
{
	outbox_discard_plan(queue);
	mine(queue)->finished = false;
}

bool
outbox_fetch_planned(OutboxStaging *staging, const PlanEntry *entry,
					 OutboxMessage *msg)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, entry->block, entry->offset);
	return outbox_staging_fetch(staging, entry->table, &tid, entry->seq, msg);
}

/*
 * If the row is missing in staging, its transaction has rolled back, and there
 * is no message.  If it is missing in another table, it has been updated, and
 * the plan has to be made again from this entry on.
 */
bool
outbox_planned_row_is_missing(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	if (plan->entries[plan->next].table < OUTBOX_STAGING_TABLES)
		return false;
	plan->n = plan->next;
	plan->cut = true;
	outbox_want_plan(PLAN_ROW_GONE);
	return true;
}

void
outbox_advance_plan(RelayQueue *queue, bool is_sent)
{
	QueuePlan  *plan = mine(queue);

	plan->seq = plan->entries[plan->next++].seq;
	if (is_sent)
		plan->sent_seq = plan->seq;
}

void
outbox_check_end_of_plan(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	if (plan->next == plan->n)
		plan->finished = !plan->cut;
}

const char *
outbox_tick_text(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	if (plan->text == NULL)
	{
		StringInfoData text;
		MemoryContext old = MemoryContextSwitchTo(queue->context);

		initStringInfo(&text);
		outbox_position_print(&text, plan->lsn, plan->prev, plan->cur,
							  queue->link->token);
		plan->text = text.data;
		MemoryContextSwitchTo(old);
	}
	return plan->text;
}

bool
outbox_needs_plan(const RelayQueue *queue)
{
	return !queue->listed->dropped && !outbox_has_planned(queue) &&
		queue->requests->inflight < OUTBOX_QUEUE_INFLIGHT;
}

bool
outbox_missed_plan(const RelayQueue *queue)
{
	return queue->plan->number != last_number;
}

void
outbox_check_plan_files(Relay *relay, OutboxStaging *staging)
{
	bool		same = true;
	ListCell   *lc;

	for (int i = 0; i < staging->ntables; i++)
		same &= files[i] == outbox_relation_file(staging->table[i]);
	if (same)
		return;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (outbox_has_planned(queue))
			outbox_stop_plan(queue);
	}
	outbox_want_plan(PLAN_ROW_GONE);
}

/*
 * Keep the lower half of a plan that has reached its limit.
 */
static void
cut_plan(QueuePlan *plan)
{
	sort_plan(plan->entries, plan->n);
	plan->n /= 2;
	/* rows of one message stay together */
	while (plan->n > 1 &&
		   plan->entries[plan->n].seq == plan->entries[plan->n - 1].seq)
		plan->n--;
	plan->cut = true;
	plan->cut_seq = plan->entries[plan->n - 1].seq;
}

static void
grow(RelayQueue *queue, QueuePlan *plan)
{
	int			size = Min(Max(plan->size * 2, 64), plan->limit);

	if (plan->entries == NULL)
		plan->entries = MemoryContextAllocHuge(queue->context,
											   size * sizeof(PlanEntry));
	else
		plan->entries = repalloc_huge(plan->entries, size * sizeof(PlanEntry));
	plan->size = size;
}

static void
add_to_plan(RelayQueue *queue, const OutboxStagedEntry *entry)
{
	QueuePlan  *plan = mine(queue);
	PlanEntry  *e;

	if (plan->n == plan->limit)
		cut_plan(plan);
	if (plan->cut && entry->seq > plan->cut_seq)
		return;
	if (plan->n == plan->size)
		grow(queue, plan);
	e = &plan->entries[plan->n++];
	e->seq = entry->seq;
	e->block = ItemPointerGetBlockNumber(&entry->tid);
	e->offset = ItemPointerGetOffsetNumber(&entry->tid);
	e->table = entry->table;
}

static bool
plan_visit(void *arg, const OutboxStagedEntry *entry)
{
	PlanScan   *scan = arg;
	bool		staged = entry->table < OUTBOX_STAGING_TABLES;
	RelayQueue *queue = outbox_find_queue(entry->queue);
	const QueuePlan *plan = queue != NULL ? queue->plan : NULL;
	TimestampTz at;

	if (plan == NULL || !plan->takes_part || entry->seq <= plan->seq ||
		(!staged && plan->ticks_behind == 0) ||
		!outbox_snap_sees(plan->cur, entry->xid) ||
		outbox_snap_sees(plan->prev, entry->xid))
		return true;
	if (!staged && !outbox_staging_visible(scan->staging, entry, &at))
		return true;
	add_to_plan(queue, entry);
	scan->planned++;
	outbox_count_resent(queue, entry->xid, entry->seq);
	return true;
}

/*
 * If a message is in several tables, keep the row that was written last: a dead
 * letter before a deferred row before a staged one.
 */
static void
drop_duplicates(QueuePlan *plan)
{
	int			n = 0;

	for (int i = 0; i < plan->n; i++)
	{
		PlanEntry  *e = &plan->entries[i];

		if (n == 0 || plan->entries[n - 1].seq != e->seq)
			plan->entries[n++] = *e;
		else if (plan->entries[n - 1].table < e->table)
			plan->entries[n - 1] = *e;
	}
	plan->n = n;
}

/*
 * Take part in the plan that is made now, with this many entries at most.
 */
static void
take_part(QueuePlan *plan, OutboxSnap *now, XLogRecPtr lsn, int limit)
{
	plan->fresh = plan->finished;
	if (plan->finished)
	{
		set_tick(plan, plan->cur, now, lsn, 0);
		plan->ticks_behind = Max(plan->ticks_behind - 1, 0);
	}
	plan->takes_part = true;
	plan->number = last_number;
	plan->limit = limit;
}

static void
finish_plan(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	plan->takes_part = false;
	/* the tick ends before the present: there may be rows behind it */
	if (!plan->fresh)
		outbox_want_plan(PLAN_NEXT_TICK);
	if (plan->n == 0 && !plan->cut)
		plan->finished = true;
	else
		sort_plan(plan->entries, plan->n);
	if (plan->ticks_behind > 0)
		drop_duplicates(plan);
	if (plan->fresh)
		outbox_report_loss(queue);
}

/*
 * How many entries each of these queues may plan, if others keep theirs.
 */
static int
plan_limit(const Relay *relay, const List *queues)
{
	int			room = PLAN_LIMIT;
	ListCell   *lc;

	foreach(lc, relay->queues)
		room -= ((RelayQueue *) lfirst(lc))->plan->size;
	foreach(lc, queues)
		room += ((RelayQueue *) lfirst(lc))->plan->size;
	return Max(room / Max(list_length(queues), 1), PLAN_LIMIT_MIN);
}

bool
outbox_make_plan(Relay *relay, OutboxStaging *staging, List *queues)
{
	PlanScan	scan = {staging, 0};
	TickScan	tick;
	OutboxSnap *last_prev = NULL;
	OutboxSnap *last_cur = NULL;
	MemoryContext old;
	OutboxSnap *now;
	XLogRecPtr	lsn;
	int			limit = plan_limit(relay, queues);
	ListCell   *lc;

	old = MemoryContextSwitchTo(relay->context);
	now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	last_number++;
	outbox_tick_begin(&tick);
	foreach(lc, queues)
	{
		RelayQueue *queue = lfirst(lc);
		QueuePlan  *plan = mine(queue);

		outbox_discard_plan(queue);
		take_part(plan, now, lsn, limit);
		/* queues that keep up share their snapshots */
		if (plan->prev != last_prev || plan->cur != last_cur)
			outbox_tick_cover(&tick, plan->prev, plan->cur);
		last_prev = plan->prev;
		last_cur = plan->cur;
	}

	for (int i = 0; i < staging->ntables; i++)
		files[i] = outbox_relation_file(staging->table[i]);
	outbox_tick_scan(&tick, staging, plan_visit, &scan);

	foreach(lc, queues)
		finish_plan(lfirst(lc));
	outbox_snap_unref(now);

	if (scan.planned > 0)
		outbox_flush_wal(lsn);
	return scan.planned > 0;
}
