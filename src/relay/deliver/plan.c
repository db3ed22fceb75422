/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Which rows each queue gets next.
 *
 * Design notes
 *
 * Every queue has a tick of its own: the rows visible in cur and not in prev.
 * When it is finished the queue takes part in the next plan, with prev = cur
 * and cur = a fresh snapshot.  A queue whose cursor has just been read from
 * Redis takes part with the tick that the cursor stands in, from the cursor's
 * seq on, and so comes to the fresh snapshot in two steps.  That is all there
 * is to recovery: the same plan, begun elsewhere.
 *
 * Queues don't wait for each other.  One with a million rows to go is left
 * out of the plans made meanwhile and catches up later.
 *
 * A plan is made from the index: entries of transactions that are new to some
 * queue, by range (from the oldest prev.xmax on) and by id (those that prev
 * called in progress).  A transaction that stays open for an hour therefore
 * costs nothing, and its rows are found when it has ended.
 *
 * Entries are kept as (seq, place), 16 bytes, sorted by seq.  Beyond the
 * limit only those with the lowest numbers are kept; when they have been sent,
 * the queue takes part once more with the same tick, from there on.  So the
 * relay's memory is bounded whatever the backlog.
 *
 * A message is in staging, but for those that were skipped or evacuated.  Such
 * rows are of the past: only a queue whose cursor has just been read has to
 * look for them, until it has come to a fresh snapshot.  They are updated and
 * deleted, and the index has what they were before: an entry whose row isn't
 * there must not stand for the message.  If a row has been updated between
 * plan and batch, the plan ends before it and the next one finds it.
 *
 * Places are good between transactions, as rows don't move: only a rewrite of
 * the table (VACUUM FULL) moves them, and shows in its file number.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* entries of all plans together, about: 32 MB */
#define PLAN_LIMIT		(2 * 1024 * 1024)
#define PLAN_LIMIT_MIN	1024
#define PLAN_KEEP		1024	/* a plan that small isn't given back */

#define ST_SORT sort_plan
#define ST_ELEMENT_TYPE PlanEntry
#define ST_COMPARE(a, b) ((a)->seq < (b)->seq ? -1 : (a)->seq > (b)->seq)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

typedef struct PlanScan
{
	Relay	   *relay;
	OutboxStaging *staging;
	uint64		planned;
} PlanScan;

/*
 * Have WAL flushed up to an insert position.  The position may be just behind
 * a page's header, where no record ends: then all before the page will do.
 */
void
outbox_flush_wal(XLogRecPtr lsn)
{
	uint32		offset = lsn % XLOG_BLCKSZ;
	uint32		header = XLogSegmentOffset(lsn, wal_segment_size) == offset ?
		SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	if (offset <= header)
		lsn -= offset;
	XLogFlush(lsn);
}

/*
 * Begin a tick, or go on in one.
 */
void
outbox_set_tick(RelayQueue *queue, OutboxSnap *prev, OutboxSnap *cur,
				XLogRecPtr lsn, uint64 seq)
{
	OutboxSnap *old_prev = queue->prev;
	OutboxSnap *old_cur = queue->cur;

	queue->prev = outbox_snap_ref(prev);
	queue->cur = outbox_snap_ref(cur);
	outbox_snap_unref(old_prev);
	outbox_snap_unref(old_cur);
	queue->lsn = lsn;
	queue->seq = seq;
	queue->finished = false;
	if (queue->pos != NULL)
		pfree(queue->pos);
	queue->pos = NULL;
}

void
outbox_discard_plan(RelayQueue *queue)
{
	queue->nplan = queue->next = 0;
	queue->plan_cut = false;
	if (queue->plan_size > PLAN_KEEP)
	{
		pfree(queue->plan);
		queue->plan = NULL;
		queue->plan_size = 0;
	}
}

/*
 * A planned row isn't there.  In staging its transaction has rolled back: it
 * is no message, and the answer is false.  Elsewhere it has been updated since:
 * what comes from this entry on, the next in the plan, is planned again.
 */
bool
outbox_plan_again(Relay *relay, RelayQueue *queue)
{
	if (queue->plan[queue->next].table < OUTBOX_STAGING_TABLES)
		return false;
	queue->nplan = queue->next;
	queue->plan_cut = true;
	relay->look = true;
	return true;
}

/*
 * Keep the lower half of a plan that has reached its limit.
 */
static void
cut_plan(RelayQueue *queue)
{
	sort_plan(queue->plan, queue->nplan);
	queue->nplan /= 2;
	/* rows of one message stay together */
	while (queue->nplan > 1 &&
		   queue->plan[queue->nplan].seq == queue->plan[queue->nplan - 1].seq)
		queue->nplan--;
	queue->plan_cut = true;
	queue->cut_seq = queue->plan[queue->nplan - 1].seq;
}

static void
add_to_plan(RelayQueue *queue, const OutboxStagedEntry *entry)
{
	PlanEntry  *e;

	if (queue->nplan == queue->plan_limit)
		cut_plan(queue);
	if (queue->plan_cut && entry->seq > queue->cut_seq)
		return;
	if (queue->nplan == queue->plan_size)
	{
		int			size = Max(queue->plan_size * 2, 64);

		size = Min(size, queue->plan_limit);
		if (queue->plan == NULL)
			queue->plan = MemoryContextAllocHuge(queue->context,
												 size * sizeof(PlanEntry));
		else
			queue->plan = repalloc_huge(queue->plan, size * sizeof(PlanEntry));
		queue->plan_size = size;
	}
	e = &queue->plan[queue->nplan++];
	e->seq = entry->seq;
	e->block = ItemPointerGetBlockNumber(&entry->tid);
	e->offset = ItemPointerGetOffsetNumber(&entry->tid);
	e->table = entry->table;
}

static bool
plan_visit(void *arg, const OutboxStagedEntry *entry)
{
	PlanScan   *scan = arg;
	RelayQueue *queue = outbox_find_queue(scan->relay, entry->queue);
	TimestampTz at;

	if (queue == NULL || !queue->planning || entry->seq <= queue->seq ||
		(entry->table >= OUTBOX_STAGING_TABLES && queue->past_ticks == 0) ||
		!outbox_snap_sees(queue->cur, entry->xid) ||
		outbox_snap_sees(queue->prev, entry->xid))
		return true;
	if (entry->table >= OUTBOX_STAGING_TABLES &&
		!outbox_staging_visible(scan->staging, entry, &at))
		return true;
	add_to_plan(queue, entry);
	scan->planned++;
	if (queue->lost > 0 &&
		outbox_position_covers(&queue->before_loss, entry->xid, entry->seq))
		queue->resent++;
	return true;
}

/*
 * Redis had lost acknowledged messages: tell, once all that can go again is
 * planned.
 */
static void
report_loss(RelayQueue *queue)
{
	uint64		resent = Min(queue->resent, queue->lost);

	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("Redis has lost " UINT64_FORMAT " acknowledged messages of queue \"%s\"",
					queue->lost, queue->settings.name),
			 errdetail(UINT64_FORMAT " are retained and sent again, "
					   UINT64_FORMAT " are beyond the retention.",
					   resent, queue->lost - resent)));
	queue->lost = queue->resent = 0;
	outbox_snap_unref(queue->before_loss.prev);
	outbox_snap_unref(queue->before_loss.cur);
	queue->before_loss.prev = queue->before_loss.cur = NULL;
}

/*
 * Of a message that is in several tables the one counts that knows most of it:
 * a dead letter before a deferred row before a staged one.
 */
static void
drop_duplicates(RelayQueue *queue)
{
	int			n = 0;

	for (int i = 0; i < queue->nplan; i++)
	{
		PlanEntry  *e = &queue->plan[i];

		if (n == 0 || queue->plan[n - 1].seq != e->seq)
			queue->plan[n++] = *e;
		else if (queue->plan[n - 1].table < e->table)
			queue->plan[n - 1] = *e;
	}
	queue->nplan = n;
}

static void
finish_plan(Relay *relay, RelayQueue *queue)
{
	queue->planning = false;
	/* a tick from the past: there may be another one behind it */
	if (!queue->next_tick)
		relay->look = true;
	if (queue->nplan == 0 && !queue->plan_cut)
		queue->finished = true;
	else
		sort_plan(queue->plan, queue->nplan);
	if (queue->past_ticks > 0)
		drop_duplicates(queue);
	if (queue->lost > 0 && queue->next_tick)
		report_loss(queue);
}

/* may the queue take part in a plan? */
static bool
wants_plan(const RelayQueue *queue)
{
	return queue->state == QUEUE_FLOWING && !queue->dropped &&
		queue->next == queue->nplan &&
		queue->inflight < OUTBOX_QUEUE_INFLIGHT;
}

/*
 * Make a plan for all queues that have none.  True if there is something to
 * send.  All that it refers to is flushed.
 */
bool
outbox_plan(Relay *relay, OutboxStaging *staging)
{
	PlanScan	scan = {relay, staging, 0};
	OutboxReach reach = {PG_UINT64_MAX, 0, NULL, 0, 0};
	OutboxSnap *last_prev = NULL;
	OutboxSnap *last_cur = NULL;
	MemoryContext old;
	OutboxSnap *now;
	XLogRecPtr	lsn;
	ListCell   *lc;
	int			room = PLAN_LIMIT;
	int			n = 0;

	old = MemoryContextSwitchTo(relay->context);
	now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	relay->plan_number++;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (wants_plan(queue))
			n++;
		else
			room -= queue->plan_size;
	}

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!wants_plan(queue))
			continue;
		queue->next_tick = queue->finished;
		outbox_discard_plan(queue);
		if (queue->finished)
		{
			outbox_set_tick(queue, queue->cur, now, lsn, 0);
			queue->past_ticks = Max(queue->past_ticks - 1, 0);
		}
		queue->planning = true;
		queue->plan_number = relay->plan_number;
		queue->plan_limit = Max(room / n, PLAN_LIMIT_MIN);
		/* queues that go along share their snapshots */
		if (queue->prev != last_prev || queue->cur != last_cur)
			outbox_reach_cover(&reach, queue->prev, queue->cur);
		last_prev = queue->prev;
		last_cur = queue->cur;
	}

	for (int i = 0; i < staging->ntables; i++)
		relay->files[i] = outbox_relation_file(staging->table[i]);
	outbox_reach_scan(&reach, staging, plan_visit, &scan);

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->planning)
			finish_plan(relay, queue);
	}
	outbox_snap_unref(now);

	if (scan.planned > 0)
		outbox_flush_wal(lsn);
	return scan.planned > 0;
}
