/*-------------------------------------------------------------------------
 *
 * rotate.c
 *	  Empty staging tables in turn.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * New rows are inserted into one of the staging tables for as long as the
 * retention lasts, then into the other one, if that is empty.  A table that
 * takes no new rows is emptied when Redis has acknowledged all its messages and
 * the retention has passed since then, and Redis still has them (look.c).  A
 * table with few rows takes its time, since the lock that emptying needs ends
 * or delays readers on standbys.
 *
 * If Redis loses some of it, the retention begins anew when that has been sent again,
 * which may take no longer than from one look to the next.
 *
 * With wait_replicas "acknowledged" means that enough replicas have it as well
 * (replicas.c).
 *
 * All messages are acknowledged if each queue's settled snapshot sees every
 * transaction id in the table.  The index tells: its greatest id must be below
 * the snapshot's xmax, and ids in progress in the snapshot must not be in it.
 * A queue that stands still has an old snapshot.  Then a pass over the table
 * looks whether only such queues have messages there.  If that is so for the
 * retention, another pass copies these (evacuate.c), and the table is emptied.
 *
 * The lock to empty a table can be had only if no session has a lock on it: no
 * transaction that wrote to it, and no reader.  While the relay holds the lock
 * no row can be added, so what the index says is true until commit.  If the
 * relay dies before that, nothing has happened.
 *
 * Emptying does not heed snapshots: a reader with an older one finds the table
 * empty.  pg_dump is such a reader, see api/dumped.c.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/rotate.h"

#include "catalog.h"
#include "guc.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/look.h"
#include "relay/upkeep/evacuate.h"
#include "relay/upkeep/kept.h"
#include "relay/upkeep/purge.h"
#include "relay/upkeep/totals.h"
#include "store/emptying.h"
#include "store/staging.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* how long a table takes new rows at least */
#define MIN_TURN_MS			1000

/* a table of less than this takes new rows longer, unless the retention is short */
#define SMALL_BLOCKS		128
#define SMALL_TURN_MS		600000
#define SHORT_RETENTION_S	10

/* when it is told who keeps a table that could have been emptied */
#define KEPT_MS				10000

/* what is known of a table that takes no new rows */
typedef struct TableState
{
	OutboxTime	idle_since;		/* it has rows, but gets none; 0: it isn't so */
	bool		settled;		/* no row up to xid is waited for, ... */
	OutboxTime	since;			/* ... since this time */
	uint64		xid;			/* the greatest in the table then */
	uint64		set_back;		/* outbox_cursors_set_back() then */
	bool		still;			/* queues that stand still had rows in it */
} TableState;

static TableState tables[OUTBOX_STAGING_TABLES];

/* since when the table for new rows has had rows */
static OutboxTime current_since = OUTBOX_LONG_AGO;

static void
forget_table(int table)
{
	tables[table].idle_since = 0;
	tables[table].settled = false;
	tables[table].still = false;
	outbox_forget_pass(table);
}

static void
empty_table(int table)
{
	outbox_empty_table(outbox_relid(OUTBOX_REL_STAGING_1 + table));
	forget_table(table);
	outbox_want_unskip();
	ereport(DEBUG1, (errmsg_internal("outbox has emptied staging_%d", table + 1)));
}

/*
 * Lock a table that is to be emptied.  False if somebody has locked it, or
 * messages have been added to it that will be delivered or are to be copied.
 */
static bool
lock_table(Relay *relay, OutboxStaging *staging, int table)
{
	uint64		last_xid = 0;

	if (!outbox_lock_to_empty(staging->table[table]))
		return false;

	/*
	 * A transaction that created a queue and enqueued to it has sent an
	 * invalidation before it released its lock on the table: then the table
	 * has rows of a queue that is not in our list yet.
	 */
	if (outbox_queues_to_be_read())
		return false;

	/* no row can be added from now on; have any been since the last look? */
	if (!outbox_staging_last_xid(staging, table, &last_xid))
		return true;
	return last_xid == tables[table].xid &&
		(outbox_all_acknowledged(relay, staging, table) ||
		 outbox_pass_holds(relay, staging, table));
}

static OutboxTime
end_of_retention(const TableState *state)
{
	return outbox_in_ms(state->since, outbox_retention * INT64CONST(1000));
}

/*
 * Has the retention of all rows passed, and has Redis not lost what they are kept
 * for, as of a moment later than that?
 */
static bool
is_retained_enough(Relay *relay, const TableState *state, OutboxTime now)
{
	return state->settled && state->set_back == outbox_cursors_set_back() &&
		now >= end_of_retention(state) &&
		outbox_cursors_confirmed(relay, end_of_retention(state));
}

/*
 * True if a table that takes no new rows can be emptied; then it is locked.
 * Sets *more if a pass over the table is not finished.
 */
static bool
may_empty(Relay *relay, OutboxStaging *staging, int table, OutboxTime now,
		  bool *more)
{
	TableState *state = &tables[table];
	bool		kept = is_retained_enough(relay, state, now);
	uint64		last_xid = 0;

	/* without an index entry the table has no row that can be found */
	if (outbox_staging_last_xid(staging, table, &last_xid) &&
		!outbox_all_acknowledged(relay, staging, table))
	{
		PassState	pass = outbox_pass_some(relay, staging, table, kept);

		if (pass == PASS_WAITS)
			state->settled = false;
		state->still = true;
		*more |= pass == PASS_MORE;
		if (pass != PASS_DONE)
			return false;
	}
	else if (state->still)
	{
		/* what they had has been delivered, and is retained from now on */
		state->still = false;
		state->settled = false;
	}
	if (!state->settled || state->xid != last_xid ||
		state->set_back != outbox_cursors_set_back())
	{
		state->settled = true;
		state->since = now;
		state->xid = last_xid;
		state->set_back = outbox_cursors_set_back();
		kept = outbox_retention == 0;
	}
	return kept && lock_table(relay, staging, table);
}

/*
 * True if the table might have been emptied some time ago.
 */
static bool
is_kept(int table, OutboxTime now)
{
	OutboxTime	since = tables[table].idle_since;

	return since != 0 &&
		now >= outbox_in_ms(since, outbox_retention * INT64CONST(2000) + KEPT_MS);
}

/*
 * How long a table takes new rows.
 */
static int64
turn_ms(Relation rel)
{
	int64		turn = Max(outbox_retention * INT64CONST(1000), MIN_TURN_MS);

	if (outbox_retention < SHORT_RETENTION_S ||
		outbox_table_blocks(rel) >= SMALL_BLOCKS)
		return turn;
	return Max(turn, SMALL_TURN_MS);
}

/*
 * Insert new rows into the other table, if that is empty and the current table
 * has taken new rows for long enough.
 */
static void
maybe_switch(OutboxStaging *staging, int current, OutboxTime now)
{
	int			other = (current + 1) % OUTBOX_STAGING_TABLES;

	if (outbox_staging_is_empty(staging, current))
		current_since = now;
	else if (outbox_staging_is_empty(staging, other) &&
			 now >= outbox_in_ms(current_since, turn_ms(staging->table[current])))
	{
		outbox_staging_set_current(other);
		current_since = now;
	}
}

/*
 * What has been delivered must be on record before its rows are forgotten.  It is,
 * unless the retention is short.
 */
static bool
is_emptying_near(OutboxTime now)
{
	bool		near = false;

	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		near |= tables[i].settled && now >= end_of_retention(&tables[i]);
	return near && outbox_retention < 2 * OUTBOX_TOTALS_INTERVAL_S;
}

bool
outbox_rotate(Relay *relay, OutboxTime now)
{
	OutboxStaging staging;
	int			current = outbox_staging_current();
	int			full = -1;
	int			kept = -1;
	bool		more = false;

	if (is_emptying_near(now))
		outbox_write_totals(relay, now, true);
	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	outbox_turn_does(OUTBOX_STEP_ROTATION);
	if (outbox_staging_open(&staging, GetActiveSnapshot(),
							OUTBOX_STAGING_TABLES))
	{
		for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		{
			if (i == current || outbox_staging_is_empty(&staging, i))
				forget_table(i);
			else if (may_empty(relay, &staging, i, now, &more))
				full = i;
			else if (tables[i].idle_since == 0)
				tables[i].idle_since = now;
			else if (is_kept(i, now))
				kept = i;
		}
		maybe_switch(&staging, current, now);
		outbox_staging_close(&staging);
		if (full >= 0)
			empty_table(full);
	}
	outbox_end_step();
	outbox_look_who_keeps(relay, now, kept);
	return more;
}
