/*-------------------------------------------------------------------------
 *
 * queue_status.c
 *	  The state of each queue, from shared memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The figures that the relay has published are copied while the lock is held.
 * The view adds names and settings, reading outbox.queue with its owner's
 * rights.  The figures of a relay that has ended are old and are not shown; the
 * view shows the totals in outbox.queue_total then.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_status.h"

#include "api/row.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "published.h"
#include "published_places.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* columns of outbox.queue_stats() */
enum
{
	STATS_QUEUE,
	STATS_PARTITION,
	STATS_STATE,
	STATS_SINCE,
	STATS_WHY,
	STATS_DELIVERED,
	STATS_FAILED,
	STATS_DEAD_LETTERED,
	STATS_EXPIRED,
	STATS_WAITING,
	STATS_DELAYED,
	STATS_RETRYING,
	STATS_DEAD,
	STATS_OLDEST,
	STATS_LAST_ERROR,
	STATS_LAST_ERROR_AT,
	STATS_LAST_SUCCESS,
	STATS_LATENCY_P50,
	STATS_LATENCY_P99,
	STATS_COLUMNS
};

static const char *const state_names[] = {
	[OUTBOX_QUEUE_STARTING] = "starting",
	[OUTBOX_QUEUE_FLOWING] = "flowing",
	[OUTBOX_QUEUE_BLOCKED] = "blocked",
	[OUTBOX_QUEUE_WAITING] = "waiting for redis",
	[OUTBOX_QUEUE_PAUSED] = "paused"
};

PG_FUNCTION_INFO_V1(outbox_partition_rows);
PG_FUNCTION_INFO_V1(outbox_queue_stats);

OutboxPublished *
outbox_copy_published(int *n, TimestampTz *at)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	OutboxPublished *result = NULL;
	const OutboxPublished *places;
	dsm_segment *segment;

	*n = 0;
	*at = 0;
	if (slot == NULL)
		return NULL;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	places = outbox_published_attach(slot, &segment);
	if (places != NULL)
	{
		*n = slot->npublished;
		*at = slot->published_at;
		result = MemoryContextAllocHuge(CurrentMemoryContext,
										mul_size(*n, sizeof(OutboxPublished)));
		memcpy(result, places, *n * sizeof(OutboxPublished));
		dsm_detach(segment);
	}
	LWLockRelease(outbox_shared->lock);
	if (result != NULL)
		outbox_published_sort(result, *n);
	return result;
}

static void
set_seconds(Datum *values, bool *nulls, int n, int64 us)
{
	nulls[n] = us < 0;
	values[n] = Float8GetDatum(us / 1e6);
}

static void
fill_row(const OutboxPublished *queue, Datum *values, bool *nulls)
{
	values[STATS_QUEUE] = Int32GetDatum(queue->queue);
	values[STATS_PARTITION] = Int32GetDatum(queue->partition);
	nulls[STATS_PARTITION] = queue->partition == OUTBOX_PARTITIONS_TOGETHER;
	outbox_set_text(values, nulls, STATS_STATE, state_names[queue->state]);
	outbox_set_time(values, nulls, STATS_SINCE, queue->since);
	outbox_set_text(values, nulls, STATS_WHY, queue->why);
	values[STATS_DELIVERED] = Int64GetDatum((int64) queue->delivered);
	values[STATS_FAILED] = Int64GetDatum((int64) queue->failed);
	values[STATS_DEAD_LETTERED] = Int64GetDatum((int64) queue->dead_lettered);
	values[STATS_EXPIRED] = Int64GetDatum((int64) queue->expired);
	values[STATS_WAITING] = Int64GetDatum(queue->waiting);
	values[STATS_DELAYED] = Int64GetDatum(queue->delayed);
	values[STATS_RETRYING] = Int64GetDatum(queue->retrying);
	values[STATS_DEAD] = Int64GetDatum(queue->dead);
	outbox_set_age(values, nulls, STATS_OLDEST, queue->oldest);
	outbox_set_text(values, nulls, STATS_LAST_ERROR, queue->last_error);
	outbox_set_time(values, nulls, STATS_LAST_ERROR_AT, queue->last_error_at);
	outbox_set_time(values, nulls, STATS_LAST_SUCCESS, queue->last_success);
	set_seconds(values, nulls, STATS_LATENCY_P50, queue->latency_p50);
	set_seconds(values, nulls, STATS_LATENCY_P99, queue->latency_p99);
}

/*
 * Make of partitions' figures those of queues.  Returns how many queues there are.
 */
static int
add_up(OutboxPublished *published, int n)
{
	int			queues = 0;

	for (int i = 0; i < n; i++)
	{
		if (queues > 0 && published[queues - 1].queue == published[i].queue)
			outbox_published_add(&published[queues - 1], &published[i]);
		else
			memmove(&published[queues++], &published[i], sizeof(OutboxPublished));
	}
	return queues;
}

/*
 * outbox.queue_stats(partitions): the figures that the relay has published, of
 * queues or of their partitions
 */
Datum
outbox_queue_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	OutboxPublished *published;
	TimestampTz at;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	published = outbox_copy_published(&n, &at);
	if (!PG_GETARG_BOOL(0))
		n = add_up(published, n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[STATS_COLUMNS] = {0};
		bool		nulls[STATS_COLUMNS] = {0};

		fill_row(&published[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}

/*
 * outbox.partition_rows(): the partitions of all queues
 */
Datum
outbox_partition_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, outbox_partition_list(outbox_queue_list()))
	{
		const OutboxQueue *partition = lfirst(lc);
		Datum		values[] = {
			Int32GetDatum(outbox_queue_of(partition)),
			CStringGetTextDatum(partition->name),
			Int32GetDatum(partition->partition),
			CStringGetTextDatum(partition->redis_key),
			Int32GetDatum(outbox_slot_of(partition->redis_key))
		};
		bool		nulls[lengthof(values)] = {0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
