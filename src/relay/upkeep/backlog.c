/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  Count the messages that wait, and publish the state of each queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * About once a second the rows that became visible since the last count are
 * added to the counts of their queues, and messages that the cursors have
 * covered since are subtracted.  If a cursor has been read and was not where
 * its last answer had left it, as after the first connect or when a message has
 * stopped its batch, all rows that the cursors don't cover are counted again.
 * Before the first connect no cursor is known, and the register "applied" says
 * from which transaction on to count.
 *
 * While everything is held, all messages are counted that would be delivered from
 * here if somebody released them, as that somebody wants to know.  It may take its
 * time, since nobody waits for it, but only a small part of all time.
 *
 * Counts serve status and outbox_drop_queue(), never delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/backlog.h"

#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/tick.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* counting what is held takes at most this part of the time */
#define COUNT_HELD_PART		20

typedef struct BacklogScan
{
	OutboxStaging *staging;
	OutboxSnap *now;
	bool		anew;			/* count rows not covered, not just new ones */
} BacklogScan;

static OutboxSnap *counted = NULL;	/* rows that it sees have been counted */
static uint64 count_from = 0;	/* if that is NULL: count from this xid on */
static uint64 jumps_counted = 0;	/* outbox_cursor_jumps() at the last count */

static OutboxTime count_held_at = OUTBOX_LONG_AGO;	/* the next time */

/* what was published last */
static uint64 published_waiting = 0;
static uint64 covered_when_published = 0;

static QueueBacklog *
mine(const RelayQueue *queue)
{
	return unconstify(QueueBacklog *, queue->backlog);
}

void
outbox_backlog_init(RelayQueue *queue)
{
	queue->backlog = outbox_make_part(queue, sizeof(QueueBacklog));
}

void
outbox_count_backlog_from(uint64 xid)
{
	count_from = xid;
}

/*
 * The result is negative if messages were delivered before they were counted.
 */
static int64
waiting(const RelayQueue *queue)
{
	const QueueBacklog *backlog = queue->backlog;

	return backlog->counted -
		(int64) (queue->cursor->covered - backlog->covered_before);
}

/*
 * About when the oldest waiting message was enqueued: not before the last
 * message that was delivered.
 */
static TimestampTz
oldest(const RelayQueue *queue)
{
	return queue->cursor->covered != queue->backlog->covered_then ?
		queue->cursor->newest : queue->backlog->oldest;
}

static void
count_row(RelayQueue *queue, TimestampTz enqueued_at)
{
	QueueBacklog *backlog = mine(queue);

	if (waiting(queue) <= 0 || oldest(queue) == 0)
	{
		backlog->oldest = enqueued_at;
		backlog->covered_then = queue->cursor->covered;
	}
	backlog->counted++;
}

/*
 * True if the message of a deferred row has no row in staging any more.
 */
static bool
left_staging(OutboxStaging *staging, const OutboxStagedEntry *entry)
{
	if (entry->table == OUTBOX_TABLE_DEAD_LETTER)
		return false;
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		if (outbox_staging_has(staging, i, entry->xid, entry->seq))
			return false;
	return true;
}

static bool
count_visit(void *arg, const OutboxStagedEntry *entry)
{
	BacklogScan *scan = arg;
	RelayQueue *queue;
	TimestampTz at;

	if (!outbox_snap_sees(scan->now, entry->xid))
		return true;
	queue = outbox_find_queue(entry->queue);
	if (queue == NULL)
		return true;
	if (scan->anew)
	{
		const OutboxPosition *acked = &queue->cursor->acked;

		if (acked->prev != NULL &&
			outbox_position_covers(acked, entry->xid, entry->seq))
			return true;
	}
	else if (counted != NULL && outbox_snap_sees(counted, entry->xid))
		return true;
	if (entry->table >= OUTBOX_STAGING_TABLES &&
		!left_staging(scan->staging, entry))
		return true;
	if (outbox_staging_visible(scan->staging, entry, &at))
		count_row(queue, at);
	return true;
}

static void
begin_anew(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		QueueBacklog *backlog = mine(queue);

		backlog->counted = 0;
		backlog->covered_before = queue->cursor->covered;
		backlog->oldest = 0;
		backlog->covered_then = queue->cursor->covered;
	}
}

static void
count(Relay *relay, OutboxStaging *staging, bool anew)
{
	BacklogScan scan = {staging, NULL, anew};
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	TickScan	tick;
	XLogRecPtr	lsn;

	scan.now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	if (anew)
		begin_anew(relay);
	outbox_tick_begin(&tick);
	if (counted != NULL && !anew)
		outbox_tick_cover(&tick, counted, scan.now);
	else
	{
		tick.from = anew ? 0 : count_from;
		tick.below = scan.now->xmax;
	}
	outbox_tick_scan(&tick, staging, count_visit, &scan);

	outbox_snap_unref(counted);
	counted = scan.now;
	jumps_counted = outbox_cursor_jumps();
}

/*
 * Count all that is held.  False if somebody's lock is in the way, or the last
 * count is new enough.
 */
static bool
count_held(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_STAGING_1, false},
		{OUTBOX_REL_STAGING_2, false},
		{OUTBOX_REL_DEFERRED, false}
	};
	OutboxTime	begin = outbox_now();
	uint64		n;

	if (begin < count_held_at || !outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	begin_anew(relay);
	n = outbox_query("SELECT queue, count(*), min(enqueued_at) FROM"
					 " (SELECT queue, seq, enqueued_at FROM " OUTBOX_STAGED " AS s"
					 " UNION SELECT queue, seq, enqueued_at FROM outbox.deferred"
					 " WHERE reason IN (" OUTBOX_NUMBERED ", 'restored')) AS m"
					 " GROUP BY queue", NULL, 0);
	for (uint64 i = 0; i < n; i++)
	{
		RelayQueue *queue = outbox_find_queue((int32) outbox_result_int64(i, 1));

		if (queue == NULL)
			continue;
		mine(queue)->counted = outbox_result_int64(i, 2);
		mine(queue)->oldest = outbox_result_int64(i, 3);
	}
	SPI_finish();
	outbox_end_step();
	jumps_counted = outbox_cursor_jumps() - 1;
	count_held_at = outbox_now() + COUNT_HELD_PART * (outbox_now() - begin);
	return true;
}

bool
outbox_count_backlog(Relay *relay)
{
	OutboxStaging staging;
	bool		anew = outbox_cursor_jumps() != jumps_counted;
	bool		ok;

	if (outbox_is_held())
		return count_held(relay);
	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	ok = outbox_staging_open(&staging, GetActiveSnapshot(),
							 anew ? OUTBOX_TABLES : OUTBOX_STAGING_TABLES);
	if (ok)
	{
		count(relay, &staging, anew);
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return ok;
}

static OutboxQueueState
shown_state(const RelayQueue *queue)
{
	if (queue->settings->paused_at != 0)
		return OUTBOX_QUEUE_PAUSED;
	if (queue->state->still_since != 0)
		return OUTBOX_QUEUE_BLOCKED;
	return queue->cursor->settled == NULL ? OUTBOX_QUEUE_STARTING :
		OUTBOX_QUEUE_FLOWING;
}

static void
publish_queue(RelayQueue *queue, OutboxPublished *published)
{
	TimestampTz now = GetCurrentTimestamp();
	const OutboxQueue *settings = queue->settings;
	const QueueShown *shown = queue->shown;

	published->queue = settings->id;
	published->state = shown_state(queue);
	published->since = settings->paused_at != 0 ? settings->paused_at :
		queue->state->still_since;
	published->waiting = Max(waiting(queue), 0);
	published->delayed = shown->delayed;
	published->held = Max(queue->held->count, 0);
	published->dead = shown->dead;
	published->oldest = waiting(queue) > 0 ? oldest(queue) : 0;
	published->delivered = shown->totals.delivered;
	published->failed = shown->totals.failed;
	published->dead_lettered = shown->totals.dead_lettered;
	published->expired = shown->totals.expired;
	published->last_success = shown->last_success;
	published->last_error_at = shown->last_error_at;
	published->latency_p50 = outbox_shown_latency(queue, now, 0.5);
	published->latency_p99 = outbox_shown_latency(queue, now, 0.99);
	strlcpy(published->why, published->state == OUTBOX_QUEUE_BLOCKED ?
			queue->state->why :
			settings->consumer_retry ? queue->consumer->trouble : "",
			OUTBOX_QUEUE_TEXT_SIZE);
	strlcpy(published->last_error, shown->last_error, OUTBOX_QUEUE_TEXT_SIZE);
}

void
outbox_publish_queues(Relay *relay)
{
	OutboxSlot *slot = relay->slot;
	TimestampTz since = 0;
	RelayQueue *blocked = NULL;
	int			n = 0;
	ListCell   *lc;

	published_waiting = 0;
	covered_when_published = outbox_covered_in_all();
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped)
			continue;
		if (waiting(queue) > 0)
		{
			published_waiting += waiting(queue);
			if (since == 0 || oldest(queue) < since)
				since = oldest(queue);
		}
		if (queue->state->state == QUEUE_BLOCKED || queue->state->failures > 0)
			blocked = queue;
		if (n < OUTBOX_MAX_PUBLISHED)
			publish_queue(queue, &slot->published[n]);
		n++;
	}
	slot->npublished = n <= OUTBOX_MAX_PUBLISHED ? n : -1;
	if (slot->state == OUTBOX_RUNNING)
	{
		if (blocked != NULL)
			snprintf(slot->why, OUTBOX_TEXT_SIZE,
					 "queue \"%.80s\" stands still: %s",
					 blocked->settings->name, blocked->state->why);
		else
			slot->why[0] = '\0';
	}
	LWLockRelease(outbox_shared->lock);
	pg_atomic_write_u64(&slot->waiting, published_waiting);
	pg_atomic_write_u64(&slot->oldest, since);
}

void
outbox_publish_waiting(Relay *relay)
{
	uint64		covered = outbox_covered_in_all() - covered_when_published;

	if (covered > 0)
		pg_atomic_write_u64(&relay->slot->waiting,
							published_waiting - Min(published_waiting, covered));
}
