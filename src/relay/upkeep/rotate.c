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
 * takes no new rows is truncated when Redis has acknowledged all its messages
 * and the retention has passed since then.
 *
 * All messages are acknowledged if each queue's settled snapshot sees every
 * transaction id in the table.  The index tells: its greatest id must be below
 * the snapshot's xmax, and ids in progress in the snapshot must not be in it.
 * A queue that stands still has an old snapshot.  Then the table is searched
 * for that queue's rows, now and then, and these are evacuated (evacuate.c)
 * before the table is emptied.
 *
 * TRUNCATE gets its lock only if no session has a lock on the table: no
 * transaction that wrote to it, and no pg_dump.  While the relay holds the lock
 * no row can be added, so what the index says is true until commit.  If the
 * relay dies before that, nothing has happened.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/rotate.h"

#include "guc.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/deliver/cursor.h"
#include "relay/upkeep/evacuate.h"
#include "relay/upkeep/purge.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "store/query.h"
#include "store/staging.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* how often a table is searched for the rows of queues that stand still */
#define SEARCH_INTERVAL_MS	10000

/* how long a table takes new rows at least */
#define MIN_TURN_MS			1000

/* rows of a staging table that Redis hasn't acknowledged */
typedef enum TableSearch
{
	TABLE_WAITED_FOR,			/* some will be delivered */
	TABLE_STILL,				/* all belong to queues that stand still */
	TABLE_SETTLED				/* there are none */
} TableSearch;

/* what is known of a table that takes no new rows */
typedef struct TableState
{
	bool		settled;		/* no row up to xid is waited for, ... */
	OutboxTime	since;			/* ... since this time */
	uint64		xid;			/* the greatest in the table then */
	TableSearch last_search;	/* the result of the last search */
} TableState;

static TableState tables[OUTBOX_STAGING_TABLES];

/* since when the table for new rows has had rows; when to search one again */
static OutboxTime current_since = OUTBOX_LONG_AGO;
static OutboxTime search_at = 0;

static bool
search_visit(void *arg, const OutboxStagedEntry *entry)
{
	TableSearch *found = arg;
	RelayQueue *queue = outbox_known_queue(entry->queue);

	/* rows of dropped queues are not delivered */
	if (queue == NULL || outbox_snap_sees(queue->cursor->settled, entry->xid))
		return true;
	*found = outbox_may_evacuate(queue) ? TABLE_STILL : TABLE_WAITED_FOR;
	return *found == TABLE_STILL;
}

static bool
has_xid(OutboxStaging *staging, int table, uint64 xid)
{
	uint64		found;

	return outbox_staging_first_xid(staging, table, xid, &found) &&
		found == xid;
}

/*
 * True if the snapshot sees every row of the table.
 */
static bool
all_settled(const OutboxSnap *settled, OutboxStaging *staging, int table,
			uint64 last_xid)
{
	if (last_xid >= settled->xmax)
		return false;
	for (int i = 0; i < settled->nxip; i++)
		if (has_xid(staging, table, settled->xip[i]))
			return false;
	return true;
}

/*
 * Which rows of a table has Redis not acknowledged?  Unless the answer has to
 * be certain, the result of a search is used for some time.
 */
static TableSearch
search_table(Relay *relay, OutboxStaging *staging, int table, uint64 last_xid,
			 bool certain)
{
	TableSearch found = TABLE_SETTLED;
	OutboxSnap *last = NULL;
	bool		lagging = false;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		OutboxSnap *settled = queue->cursor->settled;

		if (queue->listed->dropped)
			continue;
		if (settled == NULL)
			return TABLE_WAITED_FOR;
		if (settled == last || lagging)
			continue;
		last = settled;
		lagging = !all_settled(settled, staging, table, last_xid);
	}
	if (!lagging)
		return TABLE_SETTLED;

	if (certain || outbox_now() >= search_at)
	{
		outbox_staging_scan(staging, table, 0, last_xid + 1, search_visit,
							&found);
		search_at = outbox_in_ms(outbox_now(), SEARCH_INTERVAL_MS);
		tables[table].last_search = found;
	}
	return tables[table].last_search;
}

static void
truncate_table(int table)
{
	SPI_connect();
	outbox_query(psprintf("TRUNCATE outbox.staging_%d", table + 1), NULL, 0);
	SPI_finish();
	tables[table].settled = false;
	outbox_table_was_emptied();
	outbox_want_unskip();
	ereport(DEBUG1, (errmsg_internal("outbox has emptied staging_%d", table + 1)));
}

/*
 * Lock a table that is to be emptied.  False if somebody has locked it, or
 * messages that will be delivered have been added to it.
 */
static bool
lock_table(Relay *relay, OutboxStaging *staging, int table, uint64 last_xid)
{
	uint64		locked_xid = 0;
	TableSearch found;

	if (!ConditionalLockRelation(staging->table[table], AccessExclusiveLock))
		return false;

	/*
	 * A transaction that created a queue and enqueued to it has sent an
	 * invalidation before it released its lock on the table: then the table
	 * has rows of a queue that is not in our list yet.
	 */
	if (outbox_queues_to_be_read())
		return false;

	/* no row can be added from now on; have any been since the search? */
	if (!outbox_staging_last_xid(staging, table, &locked_xid))
		return true;
	if (locked_xid != last_xid)
		return false;
	found = search_table(relay, staging, table, last_xid, true);
	return found == TABLE_SETTLED ||
		(found == TABLE_STILL && outbox_evacuate_rest(relay, table));
}

/*
 * True if a table that takes no new rows can be emptied; then it is locked.
 * Sets *more if evacuation is not finished.
 */
static bool
may_truncate(Relay *relay, OutboxStaging *staging, int table, OutboxTime now,
			 bool *more)
{
	TableState *state = &tables[table];
	uint64		last_xid = 0;
	TableSearch found = TABLE_SETTLED;

	/* without an index entry the table has no row that can be found */
	if (outbox_staging_last_xid(staging, table, &last_xid))
		found = search_table(relay, staging, table, last_xid, false);
	if (found == TABLE_WAITED_FOR)
	{
		state->settled = false;
		return false;
	}
	if (!state->settled || state->xid != last_xid)
	{
		state->settled = true;
		state->since = now;
		state->xid = last_xid;
	}
	if (now < outbox_in_ms(state->since, outbox_retention * INT64CONST(1000)))
		return false;
	if (found == TABLE_STILL && !outbox_evacuate_some(relay, table))
	{
		*more = true;
		return false;
	}
	return lock_table(relay, staging, table, last_xid);
}

static bool
is_empty(OutboxStaging *staging, int table)
{
	return RelationGetNumberOfBlocks(staging->table[table]) == 0;
}

/*
 * Insert new rows into the other table, if that is empty and the current table
 * has taken new rows for long enough.
 */
static void
maybe_switch(OutboxStaging *staging, int current, OutboxTime now)
{
	int			other = (current + 1) % OUTBOX_STAGING_TABLES;
	int64		turn = Max(outbox_retention * INT64CONST(1000), MIN_TURN_MS);

	if (is_empty(staging, current))
		current_since = now;
	else if (is_empty(staging, other) && now >= outbox_in_ms(current_since, turn))
	{
		outbox_staging_set_current(other);
		current_since = now;
	}
}

bool
outbox_rotate(Relay *relay, OutboxTime now)
{
	OutboxStaging staging;
	int			current = outbox_staging_current();
	int			truncate = -1;
	bool		more = false;

	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	if (outbox_staging_open(&staging, GetActiveSnapshot(),
							OUTBOX_STAGING_TABLES))
	{
		for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		{
			if (i == current || is_empty(&staging, i))
				tables[i].settled = false;
			else if (may_truncate(relay, &staging, i, now, &more))
				truncate = i;
		}
		maybe_switch(&staging, current, now);
		outbox_staging_close(&staging);
		if (truncate >= 0)
			truncate_table(truncate);
	}
	outbox_end_step();
	return more;
}
