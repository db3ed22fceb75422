/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  Count what waits, and publish it.
 *
 * Design notes
 *
 * About once a second the rows that became visible since the last census are
 * added to their queues' counts; acknowledged ones are taken off as answers
 * arrive.  After a connect the counts are made anew, from what the cursors
 * don't cover.  Before the first connect nothing is known of the cursors, and
 * the register "applied" says where to begin.
 *
 * Counts serve status and outbox_drop_queue(), never delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

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

/*
 * Is a row of outbox.deferred the only one of its message?
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
census_visit(void *arg, const OutboxStagedEntry *entry)
{
	CensusScan *scan = arg;
	RelayQueue *queue;
	TimestampTz at;

	if (!outbox_snap_sees(scan->now, entry->xid))
		return true;
	queue = outbox_find_queue(scan->relay, entry->queue);
	if (queue == NULL)
		return true;
	if (scan->uncovered)
	{
		if (queue->acked.prev != NULL &&
			outbox_position_covers(&queue->acked, entry->xid, entry->seq))
			return true;
	}
	else if (scan->relay->counted != NULL &&
			 outbox_snap_sees(scan->relay->counted, entry->xid))
		return true;
	if (entry->table >= OUTBOX_STAGING_TABLES &&
		!left_staging(scan->staging, entry))
		return true;
	if (outbox_staging_visible(scan->staging, entry, &at))
		count_row(queue, at);
	return true;
}

static void
census(Relay *relay, OutboxStaging *staging, bool uncovered)
{
	CensusScan	scan = {relay, staging, NULL, uncovered};
	OutboxReach reach = {PG_UINT64_MAX, 0, NULL, 0, 0};
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;

	scan.now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);

	if (relay->counted != NULL && !uncovered)
		outbox_reach_cover(&reach, relay->counted, scan.now);
	else
	{
		reach.from = uncovered ? 0 : relay->counted_from;
		reach.below = scan.now->xmax;
	}
	outbox_reach_scan(&reach, staging, census_visit, &scan);

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

static OutboxQueueState
shown_state(const RelayQueue *queue)
{
	if (queue->settings.paused_at != 0)
		return OUTBOX_QUEUE_PAUSED;
	if (queue->still_since != 0)
		return OUTBOX_QUEUE_BLOCKED;
	return queue->settled == NULL ? OUTBOX_QUEUE_STARTING : OUTBOX_QUEUE_FLOWING;
}

static void
publish_queue(RelayQueue *queue, OutboxPublished *published)
{
	TimestampTz now = GetCurrentTimestamp();

	published->queue = queue->settings.id;
	published->state = shown_state(queue);
	published->since = queue->settings.paused_at != 0 ?
		queue->settings.paused_at : queue->still_since;
	published->waiting = Max(queue->waiting, 0);
	published->delayed = queue->delayed;
	published->held = Max(queue->held, 0);
	published->dead = queue->dead;
	published->oldest = queue->waiting > 0 ? queue->oldest : 0;
	published->delivered = queue->totals.delivered;
	published->failed = queue->totals.failed;
	published->dead_lettered = queue->totals.dead_lettered;
	published->expired = queue->totals.expired;
	published->last_success = queue->last_success;
	published->last_error_at = queue->last_error_at;
	published->latency_p50 = outbox_latency_quantile(&queue->latency, now, 0.5);
	published->latency_p99 = outbox_latency_quantile(&queue->latency, now, 0.99);
	strlcpy(published->why, published->state == OUTBOX_QUEUE_BLOCKED ?
			queue->why : "", OUTBOX_QUEUE_TEXT_SIZE);
	strlcpy(published->last_error, queue->last_error, OUTBOX_QUEUE_TEXT_SIZE);
}

/*
 * What status shows of the backlog.
 */
void
outbox_publish(Relay *relay)
{
	OutboxSlot *slot = relay->slot;
	uint64		waiting = 0;
	TimestampTz oldest = 0;
	RelayQueue *blocked = NULL;
	int			n = 0;
	ListCell   *lc;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->dropped)
			continue;
		if (queue->waiting > 0)
		{
			waiting += queue->waiting;
			if (oldest == 0 || queue->oldest < oldest)
				oldest = queue->oldest;
		}
		if (queue->state == QUEUE_BLOCKED || queue->failures > 0)
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
					 blocked->settings.name, blocked->why);
		else
			slot->why[0] = '\0';
	}
	LWLockRelease(outbox_shared->lock);
	pg_atomic_write_u64(&slot->waiting, waiting);
	pg_atomic_write_u64(&slot->oldest, oldest);
}
