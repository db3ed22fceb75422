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
 * for a queue that has no place in shared memory, and for a position that was
 * taken beside very many open transactions.
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
#include "shmem.h"
#include "store/tables.h"

static void
add_progress(OutboxProgress *progress, int32 queue, const char *position,
			 const char *seq, TimestampTz as_of)
{
	OutboxQueueProgress *added;
	OutboxPosition parsed;

	if (!outbox_position_parse(position, seq, &parsed))
		return;
	added = palloc(sizeof(OutboxQueueProgress));
	*added = (OutboxQueueProgress) {queue, parsed, as_of};
	progress->queues = lappend(progress->queues, added);
}

static void
read_state(OutboxProgress *progress)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot == NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	progress->held = slot->state == OUTBOX_HELD || slot->state == OUTBOX_FENCED;
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

		if (published[i].position[0] == '\0')
			continue;
		(void) outbox_uint64_text(published[i].position_seq, seq);
		add_progress(progress, published[i].queue, published[i].position, seq, at);
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

		if (outbox_progress_of(progress, queue) == NULL)
			add_progress(progress, queue, SPI_getvalue(row, desc, 2),
						 SPI_getvalue(row, desc, 3), progress->as_of);
	}
}

const OutboxQueueProgress *
outbox_progress_of(const OutboxProgress *progress, int32 queue)
{
	ListCell   *lc;

	foreach(lc, progress->queues)
	{
		const OutboxQueueProgress *of = lfirst(lc);

		if (of->queue == queue)
			return of;
	}
	return NULL;
}
