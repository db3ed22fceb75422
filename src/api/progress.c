/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far the relay has got with queues, as it last told.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay publishes once a second, in shared memory, which position of each
 * queue Redis has acknowledged.  It writes the same into outbox.queue_total about
 * every ten seconds and when it ends, and that is all there is without a relay,
 * before it has read the cursor, for a queue that has no place in shared memory, and
 * for a position that was taken beside very many open transactions.
 *
 * A message that a position covers has been delivered, or there is a record of it
 * in outbox.deferred or outbox.dead_letter.  The relay records first and publishes
 * afterwards.  So shared memory is read before the snapshot is taken with which
 * the tables are read; what is in a table is seen together with the records.
 *
 * A written position counts only if it is that of the cursor that this database's
 * relay moves: a copy of a database has the positions of the original.
 *
 *-------------------------------------------------------------------------
 */
#include "api/progress.h"

#include "api/queue_status.h"
#include "convert.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "published.h"
#include "shmem.h"
#include "store/tables.h"

static OutboxQueueProgress *
find(const OutboxProgress *progress, int32 queue)
{
	ListCell   *lc;

	foreach(lc, progress->queues)
	{
		OutboxQueueProgress *of = lfirst(lc);

		if (of->queue == queue)
			return of;
	}
	return NULL;
}

static OutboxQueueProgress *
add(OutboxProgress *progress, int32 queue, TimestampTz as_of)
{
	OutboxQueueProgress *added = palloc0(sizeof(OutboxQueueProgress));

	added->queue = queue;
	added->as_of = as_of;
	progress->queues = lappend(progress->queues, added);
	return added;
}

static void
set_position(OutboxQueueProgress *of, const char *position, const char *seq)
{
	if (!outbox_position_parse(position, seq, &of->position))
		of->position.prev = NULL;
}

static void
read_state(OutboxProgress *progress)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot == NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	/* HELD is in the database, and may have ended since the relay told */
	progress->held = slot->state == OUTBOX_FENCED;
	progress->as_of = slot->pid != 0 ? slot->totals_at : 0;
	LWLockRelease(outbox_shared->lock);
}

void
outbox_read_published(OutboxProgress *progress)
{
	TimestampTz at;
	int			n;
	OutboxPublished *published = outbox_copy_published(&n, &at);

	memset(progress, 0, sizeof(OutboxProgress));
	read_state(progress);
	for (int i = 0; i < n; i++)
	{
		char		seq[OUTBOX_UINT64_SIZE];
		OutboxQueueProgress *of;

		if (published[i].partition == OUTBOX_PARTITIONS_TOGETHER ||
			strcmp(published[i].position, OUTBOX_POSITION_TOO_LONG) == 0)
			continue;
		(void) outbox_uint64_text(published[i].position_seq, seq);
		of = add(progress, published[i].queue + published[i].partition, at);
		set_position(of, published[i].position, seq);
	}
}

void
outbox_read_written(OutboxProgress *progress)
{
	int			n;

	SPI_execute("SELECT FROM outbox.relay_state WHERE held IS NOT NULL"
				" OR database <> " OUTBOX_THIS_DATABASE, true, 1);
	progress->held |= SPI_processed > 0;
	SPI_execute("SELECT t.queue, t.cursor_pos, t.cursor_seq"
				" FROM outbox.queue_total AS t, outbox.relay_state AS s"
				" WHERE t.cursor_key LIKE '%:outbox:' || s.source || ':' || t.queue"
				" AND s.database = " OUTBOX_THIS_DATABASE
				" AND t.cursor_pos IS NOT NULL AND t.cursor_seq IS NOT NULL",
				true, 0);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		int32		queue = atoi(SPI_getvalue(row, desc, 1));
		OutboxQueueProgress *of = find(progress, queue);

		if (of == NULL)
			of = add(progress, queue, progress->as_of);
		if (of->position.prev == NULL)
			set_position(of, SPI_getvalue(row, desc, 2), SPI_getvalue(row, desc, 3));
	}
}

const OutboxQueueProgress *
outbox_progress_of(const OutboxProgress *progress, int32 queue)
{
	return find(progress, queue);
}
