/*-------------------------------------------------------------------------
 *
 * totals.c
 *	  Keep the totals of queues, and count deferred messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Totals are counted in memory and written about every ten seconds, so that
 * they leave few dead rows however many messages are delivered.  A crash loses
 * what was counted since.
 *
 * Delayed messages and dead letters are counted in passes over an index, a
 * bounded number of rows at a time.  If there are few, the counts are a second
 * old; if there are a million, some minutes: then a pass takes a small part of the
 * relay's time.  Reading the view costs nothing.  A pass over many rows is not begun
 * again while neither the list of queues nor the table has changed, as far as the
 * server's statistics have heard: so messages for a day far in the future cost nothing.
 * Sessions tell the statistics after they have committed, so what a pass has not seen
 * makes another number than the one that it began with.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/totals.h"

#include "access/table.h"
#include "pgstat.h"
#include "queue/partition.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/upkeep/registers.h"
#include "storage/bufmgr.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#define WRITE_INTERVAL_MS	(OUTBOX_TOTALS_INTERVAL_S * 1000)

/* queues whose totals are written in one turn */
#define WRITE_ROWS			100

/* rows counted in one step */
#define COUNT_ROWS			2000
#define COUNT_ROWS_TEXT		CppAsString2(COUNT_ROWS)

/* of the time, if there are more rows than that */
#define COUNT_PART			500

static OutboxTime write_at = 0;
static OutboxTime count_at = 0;

/* the last row of the pass over delayed messages, in the order of the index */
static TimestampTz delayed_due = DT_NOBEGIN;
static int64 delayed_seq = 0;

/* the last row of the pass over dead letters, in the order of the index */
static int32 dead_queue = 0;
static TimestampTz dead_at = DT_NOBEGIN;
static int64 dead_seq = 0;

/* a long pass is begun again after this time at the latest */
#define COUNT_STANDS_MS	3600000

/* what a pass knows of its table */
typedef struct CountPass
{
	OutboxRelation table;
	bool		is_long;		/* it took more than one step */
	uint64		changes;		/* changes_of() it when it began */
	bool		finds;			/* it has come upon a row */
	bool		has_found;		/* so had the one before it */
	OutboxTime	stands_until;	/* it is begun again then, whatever they are */
} CountPass;

static CountPass delayed_pass = {OUTBOX_REL_DEFERRED};
static CountPass dead_pass = {OUTBOX_REL_DEAD_LETTER};

/* a parameter of write_totals() */
#define PARAM_POS 6

static QueueTotals *
mine(const RelayQueue *queue)
{
	return unconstify(QueueTotals *, queue->totals);
}

/*
 * No relay has counted anything of the queue yet: all that its cursor says is to be
 * counted.
 */
static void
remember_no_cursor(RelayQueue *queue)
{
	MemoryContext old = MemoryContextSwitchTo(queue->context);
	OutboxSnap *nothing = outbox_snap_make(0, 0, NULL);

	outbox_cursor_was_known(queue, &(OutboxPosition) {.prev = nothing, .cur = nothing},
							0);
	outbox_snap_unref(nothing);
	MemoryContextSwitchTo(old);
}

/*
 * Where the queue's cursor was, by the row of outbox.queue_total that was read.
 */
static void
remember_cursor(RelayQueue *queue)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	char	   *key = SPI_getvalue(row, SPI_tuptable->tupdesc, 5);
	char	   *pos = SPI_getvalue(row, SPI_tuptable->tupdesc, 6);
	char	   *seq = SPI_getvalue(row, SPI_tuptable->tupdesc, 7);
	MemoryContext old;
	OutboxPosition position;

	/* the queue has got a new id, and a cursor that no relay has read */
	if (key != NULL && key[0] == '\0')
		remember_no_cursor(queue);
	if (key == NULL || pos == NULL || seq == NULL ||
		strcmp(key, queue->cursor_key) != 0)
		return;
	old = MemoryContextSwitchTo(queue->context);
	if (outbox_position_parse(pos, seq, &position))
	{
		outbox_cursor_was_known(queue, &position,
								(uint64) outbox_result_int64(0, 8));
		outbox_snap_unref(position.prev);
		outbox_snap_unref(position.cur);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Add what a former relay has counted.  SPI is connected.
 */
static void
read_totals(RelayQueue *queue, bool first)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)}
	};
	ShownTotals totals = {0};

	if (outbox_query("SELECT delivered, failed, dead_lettered, expired,"
					 " cursor_key, cursor_pos, cursor_seq, cursor_count"
					 " FROM outbox.queue_total WHERE queue = $queue",
					 params, lengthof(params)) > 0)
	{
		totals.delivered = (uint64) outbox_result_int64(0, 1);
		totals.failed = (uint64) outbox_result_int64(0, 2);
		totals.dead_lettered = (uint64) outbox_result_int64(0, 3);
		totals.expired = (uint64) outbox_result_int64(0, 4);
		if (first)
			remember_cursor(queue);
	}
	else if (first)
		remember_no_cursor(queue);
	mine(queue)->known = true;
	mine(queue)->written = totals;
	outbox_show_more(queue, &totals);
}

void
outbox_totals_init(RelayQueue *queue)
{
	outbox_shown_init(queue);
	queue->totals = outbox_make_part(queue, sizeof(QueueTotals));
	if (!outbox_lock_relation(OUTBOX_REL_QUEUE_TOTAL))
		return;
	SPI_connect();
	read_totals(queue, true);
	SPI_finish();
}

void
outbox_totals_go_on(RelayQueue *queue, const RelayQueue *before)
{
	const ShownTotals *shown = &before->shown->totals;
	const ShownTotals *written = &before->totals->written;

	outbox_show_more(queue, &(ShownTotals) {
		.delivered = shown->delivered - written->delivered,
		.failed = shown->failed - written->failed,
		.dead_lettered = shown->dead_lettered - written->dead_lettered,
		.expired = shown->expired - written->expired
	});
}

static bool
has_changed(const RelayQueue *queue)
{
	return !queue->listed->dropped &&
		(!queue->totals->known ||
		 memcmp(&queue->shown->totals, &queue->totals->written,
				sizeof(ShownTotals)) != 0 ||
		 (queue->cursor->acked.prev != NULL &&
		  queue->cursor->applied != queue->totals->written_count));
}

/*
 * Some queues whose totals have changed: behind those of the last time, so that
 * all have their turn.
 */
static List *
changed_queues(const Relay *relay, int most)
{
	static int	last = 0;
	List	   *changed = NIL;
	int			n = list_length(relay->queues);

	for (int i = 0; i < n && list_length(changed) < most; i++)
	{
		RelayQueue *queue = list_nth(relay->queues, ++last % n);

		if (has_changed(queue))
			changed = lappend(changed, queue);
	}
	last %= Max(n, 1);
	return changed;
}

static void
write_totals(RelayQueue *queue)
{
	const ShownTotals *totals = &queue->shown->totals;
	OutboxPosition pos;
	uint64		count;
	bool		known = outbox_cursor_known(queue, &pos, &count);
	StringInfoData text;
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"delivered", INT8OID, Int64GetDatum((int64) totals->delivered)},
		{"failed", INT8OID, Int64GetDatum((int64) totals->failed)},
		{"dead_lettered", INT8OID, Int64GetDatum((int64) totals->dead_lettered)},
		{"expired", INT8OID, Int64GetDatum((int64) totals->expired)},
		{"key", TEXTOID, CStringGetTextDatum(queue->cursor_key), !known},
		{"pos", TEXTOID, 0, !known},
		{"last", INT8OID, Int64GetDatum((int64) pos.seq), !known},
		{"count", INT8OID, Int64GetDatum((int64) count), !known},
		{"of", INT4OID, Int32GetDatum(outbox_queue_of(queue->settings))}
	};

	initStringInfo(&text);
	if (known)
		outbox_position_print(&text, pos.lsn, pos.prev, pos.cur, "-");
	params[PARAM_POS].value = CStringGetTextDatum(text.data);
	outbox_query("INSERT INTO outbox.queue_total"
				 " SELECT $queue, $delivered, $failed, $dead_lettered, $expired,"
				 " $key, $pos, $last, $count"
				 " WHERE EXISTS (SELECT FROM outbox.queue WHERE id = $of)"
				 " ON CONFLICT (queue) DO UPDATE SET"
				 " delivered = EXCLUDED.delivered, failed = EXCLUDED.failed,"
				 " dead_lettered = EXCLUDED.dead_lettered,"
				 " expired = EXCLUDED.expired,"
				 " cursor_key = EXCLUDED.cursor_key,"
				 " cursor_pos = EXCLUDED.cursor_pos,"
				 " cursor_seq = EXCLUDED.cursor_seq,"
				 " cursor_count = EXCLUDED.cursor_count",
				 params, lengthof(params));
}

/*
 * All totals that had changed by then have been written.
 */
static void
tell_complete(Relay *relay, TimestampTz then)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	relay->slot->totals_at = then;
	LWLockRelease(outbox_shared->lock);
}

void
outbox_write_totals(Relay *relay, OutboxTime now, bool must)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_QUEUE_TOTAL, true},
		{OUTBOX_REL_QUEUE, false}
	};
	TimestampTz then = GetCurrentTimestamp();
	List	   *changed;
	ListCell   *lc;
	bool		all;

	if (!must && now < write_at)
		return;
	outbox_turn_does(OUTBOX_STEP_TOTALS);
	changed = changed_queues(relay, must ? PG_INT32_MAX : WRITE_ROWS);
	all = list_length(changed) < WRITE_ROWS;
	if (all)
		write_at = outbox_in_ms(now, WRITE_INTERVAL_MS);
	outbox_turn_worked(0, list_length(changed));
	if (changed != NIL && !outbox_begin_locked_step(locks, lengthof(locks)))
		return;
	if (all)
		tell_complete(relay, then);
	if (changed == NIL)
		return;

	SPI_connect();
	foreach(lc, changed)
	{
		RelayQueue *queue = lfirst(lc);

		/* an open transaction that drops the queue has deleted its totals */
		if (!outbox_queue_is_free(outbox_queue_of(queue->settings)))
		{
			changed = foreach_delete_current(changed, lc);
			continue;
		}
		if (!queue->totals->known)
			read_totals(queue, false);
		write_totals(queue);
	}
	SPI_finish();
	outbox_write_delivered();
	outbox_end_step();
	foreach(lc, changed)
	{
		RelayQueue *queue = lfirst(lc);

		mine(queue)->written = queue->shown->totals;
		mine(queue)->written_count = queue->cursor->applied;
	}
}

static QueueTotals *
totals_of_row(uint64 row)
{
	RelayQueue *queue = outbox_find_queue((int32) outbox_result_int64(row, 1));

	return queue != NULL ? mine(queue) : NULL;
}

/*
 * Another number whenever the table's rows or the list of queues have changed, unless
 * they were changed by a session that has track_counts off, or has not said so yet.
 */
static uint64
changes_of(OutboxRelation table)
{
	Datum		relid = ObjectIdGetDatum(outbox_relid(table));
	Relation	rel = RelationIdGetRelation(outbox_relid(table));
	uint64		file = 0;

	/* TRUNCATE counts no rows */
	if (rel != NULL)
	{
		file = outbox_relation_file(rel);
		RelationClose(rel);
	}
	return (file << 32) + outbox_queue_list_number() +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_tuples_inserted, relid)) +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_tuples_updated, relid)) +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_tuples_deleted, relid));
}

/*
 * Would a pass that begins now count what the last one has counted?
 */
static bool
is_needless(CountPass *pass)
{
	OutboxTime	now = outbox_now();
	uint64		changes = changes_of(pass->table);

	if (pass->is_long && pgstat_track_counts && changes == pass->changes &&
		now < pass->stands_until)
		return true;
	pass->is_long = false;
	pass->changes = changes;
	pass->stands_until = outbox_in_ms(now, COUNT_STANDS_MS);
	return false;
}

static void
end_pass(CountPass *pass)
{
	pass->has_found = pass->finds;
	pass->finds = false;
}

/*
 * Count the next rows of the pass over delayed messages.  True if there are more.
 */
static bool
count_delayed(Relay *relay)
{
	static SPIPlanPtr plan = NULL;
	OutboxParam params[] = {
		{"due", TIMESTAMPTZOID, TimestampTzGetDatum(delayed_due)},
		{"seq", INT8OID, Int64GetDatum(delayed_seq)}
	};
	uint64		n;
	ListCell   *lc;

	if (delayed_due == DT_NOBEGIN && is_needless(&delayed_pass))
		return false;
	n = outbox_query_in_order(&plan, "SELECT queue, due_at, seq FROM outbox.deferred"
							  " WHERE reason = 'delayed'"
							  " AND (due_at, seq) > ($due, $seq)"
							  " ORDER BY due_at, seq LIMIT " COUNT_ROWS_TEXT,
							  params, lengthof(params));
	for (uint64 i = 0; i < n; i++)
	{
		QueueTotals *totals = totals_of_row(i);

		if (totals != NULL)
			totals->delayed++;
	}
	delayed_pass.finds |= n > 0;
	if (n == COUNT_ROWS)
	{
		delayed_pass.is_long = true;
		delayed_due = outbox_result_int64(n - 1, 2);
		delayed_seq = outbox_result_int64(n - 1, 3);
		return true;
	}
	delayed_due = DT_NOBEGIN;
	delayed_seq = 0;
	end_pass(&delayed_pass);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		outbox_show_delayed(queue, queue->totals->delayed);
		mine(queue)->delayed = 0;
	}
	return false;
}

/*
 * The same for the pass over dead letters.
 */
static bool
count_dead(Relay *relay)
{
	static SPIPlanPtr plan = NULL;
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(dead_queue)},
		{"dead_at", TIMESTAMPTZOID, TimestampTzGetDatum(dead_at)},
		{"seq", INT8OID, Int64GetDatum(dead_seq)}
	};
	uint64		n;
	ListCell   *lc;

	if (dead_at == DT_NOBEGIN && is_needless(&dead_pass))
		return false;
	n = outbox_query_in_order(&plan, "SELECT queue, dead_at, seq FROM outbox.dead_letter"
							  " WHERE gone_at IS NULL"
							  " AND (queue, dead_at, seq) > ($queue, $dead_at, $seq)"
							  " ORDER BY queue, dead_at, seq LIMIT " COUNT_ROWS_TEXT,
							  params, lengthof(params));
	for (uint64 i = 0; i < n; i++)
	{
		QueueTotals *totals = totals_of_row(i);

		if (totals != NULL)
			totals->dead++;
	}
	dead_pass.finds |= n > 0;
	if (n == COUNT_ROWS)
	{
		dead_pass.is_long = true;
		dead_queue = (int32) outbox_result_int64(n - 1, 1);
		dead_at = outbox_result_int64(n - 1, 2);
		dead_seq = outbox_result_int64(n - 1, 3);
		return true;
	}
	dead_queue = 0;
	dead_at = DT_NOBEGIN;
	dead_seq = 0;
	end_pass(&dead_pass);
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		outbox_show_dead(queue, queue->totals->dead);
		mine(queue)->dead = 0;
	}
	return false;
}

void
outbox_count_deferred(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_DEFERRED, false},
		{OUTBOX_REL_DEAD_LETTER, false}
	};

	OutboxTime	began = outbox_now();
	bool		more;

	if (began < count_at || !outbox_begin_locked_step(locks, lengthof(locks)))
		return;
	outbox_turn_does(OUTBOX_STEP_COUNTS);
	SPI_connect();
	more = count_delayed(relay);
	more |= count_dead(relay);
	SPI_finish();
	outbox_end_step();
	count_at = more ? began + (outbox_now() - began) * COUNT_PART : 0;
}

/*
 * Most databases never defer a message; there the passes cost no query.
 */
bool
outbox_anything_deferred(void)
{
	static const OutboxRelation which[] = {
		OUTBOX_REL_DEFERRED, OUTBOX_REL_DEAD_LETTER
	};

	/* what was counted has to be counted once more when it is gone */
	bool		any = delayed_pass.has_found || dead_pass.has_found;

	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	for (int i = 0; i < lengthof(which); i++)
	{
		Relation	rel;

		/* whoever has locked it may insert */
		if (!outbox_lock_relation(which[i]))
		{
			any = true;
			continue;
		}
		rel = table_open(outbox_relid(which[i]), NoLock);
		any |= RelationGetNumberOfBlocks(rel) > 0;
		table_close(rel, NoLock);
	}
	outbox_end_step();
	return any;
}
