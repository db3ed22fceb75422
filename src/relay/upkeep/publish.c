/*-------------------------------------------------------------------------
 *
 * publish.c
 *	  Publish the state of each queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Each queue, or partition, has a place in shared memory.  What is shown of a queue
 * that rests hardly changes.  So with very many queues those are published whose
 * figures have changed, and some others, as texts and times of delivery are not
 * compared: all of them within seconds.
 *
 * A message that Redis has, and not as many replicas as are wanted, is shown as
 * waiting: it is not delivered yet.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/publish.h"

#include "published_places.h"
#include "queue/partition.h"
#include "relay/base/link_shown.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/queue_state.h"
#include "relay/upkeep/backlog.h"
#include "relay/upkeep/obstacle.h"
#include "relay/upkeep/replicas_shown.h"
#include "utils/timestamp.h"

/* queues that are published at a time though they have not changed */
#define PUBLISH_OTHERS	100

/* what was published last */
static uint64 published_waiting = 0;
static uint64 covered_when_published = 0;
static uint64 unreplicated_when_published = 0;

/* the place of the first of the others; and for which list the places are */
static int	next_place = 0;
static uint64 list_published = 0;

static OutboxQueueState
shown_state(const RelayQueue *queue)
{
	if (queue->settings->paused_at != 0)
		return OUTBOX_QUEUE_PAUSED;
	if (outbox_is_shown_waiting(queue->home) || outbox_queue_lacks_slot(queue))
		return OUTBOX_QUEUE_WAITING;
	if (queue->state->still_since != 0)
		return OUTBOX_QUEUE_BLOCKED;
	return queue->cursor->settled == NULL ? OUTBOX_QUEUE_STARTING :
		OUTBOX_QUEUE_FLOWING;
}

/*
 * A position that is too long to be published is in outbox.queue_total some
 * seconds later.
 */
static void
publish_position(const RelayQueue *queue, StringInfo text,
				 OutboxPublished *published)
{
	const OutboxPosition *pos = outbox_cursor_replicated(queue);

	resetStringInfo(text);
	if (pos->prev != NULL)
	{
		published->position_seq = pos->seq;
		if (pos->prev->nxip + pos->cur->nxip <= OUTBOX_POSITION_SIZE / 4)
			outbox_position_print(text, pos->lsn, pos->prev, pos->cur, "-");
		if (text->len == 0 || text->len >= OUTBOX_POSITION_SIZE)
		{
			resetStringInfo(text);
			appendStringInfoString(text, OUTBOX_POSITION_TOO_LONG);
		}
	}
	memcpy(published->position, text->data, text->len + 1);
}

/* the figures that are compared */
static void
take_figures(const RelayQueue *queue, OutboxPublished *published)
{
	const OutboxQueue *settings = queue->settings;
	const QueueShown *shown = queue->shown;
	uint64		unreplicated = outbox_shown_unreplicated(queue);

	published->queue = outbox_queue_of(settings);
	published->partition = settings->partition;
	published->state = shown_state(queue);
	published->since = settings->paused_at != 0 ? settings->paused_at :
		outbox_is_shown_waiting(queue->home) ? queue->home->shown->since :
		queue->state->still_since;
	published->waiting = Max(outbox_backlog_waiting(queue), 0) + unreplicated;
	published->delayed = shown->delayed;
	published->retrying = Max(queue->held->count, 0);
	published->dead = shown->dead;
	published->oldest = outbox_backlog_waiting(queue) > 0 ? outbox_backlog_oldest(queue) : 0;
	published->delivered = shown->totals.delivered - unreplicated;
	published->failed = shown->totals.failed;
	published->dead_lettered = shown->totals.dead_lettered;
	published->expired = shown->totals.expired;
	published->last_success = shown->last_success;
	published->last_error_at = shown->last_error_at;
}

static const char *
shown_why(const RelayQueue *queue, const OutboxPublished *published)
{
	const OutboxQueue *settings = queue->settings;

	if (published->state == OUTBOX_QUEUE_WAITING &&
		outbox_is_shown_waiting(queue->home))
		return queue->home->shown->why;
	if (queue->state->still_since != 0 && settings->paused_at == 0)
		return queue->state->why;
	return settings->consumer_retry ? queue->consumer->trouble : "";
}

static void
publish_queue(RelayQueue *queue, StringInfo text, OutboxPublished *published)
{
	TimestampTz now = GetCurrentTimestamp();

	take_figures(queue, published);
	published->latency_p50 = outbox_shown_latency(queue, now, 0.5);
	published->latency_p99 = outbox_shown_latency(queue, now, 0.99);
	strlcpy(published->why, shown_why(queue, published), OUTBOX_QUEUE_TEXT_SIZE);
	strlcpy(published->last_error, queue->shown->last_error, OUTBOX_QUEUE_TEXT_SIZE);
	publish_position(queue, text, published);
}

/* latencies and all that follows are not compared, except whether there is a reason */
static bool
has_changed(const RelayQueue *queue, const OutboxPublished *published)
{
	OutboxPublished now;
	Size		size = offsetof(OutboxPublished, why);

	memcpy(&now, published, size);
	take_figures(queue, &now);
	return memcmp(&now, published, size) != 0 ||
		(shown_why(queue, published)[0] != '\0') != (published->why[0] != '\0');
}

/*
 * Does the queue in this place have its turn?  In a list with other queues all places
 * are others'.
 */
static bool
is_to_be_published(const RelayQueue *queue, const OutboxPublished *published,
				   int place, int places)
{
	int			behind = place - next_place;

	return queue->listed->awake ||
		list_published != outbox_queue_list_number() ||
		(behind >= 0 ? behind : behind + places) < PUBLISH_OTHERS ||
		has_changed(queue, published);
}

static void
publish_each(Relay *relay, OutboxPublished *places)
{
	int			n = 0;
	ListCell   *lc;
	StringInfoData text;

	/* nothing is to be allocated while the lock is held */
	initStringInfo(&text);
	enlargeStringInfo(&text, 8 * OUTBOX_POSITION_SIZE);
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped)
			continue;
		if (is_to_be_published(queue, &places[n], n, list_length(relay->queues)))
			publish_queue(queue, &text, &places[n]);
		n++;
	}
	relay->slot->npublished = n;
	relay->slot->published_at = GetCurrentTimestamp();
	LWLockRelease(outbox_shared->lock);
	pfree(text.data);
	list_published = outbox_queue_list_number();
	next_place = next_place + PUBLISH_OTHERS < n ? next_place + PUBLISH_OTHERS : 0;
}

/*
 * Say which queue stands still, unless there is something worse.
 */
static void
publish_reason(Relay *relay, const RelayQueue *blocked)
{
	OutboxSlot *slot = relay->slot;

	if (slot->state != OUTBOX_RUNNING || outbox_shown_obstacle()[0] != '\0')
		return;
	if (blocked != NULL)
		snprintf(slot->why, OUTBOX_TEXT_SIZE,
				 "queue \"%.80s\" stands still: %s",
				 blocked->settings->name, blocked->state->why);
	else
		strlcpy(slot->why, outbox_replicas_trouble(relay), OUTBOX_TEXT_SIZE);
}

static void
publish_sums(Relay *relay)
{
	OutboxSlot *slot = relay->slot;
	TimestampTz since = 0;
	RelayQueue *blocked = NULL;
	uint64		unreplicated = 0;
	ListCell   *lc;

	published_waiting = 0;
	covered_when_published = outbox_covered_in_all();
	outbox_count_at_servers(relay);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		int64		waiting = outbox_backlog_waiting(queue);

		if (queue->listed->dropped)
			continue;
		unreplicated += outbox_shown_unreplicated(queue);
		if (waiting > 0)
		{
			published_waiting += waiting;
			if (since == 0 || outbox_backlog_oldest(queue) < since)
				since = outbox_backlog_oldest(queue);
		}
		outbox_add_to_server(queue, Max(waiting, 0),
							 queue->shown->totals.delivered,
							 queue->shown->last_success);
		if (queue->state->state == QUEUE_BLOCKED || queue->state->failures > 0)
			blocked = queue;
	}
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	outbox_publish_servers(relay);
	publish_reason(relay, blocked);
	LWLockRelease(outbox_shared->lock);
	published_waiting += unreplicated;
	unreplicated_when_published = unreplicated;
	outbox_show_unreplicated(relay, unreplicated);
	pg_atomic_write_u64(&slot->waiting, published_waiting);
	pg_atomic_write_u64(&slot->oldest, since);
}

bool
outbox_publish_queues(Relay *relay, OutboxTime now)
{
	publish_sums(relay);
	publish_each(relay, outbox_published_room(relay->slot,
											  list_length(relay->queues)));
	return true;
}

void
outbox_publish_waiting(Relay *relay)
{
	uint64		covered = outbox_covered_in_all() - covered_when_published;
	uint64		unreplicated = outbox_unreplicated_in_all();
	uint64		waits = published_waiting + unreplicated;
	uint64		gone = covered + unreplicated_when_published;

	if (covered > 0 || unreplicated != unreplicated_when_published)
		pg_atomic_write_u64(&relay->slot->waiting, waits - Min(waits, gone));
}
