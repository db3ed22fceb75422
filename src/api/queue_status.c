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
#include "utils/tuplestore.h"

/* columns of outbox.queue_stats() */
enum
{
	STATS_QUEUE,
	STATS_STATE,
	STATS_SINCE,
	STATS_WHY,
	STATS_DELIVERED,
	STATS_FAILED,
	STATS_DEAD_LETTERED,
	STATS_EXPIRED,
	STATS_WAITING,
	STATS_DELAYED,
	STATS_HELD,
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
	[OUTBOX_QUEUE_PAUSED] = "paused"
};

PG_FUNCTION_INFO_V1(outbox_queue_stats);

OutboxPublished *
outbox_copy_published(int *n, TimestampTz *at)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	OutboxPublished *result;

	*n = 0;
	*at = 0;
	if (slot == NULL)
		return NULL;
	result = palloc(sizeof(slot->published));
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	if (slot->pid != 0 && slot->npublished > 0)
	{
		*n = slot->npublished;
		*at = slot->published_at;
		memcpy(result, slot->published, *n * sizeof(OutboxPublished));
	}
	LWLockRelease(outbox_shared->lock);
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
	outbox_set_text(values, nulls, STATS_STATE, state_names[queue->state]);
	outbox_set_time(values, nulls, STATS_SINCE, queue->since);
	outbox_set_text(values, nulls, STATS_WHY, queue->why);
	values[STATS_DELIVERED] = Int64GetDatum((int64) queue->delivered);
	values[STATS_FAILED] = Int64GetDatum((int64) queue->failed);
	values[STATS_DEAD_LETTERED] = Int64GetDatum((int64) queue->dead_lettered);
	values[STATS_EXPIRED] = Int64GetDatum((int64) queue->expired);
	values[STATS_WAITING] = Int64GetDatum(queue->waiting);
	values[STATS_DELAYED] = Int64GetDatum(queue->delayed);
	values[STATS_HELD] = Int64GetDatum(queue->held);
	values[STATS_DEAD] = Int64GetDatum(queue->dead);
	outbox_set_age(values, nulls, STATS_OLDEST, queue->oldest);
	outbox_set_text(values, nulls, STATS_LAST_ERROR, queue->last_error);
	outbox_set_time(values, nulls, STATS_LAST_ERROR_AT, queue->last_error_at);
	outbox_set_time(values, nulls, STATS_LAST_SUCCESS, queue->last_success);
	set_seconds(values, nulls, STATS_LATENCY_P50, queue->latency_p50);
	set_seconds(values, nulls, STATS_LATENCY_P99, queue->latency_p99);
}

/*
 * outbox.queue_stats(): the figures that the relay has published
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
	for (int i = 0; i < n; i++)
	{
		Datum		values[STATS_COLUMNS] = {0};
		bool		nulls[STATS_COLUMNS] = {0};

		fill_row(&published[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
