/*-------------------------------------------------------------------------
 *
 * rotate.c
 *	  Empty staging tables, keep registers.
 *
 * Design notes
 *
 * New rows go to one of the staging tables for as long as the retention lasts,
 * then to the other one, if that is empty.  A table that takes no new rows is
 * truncated when Redis has acknowledged all in it and the retention has passed
 * since then.
 *
 * Acknowledged means: every transaction id in the table is visible in each
 * queue's settled snapshot.  That is asked of the index: its greatest id, and
 * those that the snapshot calls in progress.  A queue that stands still has an
 * old snapshot; then the table is searched for rows of its, now and then, and
 * these are evacuated (evacuate.c) before the table is emptied.
 *
 * TRUNCATE takes its lock only if nobody holds the table: not a transaction
 * that wrote to it, nor pg_dump.  With the lock held nobody can add a row, so
 * what is asked then is true until commit.  If the relay dies, nothing has
 * happened.
 *
 * Registers are numbers kept in sequences: setval() changes them in place, so
 * they leave no dead rows however often they are written.  "delivered" is the
 * total; all rows of transactions below "applied" are acknowledged, which
 * tells a relay that can't reach Redis after a restart where to begin to
 * count.  They serve status and never decide what is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "executor/spi.h"
#include "guc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* how often a table is searched for the rows of queues that stand still */
#define SEARCH_INTERVAL_MS	10000

/* how long a table takes new rows at least */
#define MIN_TURN_MS			1000

typedef struct Search
{
	Relay	   *relay;
	TableSearch found;
} Search;

static bool
search_visit(void *arg, const OutboxStagedEntry *entry)
{
	Search	   *search = arg;
	QueueById  *by_id = hash_search(search->relay->by_id, &entry->queue,
									HASH_FIND, NULL);

	/* rows of dropped queues wait for nothing */
	if (by_id == NULL || outbox_snap_sees(by_id->queue->settled, entry->xid))
		return true;
	search->found = outbox_stands_still(by_id->queue) ? TABLE_STILL :
		TABLE_WAITED_FOR;
	return search->found == TABLE_STILL;
}

static bool
has_xid(OutboxStaging *staging, int table, uint64 xid)
{
	uint64		found;

	return outbox_staging_first_xid(staging, table, xid, &found) &&
		found == xid;
}

/*
 * Is every row of the table visible in the queue's settled snapshot?
 */
static bool
queue_has_settled(RelayQueue *queue, OutboxStaging *staging, int table,
				  uint64 last_xid)
{
	if (last_xid >= queue->settled->xmax)
		return false;
	for (int i = 0; i < queue->settled->nxip; i++)
		if (has_xid(staging, table, queue->settled->xip[i]))
			return false;
	return true;
}

/*
 * Has Redis acknowledged all rows of a table?  The table is searched now and
 * then only, unless the answer has to be certain.
 */
static TableSearch
search_table(Relay *relay, OutboxStaging *staging, int table,
			 uint64 last_xid, bool certain, TimestampTz now)
{
	Search		search = {relay, TABLE_SETTLED};
	OutboxSnap *last = NULL;
	bool		lagging = false;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->dropped)
			continue;
		if (queue->settled == NULL)
			return TABLE_WAITED_FOR;
		if (queue->settled == last || lagging)
			continue;
		last = queue->settled;
		lagging = !queue_has_settled(queue, staging, table, last_xid);
	}
	if (!lagging)
		return TABLE_SETTLED;

	if (certain || TimestampDifferenceExceeds(relay->searched_at, now,
											  SEARCH_INTERVAL_MS))
	{
		outbox_staging_scan(staging, table, 0, last_xid + 1, search_visit,
							&search);
		relay->searched_at = GetCurrentTimestamp();
		relay->search[table] = search.found;
	}
	return relay->search[table];
}

static void
truncate_table(Relay *relay, int table)
{
	char	   *command = psprintf("TRUNCATE %s.staging_%d", OUTBOX_SCHEMA,
								   table + 1);
	ListCell   *lc;

	SPI_connect();
	SPI_execute(command, false, 0);
	SPI_finish();
	relay->settled_since[table] = 0;
	relay->truncated = true;
	foreach(lc, relay->queues)
		((RelayQueue *) lfirst(lc))->evacuating = -1;
	ereport(DEBUG1, (errmsg("outbox has emptied staging_%d", table + 1)));
}

/*
 * Lock a table that is to be emptied, if nobody holds it and nothing that is
 * waited for has been added to it.
 */
static bool
lock_table(Relay *relay, OutboxStaging *staging, int table, uint64 last_xid,
		   TimestampTz now)
{
	uint64		locked_xid = 0;
	TableSearch found;

	if (!ConditionalLockRelation(staging->table[table], AccessExclusiveLock))
		return false;

	/*
	 * Whoever created a queue and enqueued to it has sent an invalidation
	 * before letting go of the table: then there are rows of a queue that
	 * we haven't asked about.
	 */
	if (relay->queues_stale || relay->queues_epoch != outbox_catalog_epoch())
		return false;

	/* nobody can add to it now: has anybody since we looked? */
	if (!outbox_staging_last_xid(staging, table, &locked_xid))
		return true;
	if (locked_xid != last_xid)
		return false;
	found = search_table(relay, staging, table, last_xid, true, now);
	return found == TABLE_SETTLED ||
		(found == TABLE_STILL && outbox_evacuate(relay, table, true));
}

/*
 * See whether a table that takes no new rows can be emptied.  True if it is
 * to be truncated; its lock is held then.
 */
static bool
may_truncate(Relay *relay, OutboxStaging *staging, int table, TimestampTz now)
{
	uint64		last_xid = 0;
	TableSearch found = TABLE_SETTLED;

	/* without an entry there are at most rows that nobody can find any more */
	if (outbox_staging_last_xid(staging, table, &last_xid))
		found = search_table(relay, staging, table, last_xid, false, now);
	if (found == TABLE_WAITED_FOR)
	{
		relay->settled_since[table] = 0;
		return false;
	}
	if (relay->settled_since[table] == 0 ||
		relay->settled_xid[table] != last_xid)
	{
		relay->settled_since[table] = now;
		relay->settled_xid[table] = last_xid;
	}
	if (!TimestampDifferenceExceeds(relay->settled_since[table], now,
									outbox_retention * 1000))
		return false;
	if (found == TABLE_STILL && !outbox_evacuate(relay, table, false))
	{
		relay->hurry = true;
		return false;
	}
	return lock_table(relay, staging, table, last_xid, now);
}

/*
 * Begin to use the other table, if it is empty and the current one has had its
 * turn.
 */
static void
maybe_switch(Relay *relay, OutboxStaging *staging, int current,
			 TimestampTz now)
{
	int			other = (current + 1) % OUTBOX_STAGING_TABLES;

	if (RelationGetNumberOfBlocks(staging->table[current]) == 0)
		relay->current_since = now;
	else if (RelationGetNumberOfBlocks(staging->table[other]) == 0 &&
			 TimestampDifferenceExceeds(relay->current_since, now,
										Max(outbox_retention * 1000,
											MIN_TURN_MS)))
	{
		outbox_staging_set_current(other);
		relay->current_since = now;
	}
}

/*
 * Rotate the staging tables, as far as may be.
 */
void
outbox_rotate(Relay *relay, TimestampTz now)
{
	OutboxStaging staging;
	int			current = outbox_staging_current();
	int			truncate = -1;

	outbox_begin_step();
	if (outbox_catalog_load() &&
		outbox_staging_open(&staging, GetActiveSnapshot(),
							OUTBOX_STAGING_TABLES))
	{
		for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		{
			if (i == current ||
				RelationGetNumberOfBlocks(staging.table[i]) == 0)
				relay->settled_since[i] = 0;
			else if (may_truncate(relay, &staging, i, now))
				truncate = i;
		}
		maybe_switch(relay, &staging, current, now);
		outbox_staging_close(&staging);
		if (truncate >= 0)
			truncate_table(relay, truncate);
	}
	outbox_end_step();
}

static int64
read_register(OutboxRelation which)
{
	char	   *query = psprintf("SELECT last_value FROM outbox.%s",
								 which == OUTBOX_REL_DELIVERED ?
								 "delivered" : "applied");
	bool		isnull;
	int64		result;

	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		return 0;
	result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	return result;
}

/*
 * Read the registers.  In a transaction, with SPI connected.
 */
void
outbox_read_registers(Relay *relay)
{
	relay->delivered = read_register(OUTBOX_REL_DELIVERED);
	relay->delivered_written = relay->delivered;
	relay->counted_from = read_register(OUTBOX_REL_APPLIED);
	relay->applied_written = relay->counted_from;
}

static void
write_register(OutboxRelation which, uint64 value)
{
	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(outbox_relid(which)),
						Int64GetDatum((int64) value));
}

/*
 * The least transaction id that may have rows not acknowledged yet.
 */
static uint64
applied_below(Relay *relay)
{
	uint64		below = PG_UINT64_MAX;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->dropped)
			continue;
		if (queue->settled == NULL)
			return 0;
		below = Min(below, queue->settled->nxip > 0 ?
					queue->settled->xip[0] : queue->settled->xmax);
	}
	return below == PG_UINT64_MAX ? 0 : below;
}

/*
 * Write the registers if there is anything new.  Only with what was delivered
 * does the other one move, so that an idle server stays idle.
 */
void
outbox_write_registers(Relay *relay)
{
	uint64		applied = applied_below(relay);

	if (relay->delivered == relay->delivered_written)
		return;

	outbox_begin_step();
	if (outbox_catalog_load() &&
		outbox_lock_relation(OUTBOX_REL_DELIVERED) &&
		outbox_lock_relation(OUTBOX_REL_APPLIED))
	{
		write_register(OUTBOX_REL_DELIVERED, relay->delivered);
		if (applied > relay->applied_written)
		{
			write_register(OUTBOX_REL_APPLIED, applied);
			relay->applied_written = applied;
		}
	}
	outbox_end_step();
	relay->delivered_written = relay->delivered;
}
