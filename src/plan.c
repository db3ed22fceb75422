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
 * Places are good between transactions, as rows don't move: only a rewrite of
 * the table (VACUUM FULL) moves them, and shows in its file number.
 *
 * The census counts what waits, once a second: rows that became visible since
 * the last one.  It serves status only.
 *
 *-------------------------------------------------------------------------
 */
#include "relay.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog.h"
#include "queue.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

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

/* the transactions to look at when planning */
typedef struct Reach
{
	uint64		from;			/* all from here on */
	uint64		below;			/* up to here */
	uint64	   *xids;			/* and these */
	int			nxids;
	int			size;
} Reach;

typedef struct PlanScan
{
	Relay	   *relay;
	uint64		planned;
} PlanScan;

/*
 * A 32-bit transaction id as a full one: ids above the next one to be given
 * are of the epoch before.
 */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch) << 32 | xid;
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/*
 * The active snapshot as a set, and how far WAL had been written when it was
 * taken.  It must be the one that rows are fetched with (or an older one):
 * what it sees as ended, the fetch has to see as committed or rolled back.
 */
static OutboxSnap *
take_snapshot(XLogRecPtr *lsn)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	OutboxSnap *snap;
	uint64	   *xip = palloc(sizeof(uint64) * (snapshot->xcnt + 1));

	*lsn = GetXLogInsertRecPtr();
	for (int i = 0; i < snapshot->xcnt; i++)
		xip[i] = full_xid(snapshot->xip[i], next);
	qsort(xip, snapshot->xcnt, sizeof(uint64), compare_xids);
	snap = outbox_snap_make(full_xid(snapshot->xmax, next), snapshot->xcnt,
							xip);
	pfree(xip);
	return snap;
}

/*
 * Have WAL flushed up to an insert position.  The position may be just behind
 * a page's header, where no record ends: then all before the page will do.
 */
static void
flush_wal(XLogRecPtr lsn)
{
	uint32		offset = lsn % XLOG_BLCKSZ;
	uint32		header = XLogSegmentOffset(lsn, wal_segment_size) == offset ?
		SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	if (offset <= header)
		lsn -= offset;
	XLogFlush(lsn);
}

static RelayQueue *
find_queue(Relay *relay, int32 id)
{
	QueueById  *entry;

	/* rows of one queue tend to come together */
	if (relay->last_found != NULL && relay->last_found->settings.id == id)
		return relay->last_found;

	entry = hash_search(relay->by_id, &id, HASH_FIND, NULL);
	if (entry == NULL)
	{
		/* created after the list was read, or dropped */
		relay->queues_stale = true;
		return NULL;
	}
	return relay->last_found = entry->queue;
}

/*
 * The cursor lives in the slot of the queue's own key: with the tag that the
 * key has, or with the key as the tag.
 */
static char *
make_cursor_key(Relay *relay, const OutboxQueue *queue)
{
	const char *open = strchr(queue->redis_key, '{');
	const char *close = open != NULL ? strchr(open, '}') : NULL;
	bool		tagged = close != NULL && close > open + 1;

	return psprintf(tagged ? "%s:outbox:%s:%d" : "{%s}:outbox:%s:%d",
					queue->redis_key, relay->source, queue->id);
}

/* a text setting as Redis gets it */
static char *
utf8_copy(const char *s)
{
	OutboxBytes bytes = outbox_utf8_bytes(s, strlen(s));

	return pnstrdup(bytes.data, bytes.len);
}

static void
add_queue(Relay *relay, const OutboxQueue *settings)
{
	MemoryContext context = AllocSetContextCreate(relay->context,
												  "outbox relay queue",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RelayQueue *queue = palloc0(sizeof(RelayQueue));
	QueueById  *entry;

	queue->context = context;
	queue->settings = *settings;
	queue->settings.name = pstrdup(settings->name);
	queue->settings.redis_key = utf8_copy(settings->redis_key);
	queue->cursor_key = make_cursor_key(relay, &queue->settings);
	queue->state = QUEUE_UNKNOWN;

	MemoryContextSwitchTo(relay->context);
	relay->queues = lappend(relay->queues, queue);
	entry = hash_search(relay->by_id, &settings->id, HASH_ENTER, NULL);
	entry->queue = queue;
	MemoryContextSwitchTo(old);
}

static void
drop_queue(Relay *relay, RelayQueue *queue)
{
	queue->dropped = true;
	outbox_discard_plan(queue);
	hash_search(relay->by_id, &queue->settings.id, HASH_REMOVE, NULL);
	relay->last_found = NULL;
}

/*
 * Drop all queues, to be read again.
 */
void
outbox_drop_queues(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!queue->dropped)
			drop_queue(relay, queue);
	}
	relay->queues_stale = true;
}

/*
 * Free a dropped queue that has nothing in flight.
 */
void
outbox_free_queue(Relay *relay, RelayQueue *queue)
{
	Assert(queue->dropped && queue->inflight == 0);
	relay->queues = list_delete_ptr(relay->queues, queue);
	outbox_discard_plan(queue);
	outbox_snap_unref(queue->prev);
	outbox_snap_unref(queue->cur);
	outbox_snap_unref(queue->acked.prev);
	outbox_snap_unref(queue->acked.cur);
	outbox_snap_unref(queue->settled);
	outbox_snap_unref(queue->before_loss.prev);
	outbox_snap_unref(queue->before_loss.cur);
	MemoryContextDelete(queue->context);
}

/*
 * Bring the list of queues up to date.
 */
void
outbox_refresh_queues(Relay *relay)
{
	ListCell   *lc;
	List	   *fresh;

	if (!relay->queues_stale && relay->queues_epoch == outbox_catalog_epoch())
		return;
	relay->queues_stale = false;
	relay->queues_epoch = outbox_catalog_epoch();
	fresh = outbox_queue_list();

	foreach(lc, relay->queues)
		((RelayQueue *) lfirst(lc))->listed = false;

	foreach(lc, fresh)
	{
		OutboxQueue *settings = lfirst(lc);
		QueueById  *entry = hash_search(relay->by_id, &settings->id, HASH_FIND,
										NULL);
		RelayQueue *queue = entry != NULL ? entry->queue : NULL;

		/* another key has another cursor */
		if (queue != NULL && strcmp(queue->settings.redis_key,
									utf8_copy(settings->redis_key)) != 0)
		{
			drop_queue(relay, queue);
			queue = NULL;
		}
		if (queue == NULL)
		{
			add_queue(relay, settings);
			queue = llast(relay->queues);
		}
		queue->listed = true;
		queue->settings.target = settings->target;
		queue->settings.format = settings->format;
		queue->settings.maxlen = settings->maxlen;
	}

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed || queue->dropped)
			continue;
		drop_queue(relay, queue);
		outbox_send_forget(relay, queue);
	}
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
 * Keep the lower half of a plan that has reached its limit.
 */
static void
cut_plan(RelayQueue *queue)
{
	sort_plan(queue->plan, queue->nplan);
	queue->nplan /= 2;
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

static void
plan_visit(void *arg, const OutboxStagedEntry *entry)
{
	PlanScan   *scan = arg;
	RelayQueue *queue = find_queue(scan->relay, entry->queue);

	if (queue == NULL || !queue->planning || entry->seq <= queue->seq ||
		!outbox_snap_sees(queue->cur, entry->xid) ||
		outbox_snap_sees(queue->prev, entry->xid))
		return;
	add_to_plan(queue, entry);
	scan->planned++;
	if (queue->lost > 0 &&
		outbox_position_covers(&queue->before_loss, entry->xid, entry->seq))
		queue->resent++;
}

static void
reach_add(Reach *reach, uint64 xid)
{
	if (reach->nxids == reach->size)
	{
		reach->size = Max(reach->size * 2, 64);
		reach->xids = reach->xids == NULL ?
			palloc(reach->size * sizeof(uint64)) :
			repalloc(reach->xids, reach->size * sizeof(uint64));
	}
	reach->xids[reach->nxids++] = xid;
}

/*
 * Widen the reach to all that is visible in cur and not in prev.
 */
static void
reach_cover(Reach *reach, const OutboxSnap *prev, const OutboxSnap *cur)
{
	reach->from = Min(reach->from, prev->xmax);
	reach->below = Max(reach->below, cur->xmax);
	for (int i = 0; i < prev->nxip; i++)
		if (outbox_snap_sees(cur, prev->xip[i]))
			reach_add(reach, prev->xip[i]);
}

static void
reach_scan(Reach *reach, OutboxStaging *staging, OutboxStagedVisit visit,
		   void *arg)
{
	uint64		last = 0;

	if (reach->nxids > 1)
		qsort(reach->xids, reach->nxids, sizeof(uint64), compare_xids);

	for (int table = 0; table < OUTBOX_STAGING_TABLES; table++)
	{
		last = 0;
		for (int i = 0; i < reach->nxids; i++)
		{
			uint64		xid = reach->xids[i];

			if (xid == last || xid >= reach->from)
				continue;
			outbox_staging_scan(staging, table, xid, xid + 1, visit, arg);
			last = xid;
		}
		if (reach->from < reach->below)
			outbox_staging_scan(staging, table, reach->from, reach->below,
								visit, arg);
	}
	if (reach->xids != NULL)
		pfree(reach->xids);
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
	PlanScan	scan = {relay, 0};
	Reach		reach = {PG_UINT64_MAX, 0, NULL, 0, 0};
	OutboxSnap *last_prev = NULL;
	OutboxSnap *last_cur = NULL;
	MemoryContext old;
	OutboxSnap *now;
	XLogRecPtr	lsn;
	ListCell   *lc;
	int			n = 0;

	old = MemoryContextSwitchTo(relay->context);
	now = take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	foreach(lc, relay->queues)
		n += wants_plan(lfirst(lc));

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!wants_plan(queue))
			continue;
		queue->next_tick = queue->finished;
		outbox_discard_plan(queue);
		if (queue->finished)
			outbox_set_tick(queue, queue->cur, now, lsn, 0);
		queue->planning = true;
		queue->plan_limit = Max(PLAN_LIMIT / n, PLAN_LIMIT_MIN);
		/* queues that go along share their snapshots */
		if (queue->prev != last_prev || queue->cur != last_cur)
			reach_cover(&reach, queue->prev, queue->cur);
		last_prev = queue->prev;
		last_cur = queue->cur;
	}

	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		relay->files[i] = outbox_relation_file(staging->table[i]);
	reach_scan(&reach, staging, plan_visit, &scan);

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->planning)
			finish_plan(relay, queue);
	}
	outbox_snap_unref(now);

	if (scan.planned > 0)
		flush_wal(lsn);
	return scan.planned > 0;
}

static void
count_row(RelayQueue *queue, TimestampTz enqueued_at)
{
	if (queue->waiting++ <= 0 || queue->oldest == 0)
		queue->oldest = enqueued_at;
}

typedef struct CensusScan
{
	Relay	   *relay;
	OutboxStaging *staging;
	OutboxSnap *now;
	bool		uncovered;		/* count what isn't covered, not what is new */
} CensusScan;

static void
census_visit(void *arg, const OutboxStagedEntry *entry)
{
	CensusScan *scan = arg;
	RelayQueue *queue;
	TimestampTz at;

	if (!outbox_snap_sees(scan->now, entry->xid))
		return;
	queue = find_queue(scan->relay, entry->queue);
	if (queue == NULL)
		return;
	if (scan->uncovered)
	{
		if (queue->acked.prev != NULL &&
			outbox_position_covers(&queue->acked, entry->xid, entry->seq))
			return;
	}
	else if (scan->relay->counted != NULL &&
			 outbox_snap_sees(scan->relay->counted, entry->xid))
		return;
	if (outbox_staging_visible(scan->staging, entry, &at))
		count_row(queue, at);
}

static void
census(Relay *relay, OutboxStaging *staging, bool uncovered)
{
	CensusScan	scan = {relay, staging, NULL, uncovered};
	Reach		reach = {PG_UINT64_MAX, 0, NULL, 0, 0};
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;

	scan.now = take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	if (relay->counted != NULL && !uncovered)
		reach_cover(&reach, relay->counted, scan.now);
	else
	{
		reach.from = uncovered ? 0 : relay->counted_from;
		reach.below = scan.now->xmax;
	}
	reach_scan(&reach, staging, census_visit, &scan);

	outbox_snap_unref(relay->counted);
	relay->counted = scan.now;
}

/*
 * Count what has become visible since the last census.
 */
void
outbox_census(Relay *relay, OutboxStaging *staging)
{
	census(relay, staging, false);
}

/*
 * Count all that Redis hasn't acknowledged.
 */
void
outbox_recount(Relay *relay, OutboxStaging *staging)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		queue->waiting = 0;
		queue->oldest = 0;
	}
	census(relay, staging, true);
}
