/*-------------------------------------------------------------------------
 *
 * totals.c
 *	  What is shown of queues: totals kept, deferred messages counted.
 *
 * Design notes
 *
 * Totals are counted in memory and written about every ten seconds, so that
 * few dead rows come of it whatever passes; a crash loses what came since.
 *
 * Delayed messages and dead letters are counted in passes over an index, a
 * bounded number of rows a second.  With few of them the counts are a second
 * old, with a million some minutes; looking at the view costs nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/table.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define WRITE_INTERVAL_MS	10000

/* rows counted at a time */
#define COUNT_ROWS			5000

/*
 * What a former relay has counted.
 */
void
outbox_read_totals(RelayQueue *queue)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(queue->settings.id)};

	SPI_connect();
	SPI_execute_with_args("SELECT delivered, failed, dead_lettered, expired"
						  " FROM outbox.queue_total WHERE queue = $1",
						  1, types, values, NULL, true, 1);
	if (SPI_processed > 0)
	{
		HeapTuple	tup = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		queue->totals.delivered = DatumGetInt64(SPI_getbinval(tup, desc, 1, &isnull));
		queue->totals.failed = DatumGetInt64(SPI_getbinval(tup, desc, 2, &isnull));
		queue->totals.dead_lettered = DatumGetInt64(SPI_getbinval(tup, desc, 3, &isnull));
		queue->totals.expired = DatumGetInt64(SPI_getbinval(tup, desc, 4, &isnull));
	}
	SPI_finish();
	queue->totals_written = queue->totals;
}

static void
write_totals(RelayQueue *queue)
{
	Oid			types[5] = {INT4OID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum		values[5] = {
		Int32GetDatum(queue->settings.id),
		Int64GetDatum((int64) queue->totals.delivered),
		Int64GetDatum((int64) queue->totals.failed),
		Int64GetDatum((int64) queue->totals.dead_lettered),
		Int64GetDatum((int64) queue->totals.expired)
	};

	SPI_execute_with_args("INSERT INTO outbox.queue_total"
						  " SELECT $1, $2, $3, $4, $5"
						  " WHERE EXISTS (SELECT FROM outbox.queue WHERE id = $1)"
						  " ON CONFLICT (queue) DO UPDATE SET"
						  " delivered = EXCLUDED.delivered, failed = EXCLUDED.failed,"
						  " dead_lettered = EXCLUDED.dead_lettered,"
						  " expired = EXCLUDED.expired",
						  5, types, values, NULL, false, 0);
}

/*
 * Write the totals that have changed, if it is time or must be now.
 */
void
outbox_write_totals(Relay *relay, TimestampTz now, bool must)
{
	bool		changed = false;
	bool		written = false;
	ListCell   *lc;

	if (!must && now >= relay->totals_written_at &&
		!TimestampDifferenceExceeds(relay->totals_written_at, now, WRITE_INTERVAL_MS))
		return;
	relay->totals_written_at = now;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		changed |= !queue->dropped &&
			memcmp(&queue->totals, &queue->totals_written, sizeof(RelayTotals)) != 0;
	}
	if (!changed)
		return;

	outbox_begin_step();
	if (outbox_catalog_load() && outbox_lock_to_write(OUTBOX_REL_QUEUE_TOTAL))
	{
		SPI_connect();
		foreach(lc, relay->queues)
		{
			RelayQueue *queue = lfirst(lc);

			if (!queue->dropped && memcmp(&queue->totals, &queue->totals_written,
										  sizeof(RelayTotals)) != 0)
				write_totals(queue);
		}
		SPI_finish();
		written = true;
	}
	outbox_end_step();

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (written && !queue->dropped)
			queue->totals_written = queue->totals;
	}
}

static int64
number(int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[SPI_processed - 1],
									   SPI_tuptable->tupdesc, column, &isnull));
}

static RelayQueue *
queue_of_row(Relay *relay, uint64 row)
{
	bool		isnull;

	return outbox_find_queue(relay,
							 DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[row],
														 SPI_tuptable->tupdesc,
														 1, &isnull)));
}

/*
 * Go on with a pass over delayed messages, in the order of due_at.
 */
static void
count_delayed(Relay *relay)
{
	Oid			types[2] = {TIMESTAMPTZOID, INT8OID};
	Datum		values[2] = {
		TimestampTzGetDatum(relay->counting_due), Int64GetDatum(relay->counting_seq)
	};
	ListCell   *lc;

	SPI_execute_with_args("SELECT queue, due_at, seq FROM outbox.deferred"
						  " WHERE reason = 'delayed' AND (due_at, seq) > ($1, $2)"
						  " ORDER BY due_at, seq LIMIT " CppAsString2(COUNT_ROWS),
						  2, types, values, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		RelayQueue *queue = queue_of_row(relay, i);

		if (queue != NULL)
			queue->counting_delayed++;
	}
	if (SPI_processed == COUNT_ROWS)
	{
		relay->counting_due = number(2);
		relay->counting_seq = number(3);
		return;
	}
	relay->counting_due = DT_NOBEGIN;
	relay->counting_seq = 0;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		queue->delayed = queue->counting_delayed;
		queue->counting_delayed = 0;
	}
}

/*
 * Go on with a pass over dead letters, in the order of dead_at.
 */
static void
count_dead(Relay *relay)
{
	Oid			types[3] = {INT4OID, TIMESTAMPTZOID, INT8OID};
	Datum		values[3] = {
		Int32GetDatum(relay->counting_dead_queue),
		TimestampTzGetDatum(relay->counting_dead_at),
		Int64GetDatum(relay->counting_dead_seq)
	};
	ListCell   *lc;

	SPI_execute_with_args("SELECT queue, dead_at, seq FROM outbox.dead_letter"
						  " WHERE gone_at IS NULL AND (queue, dead_at, seq) > ($1, $2, $3)"
						  " ORDER BY queue, dead_at, seq LIMIT " CppAsString2(COUNT_ROWS),
						  3, types, values, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		RelayQueue *queue = queue_of_row(relay, i);

		if (queue != NULL)
			queue->counting_dead++;
	}
	if (SPI_processed == COUNT_ROWS)
	{
		bool		isnull;

		relay->counting_dead_queue =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[SPI_processed - 1],
										SPI_tuptable->tupdesc, 1, &isnull));
		relay->counting_dead_at = number(2);
		relay->counting_dead_seq = number(3);
		return;
	}
	relay->counting_dead_queue = 0;
	relay->counting_dead_at = DT_NOBEGIN;
	relay->counting_dead_seq = 0;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		queue->dead = queue->counting_dead;
		queue->counting_dead = 0;
	}
}

void
outbox_count_deferred(Relay *relay)
{
	outbox_begin_step();
	if (outbox_catalog_load() &&
		outbox_lock_relation(OUTBOX_REL_DEFERRED) &&
		outbox_lock_relation(OUTBOX_REL_DEAD_LETTER))
	{
		SPI_connect();
		count_delayed(relay);
		count_dead(relay);
		SPI_finish();
	}
	outbox_end_step();
}

/*
 * Has there been anything deferred or dead, since the tables were vacuumed?
 * Most servers never have, and needn't look for it.
 */
bool
outbox_anything_deferred(void)
{
	static const OutboxRelation which[] = {
		OUTBOX_REL_DEFERRED, OUTBOX_REL_DEAD_LETTER
	};
	bool		any = false;

	outbox_begin_step();
	if (outbox_catalog_load())
		for (int i = 0; i < lengthof(which); i++)
	{
		Relation	rel;

		if (!outbox_lock_relation(which[i]))
			continue;
		rel = table_open(outbox_relid(which[i]), NoLock);
		any |= RelationGetNumberOfBlocks(rel) > 0;
		table_close(rel, NoLock);
	}
	outbox_end_step();
	return any;
}
