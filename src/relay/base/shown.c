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
 *-------------------------------------------------------------------------
 */
#include "relay/base/shown.h"

#include "redis/errors.h"
#include "relay/base/link.h"
#include "utils/timestamp.h"

static uint64 delivered_in_all = 0;

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
	shown->failed += totals->failed;
	shown->dead_lettered += totals->dead_lettered;
	shown->expired += totals->expired;
}

void
outbox_show_delivered(Relay *relay, RelayQueue *queue, int count,
					  TimestampTz oldest, TimestampTz newest)
{
	TimestampTz now = queue->link->answered_at;
	QueueShown *shown = mine(queue);

	if (count == 0)
		return;
	shown->totals.delivered += count;
	shown->last_success = now;
	outbox_latency_add(&shown->latency, now, now - oldest, (count + 1) / 2);
	if (count > 1)
		outbox_latency_add(&shown->latency, now, now - newest, count / 2);
	delivered_in_all += count;
	pg_atomic_write_u64(&relay->slot->delivered, delivered_in_all);
	pg_atomic_write_u64(&relay->slot->last_success, now);
}

void
outbox_show_recovered(Relay *relay, RelayQueue *queue, uint64 count)
{
	mine(queue)->totals.delivered += count;
	delivered_in_all += count;
	pg_atomic_write_u64(&relay->slot->delivered, delivered_in_all);
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
