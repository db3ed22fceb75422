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
 * Most queues have delivered all they had most of the time.  They share the end of
 * their ticks, which a scan moves on for all of them at once; so it costs the same
 * however many they are.  A queue for which the scan finds a row has a tick of its
 * own again: from the shared snapshot before the scan to the new one.
 *
 * Queues don't wait for each other.  A queue with a million rows to be sent
 * takes no part in the plans made meanwhile, and catches up later.
 *
 * A plan is made from the index (plan_scan.c): entries of transactions that are
 * new to some queue, by range (from the oldest prev.xmax on) and by id (those in
 * progress in prev).  So a transaction that stays open for an hour costs
 * nothing, and its rows are found when it has ended.
 *
 * Entries are kept as (seq, place), 16 bytes (plan_rows.c).  Beyond the limit
 * only those with the lowest numbers are kept; when they have been sent, the
 * queue takes part once more with the same tick, from there on.  So the relay's
 * memory is bounded whatever the backlog.
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

#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/deliver/lost_messages.h"
#include "utils/memutils.h"

/* the tick that a cursor stands in, and the one up to a new snapshot */
#define TICKS_OF_THE_PAST	2

static OutboxSnap *shared_tick = NULL;
static int	nsharing = 0;

static QueuePlan *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
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
	outbox_rows_free(&mine(queue)->rows);
	outbox_snap_unref(queue->plan->prev);
	outbox_snap_unref(queue->plan->cur);
}

static void
forget_text(QueuePlan *plan)
{
	if (plan->text != NULL)
		pfree(plan->text);
	plan->text = NULL;
}

/*
 * Begin a tick, or continue one behind this seq.
 */
static void
set_tick(QueuePlan *plan, OutboxSnap *prev, OutboxSnap *cur, uint64 seq)
{
	OutboxSnap *old_prev = plan->prev;
	OutboxSnap *old_cur = plan->cur;

	plan->prev = outbox_snap_ref(prev);
	plan->cur = outbox_snap_ref(cur);
	outbox_snap_unref(old_prev);
	outbox_snap_unref(old_cur);
	plan->seq = seq;
	plan->finished = false;
	forget_text(plan);
}

void
outbox_resume_tick(RelayQueue *queue, const OutboxPosition *pos)
{
	QueuePlan  *plan = mine(queue);

	outbox_discard_plan(queue);
	set_tick(plan, pos->prev, pos->cur, pos->seq);
	plan->lsn = pos->lsn;
	plan->sent_seq = pos->seq;
	plan->many = false;
	plan->ticks_behind = TICKS_OF_THE_PAST;
}

/*
 * Rows were copied that this tick does not see: the next one has to look for them.
 */
void
outbox_rows_left_staging(RelayQueue *queue)
{
	if (queue->plan->ticks_behind > 0)
		mine(queue)->ticks_behind = TICKS_OF_THE_PAST;
}

OutboxSnap *
outbox_shared_tick(void)
{
	return shared_tick;
}

int
outbox_count_sharing(void)
{
	return nsharing;
}

void
outbox_share_tick(OutboxSnap *cur)
{
	OutboxSnap *old = shared_tick;

	shared_tick = outbox_snap_ref(cur);
	outbox_snap_unref(old);
}

static void
stop_sharing(QueuePlan *plan)
{
	OutboxSnap *old = plan->cur;

	if (!plan->shares_tick)
		return;
	plan->shares_tick = false;
	nsharing--;
	plan->cur = outbox_snap_ref(shared_tick);
	outbox_snap_unref(old);
}

void
outbox_discard_plan(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	stop_sharing(plan);
	outbox_rows_forget(&plan->rows);
	plan->scan = SCAN_NONE;
}

void
outbox_stop_plan(RelayQueue *queue)
{
	outbox_discard_plan(queue);
	mine(queue)->finished = false;
}

const PlanEntry *
outbox_next_planned(RelayQueue *queue)
{
	return outbox_rows_first(&mine(queue)->rows);
}

bool
outbox_fetch_planned(OutboxStaging *staging, const PlanEntry *entry,
					 OutboxMessage *msg)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, entry->block, entry->offset);
	return outbox_staging_fetch(staging, entry->table, &tid, entry->seq, msg);
}

bool
outbox_planned_time(OutboxStaging *staging, const PlanEntry *entry,
					TimestampTz *enqueued_at)
{
	OutboxStagedEntry staged = {.seq = entry->seq,.table = entry->table};

	ItemPointerSet(&staged.tid, entry->block, entry->offset);
	return entry->table < staging->ntables &&
		outbox_staging_visible(staging, &staged, enqueued_at);
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

	if (outbox_next_planned(queue)->table < OUTBOX_STAGING_TABLES)
		return false;
	outbox_rows_forget_rest(&plan->rows);
	outbox_want_plan(PLAN_ROW_GONE);
	return true;
}

void
outbox_advance_plan(RelayQueue *queue, bool is_sent)
{
	QueuePlan  *plan = mine(queue);

	plan->seq = outbox_next_planned(queue)->seq;
	outbox_rows_advance(&plan->rows);
	if (is_sent)
		plan->sent_seq = plan->seq;
}

void
outbox_check_end_of_plan(RelayQueue *queue)
{
	QueuePlan  *plan = mine(queue);

	if (!outbox_has_planned(queue))
		plan->finished = !plan->rows.cut;
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
outbox_has_its_tables(const RelayQueue *queue, const OutboxStaging *staging)
{
	return queue->plan->ticks_behind == 0 || staging->ntables == OUTBOX_TABLES;
}

bool
outbox_needs_plan(const RelayQueue *queue)
{
	return !queue->listed->dropped && !outbox_has_planned(queue) &&
		queue->plan->scan == SCAN_NONE &&
		queue->requests->inflight < outbox_link_depth(queue->link);
}

bool
outbox_plan_is_whole(const RelayQueue *queue)
{
	const QueuePlan *plan = queue->plan;

	/* behind the tick that a cursor stands in there may be rows elsewhere */
	return plan->scan == SCAN_NONE && !plan->rows.cut &&
		plan->ticks_behind < TICKS_OF_THE_PAST &&
		(plan->finished || outbox_rows_left(&plan->rows));
}

void
outbox_plan_begin(RelayQueue *queue, PlanScanKind scan, uint64 number,
				  OutboxSnap *now, int limit)
{
	QueuePlan  *plan = mine(queue);

	outbox_discard_plan(queue);
	plan->fresh = plan->finished;
	if (plan->finished)
	{
		set_tick(plan, plan->cur, now, 0);
		plan->ticks_behind = Max(plan->ticks_behind - 1, 0);
		plan->many = false;
	}
	plan->scan = scan;
	plan->number = number;
	plan->rows.limit = limit;
}

/*
 * The rows of other transactions and of other numbers need not be looked at.  But
 * if Redis has lost messages, all that go again are counted.
 */
OutboxWalk
outbox_plan_row(RelayQueue *queue, OutboxStaging *staging,
				const OutboxStagedEntry *entry, OutboxStagedKey *key,
				bool *found)
{
	QueuePlan  *plan = mine(queue);
	bool		staged = entry->table < OUTBOX_STAGING_TABLES;
	PlanEntry	row;
	TimestampTz at;

	*found = false;
	*key = (OutboxStagedKey) {entry->xid, entry->queue + 1, 0};
	if ((!staged && plan->ticks_behind == 0) ||
		!outbox_snap_sees(plan->cur, entry->xid) ||
		outbox_snap_sees(plan->prev, entry->xid))
		return OUTBOX_WALK_TO_KEY;
	if (entry->seq <= plan->seq)
	{
		*key = (OutboxStagedKey) {entry->xid, entry->queue, plan->seq + 1};
		return OUTBOX_WALK_TO_KEY;
	}
	if (plan->rows.cut && entry->seq >= plan->rows.cut_seq &&
		queue->loss->lost == 0)
		return OUTBOX_WALK_TO_KEY;
	if (!staged && !outbox_staging_visible(staging, entry, &at))
		return OUTBOX_WALK_ON;
	row.seq = entry->seq;
	row.block = ItemPointerGetBlockNumber(&entry->tid);
	row.offset = ItemPointerGetOffsetNumber(&entry->tid);
	row.table = entry->table;
	outbox_rows_add(&plan->rows, queue->context, &row);
	outbox_count_resent(queue, entry->xid, entry->seq);
	*found = true;
	return OUTBOX_WALK_ON;
}

void
outbox_plan_has_many(RelayQueue *queue)
{
	outbox_discard_plan(queue);
	mine(queue)->many = true;
	outbox_want_plan(PLAN_MISSED);
}

void
outbox_plan_end(RelayQueue *queue, XLogRecPtr lsn, bool may_share)
{
	QueuePlan  *plan = mine(queue);

	plan->scan = SCAN_NONE;
	if (plan->rows.n > 0)
	{
		plan->lsn = Max(plan->lsn, lsn);
		forget_text(plan);
	}
	/* the tick ends before the present: there may be rows behind it */
	if (!plan->fresh)
		outbox_want_plan(PLAN_NEXT_TICK);
	if (plan->rows.n == 0 && !plan->rows.cut)
		plan->finished = true;
	if (plan->fresh)
		outbox_report_loss(queue);
	if (may_share && plan->finished && plan->cur == shared_tick)
	{
		plan->shares_tick = true;
		/* the tick that ended was the last with rows elsewhere */
		plan->ticks_behind = 0;
		nsharing++;
	}
}
