/*-------------------------------------------------------------------------
 *
 * published.c
 *	  Figures of a queue's partitions, added up.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "published.h"

/* the worse, the higher */
static const int ranks[] = {
	[OUTBOX_QUEUE_FLOWING] = 0,
	[OUTBOX_QUEUE_STARTING] = 1,
	[OUTBOX_QUEUE_PAUSED] = 2,
	[OUTBOX_QUEUE_WAITING] = 3,
	[OUTBOX_QUEUE_BLOCKED] = 4
};

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/*
 * Of several partitions in the worst state, the one that is so for longest says
 * why.
 */
static void
add_state(OutboxPublished *queue, const OutboxPublished *partition)
{
	int			worse = ranks[partition->state] - ranks[queue->state];

	if (worse < 0 ||
		(worse == 0 && (queue->why[0] != '\0' || partition->why[0] == '\0') &&
		 earlier(queue->since, partition->since) == queue->since))
		return;
	queue->state = partition->state;
	queue->since = partition->since;
	if (partition->why[0] == '\0' || partition->partition == OUTBOX_PARTITIONS_TOGETHER)
		strlcpy(queue->why, partition->why, OUTBOX_QUEUE_TEXT_SIZE);
	else
		snprintf(queue->why, OUTBOX_QUEUE_TEXT_SIZE, "partition %d: %s",
				 partition->partition, partition->why);
}

static void
add_times(OutboxPublished *queue, const OutboxPublished *partition)
{
	queue->oldest = earlier(queue->oldest, partition->oldest);
	queue->last_success = Max(queue->last_success, partition->last_success);
	if (partition->last_error_at > queue->last_error_at)
	{
		queue->last_error_at = partition->last_error_at;
		strlcpy(queue->last_error, partition->last_error, OUTBOX_QUEUE_TEXT_SIZE);
	}
	queue->latency_p50 = Max(queue->latency_p50, partition->latency_p50);
	queue->latency_p99 = Max(queue->latency_p99, partition->latency_p99);
}

/*
 * A queue without figures so far: those of no partition.
 */
static void
begin(OutboxPublished *queue)
{
	queue->state = OUTBOX_QUEUE_FLOWING;
	queue->latency_p50 = queue->latency_p99 = -1;
}

void
outbox_published_add(OutboxPublished *queue, const OutboxPublished *partition)
{
	if (queue->partition != OUTBOX_PARTITIONS_TOGETHER)
	{
		OutboxPublished first = *queue;

		memset(queue, 0, sizeof(OutboxPublished));
		queue->queue = first.queue;
		queue->partition = OUTBOX_PARTITIONS_TOGETHER;
		begin(queue);
		outbox_published_add(queue, &first);
	}
	add_state(queue, partition);
	add_times(queue, partition);
	queue->waiting += partition->waiting;
	queue->delayed += partition->delayed;
	queue->retrying += partition->retrying;
	queue->dead += partition->dead;
	queue->delivered += partition->delivered;
	queue->failed += partition->failed;
	queue->dead_lettered += partition->dead_lettered;
	queue->expired += partition->expired;
}

static int
compare(const void *a, const void *b)
{
	const OutboxPublished *pa = a;
	const OutboxPublished *pb = b;

	if (pa->queue != pb->queue)
		return pa->queue < pb->queue ? -1 : 1;
	return pa->partition < pb->partition ? -1 : pa->partition > pb->partition;
}

void
outbox_published_sort(OutboxPublished *published, int n)
{
	qsort(published, n, sizeof(OutboxPublished), compare);
}
