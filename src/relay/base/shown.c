/*-------------------------------------------------------------------------
 *
 * shown.c
 *	  Counts, errors and times of a queue that views show.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Every file that decides about a message reports it here.  Nothing in the
 * relay depends on these numbers.
 *
 * With wait_replicas a message is shown as delivered when enough replicas have it.
 * Totals, latencies and the last success are about the answers of Redis.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/shown.h"

#include "redis/errors.h"
#include "redis_server.h"
#include "relay/base/link.h"
#include "utils/timestamp.h"

static uint64 delivered_in_all = 0;
static uint64 unreplicated_in_all = 0;

static QueueShown *
mine(const RelayQueue *queue)
{
	return unconstify(QueueShown *, queue->shown);
}

void
outbox_shown_init(RelayQueue *queue)
{
	queue->shown = outbox_make_part(queue, sizeof(QueueShown));
}

void
outbox_show_more(RelayQueue *queue, const ShownTotals *totals)
{
	ShownTotals *shown = &mine(queue)->totals;

	shown->delivered += totals->delivered;
	mine(queue)->replicated += totals->delivered;
	shown->failed += totals->failed;
	shown->dead_lettered += totals->dead_lettered;
	shown->expired += totals->expired;
}

static void
publish_delivered(Relay *relay)
{
	pg_atomic_write_u64(&relay->slot->delivered,
						delivered_in_all - Min(delivered_in_all,
											   unreplicated_in_all));
}

static bool
waits_for_replicas(const RelayQueue *queue)
{
	return outbox_waits_for_replicas(queue->link->server);
}

static void
count_delivered(Relay *relay, RelayQueue *queue, uint64 count)
{
	QueueShown *shown = mine(queue);

	shown->totals.delivered += count;
	delivered_in_all += count;
	if (waits_for_replicas(queue))
		unreplicated_in_all += count;
	else
		shown->replicated = shown->totals.delivered;
	publish_delivered(relay);
}

void
outbox_show_delivered(Relay *relay, RelayQueue *queue, int count,
					  TimestampTz oldest, TimestampTz newest)
{
	TimestampTz now = queue->link->answered_at;
	QueueShown *shown = mine(queue);

	if (count == 0)
		return;
	count_delivered(relay, queue, count);
	shown->last_success = now;
	outbox_latency_add(&shown->latency, now, now - oldest, (count + 1) / 2);
	if (count > 1)
		outbox_latency_add(&shown->latency, now, now - newest, count / 2);
	pg_atomic_write_u64(&relay->slot->last_success, now);
}

void
outbox_show_recovered(Relay *relay, RelayQueue *queue, uint64 count)
{
	count_delivered(relay, queue, count);
}

void
outbox_show_offered(RelayQueue *queue)
{
	mine(queue)->offered = queue->shown->totals.delivered;
}

void
outbox_show_replicated(Relay *relay, RelayQueue *queue)
{
	QueueShown *shown = mine(queue);
	uint64		count = shown->offered - shown->replicated;

	shown->replicated = shown->offered;
	unreplicated_in_all -= Min(unreplicated_in_all, count);
	publish_delivered(relay);
}

uint64
outbox_shown_unreplicated(const RelayQueue *queue)
{
	return waits_for_replicas(queue) ?
		queue->shown->totals.delivered - queue->shown->replicated : 0;
}

uint64
outbox_unreplicated_in_all(void)
{
	return unreplicated_in_all;
}

void
outbox_show_unreplicated(Relay *relay, uint64 count)
{
	unreplicated_in_all = count;
	publish_delivered(relay);
}

void
outbox_show_refused(RelayQueue *queue)
{
	mine(queue)->totals.failed++;
}

void
outbox_show_expired(RelayQueue *queue)
{
	mine(queue)->totals.expired++;
}

void
outbox_show_dead_letter(RelayQueue *queue)
{
	mine(queue)->totals.dead_lettered++;
	mine(queue)->dead++;
}

void
outbox_show_error(RelayQueue *queue, const char *error)
{
	QueueShown *shown = mine(queue);

	outbox_clean_error(shown->last_error, error, sizeof(shown->last_error));
	shown->last_error_at = GetCurrentTimestamp();
}

void
outbox_show_delayed(RelayQueue *queue, int64 delayed)
{
	mine(queue)->delayed = delayed;
}

void
outbox_show_dead(RelayQueue *queue, int64 dead)
{
	mine(queue)->dead = dead;
}

int64
outbox_shown_latency(RelayQueue *queue, TimestampTz now, double part)
{
	return outbox_latency_quantile(&mine(queue)->latency, now, part);
}

uint64
outbox_delivered(void)
{
	return delivered_in_all;
}

void
outbox_set_delivered(Relay *relay, uint64 delivered)
{
	delivered_in_all = delivered;
	pg_atomic_write_u64(&relay->slot->delivered, delivered);
}
