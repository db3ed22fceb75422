/*-------------------------------------------------------------------------
 *
 * tick.c
 *	  Find the rows that became visible between two snapshots.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Rows that are visible in one snapshot and not in an earlier one belong to
 * transactions from the earlier one's xmax on, or to transactions that were in
 * progress in it.  The index is scanned for the former by range and for the
 * latter by id.  A transaction that stays open for an hour costs nothing until
 * it has ended.
 *
 * A scan may cover several pairs of snapshots.  The function that visits the
 * entries has to compare them with the snapshots.
 *
 * Most of the time one of the staging tables is empty, and its index need not be
 * asked.
 *
 * A scan may be done in pieces, and the transactions that it looks for have all
 * ended before it began: nothing is added that it would have to find.  What is
 * taken away, by TRUNCATE, ends the scan (plan_scan.c).
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/tick.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/* entries of no use, one after the other, before they are passed over */
#define USELESS_ROWS	32

/*
 * A 32-bit transaction id as a full one: ids above the next one to be given out
 * belong to the epoch before.
 */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch) << 32 | xid;
}

/*
 * Rows must be fetched with the active snapshot or a later one: a transaction
 * that has ended in the set must have ended for the fetch, too.
 */
OutboxSnap *
outbox_take_snapshot(XLogRecPtr *lsn)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	OutboxSnap *snap;
	uint64	   *xip = palloc(sizeof(uint64) * (snapshot->xcnt + 1));
	int			n = snapshot->xcnt;

	*lsn = GetXLogInsertRecPtr();
	for (int i = 0; i < n; i++)
		xip[i] = full_xid(snapshot->xip[i], next);
	snap = outbox_snap_from_list(full_xid(snapshot->xmax, next), n, xip);
	pfree(xip);
	return snap;
}

Datum
outbox_snap_text(const OutboxSnap *snap)
{
	StringInfoData buf;

	/* pg_snapshot refuses 0; below 1 there are no transactions, either */
	initStringInfo(&buf);
	if (snap->xmax == 0)
		appendStringInfoString(&buf, "1:1:");
	else
		outbox_snap_print(&buf, snap);
	return CStringGetTextDatum(buf.data);
}

static void
add_xid(TickScan *scan, uint64 xid)
{
	if (scan->nxids == scan->size)
	{
		scan->size = Max(scan->size * 2, 64);
		scan->xids = scan->xids == NULL ?
			MemoryContextAlloc(scan->context, scan->size * sizeof(uint64)) :
			repalloc(scan->xids, scan->size * sizeof(uint64));
	}
	scan->xids[scan->nxids++] = xid;
}

void
outbox_tick_begin(TickScan *scan, int ntables, MemoryContext context)
{
	memset(scan, 0, sizeof(TickScan));
	scan->context = context;
	scan->ntables = ntables;
	scan->from = PG_UINT64_MAX;
}

void
outbox_tick_cover(TickScan *scan, const OutboxSnap *prev,
				  const OutboxSnap *cur)
{
	scan->from = Min(scan->from, prev->xmax);
	scan->below = Max(scan->below, cur->xmax);
	for (int i = 0; i < prev->nxip; i++)
		if (outbox_snap_sees(cur, prev->xip[i]))
			add_xid(scan, prev->xip[i]);
}

/*
 * Leave out ids that are in the range, or there twice.
 */
static void
sort_xids(TickScan *scan)
{
	int			n = 0;

	if (scan->nxids > 1)
		qsort(scan->xids, scan->nxids, sizeof(uint64), outbox_compare_xids);
	for (int i = 0; i < scan->nxids; i++)
		if (scan->xids[i] < scan->from &&
			(n == 0 || scan->xids[n - 1] != scan->xids[i]))
			scan->xids[n++] = scan->xids[i];
	scan->nxids = n;
}

/*
 * Visit the entries of one xid, or of the range, in one table.
 */
static bool
scan_range(TickScan *scan, OutboxStaging *staging, OutboxWalkVisit visit,
		   void *arg)
{
	bool		is_xid = scan->range < scan->nxids;
	uint64		from = is_xid ? scan->xids[scan->range] : scan->from;
	uint64		below = is_xid ? from + 1 : scan->below;

	if (!scan->within)
		scan->key = (OutboxStagedKey) {from, 0, 0};
	scan->within = from < below &&
		!outbox_staging_walk(staging, scan->table, &scan->key, below, visit,
							 arg);
	return !scan->within;
}

bool
outbox_tick_scan(TickScan *scan, OutboxStaging *staging,
				 OutboxWalkVisit visit, void *arg)
{
	if (!scan->begun)
		sort_xids(scan);
	scan->begun = true;
	Assert(scan->ntables <= staging->ntables);
	while (scan->table < scan->ntables)
	{
		if (scan->range == 0 && !scan->within &&
			outbox_staging_is_empty(staging, scan->table))
		{
			scan->table++;
			continue;
		}
		if (!scan_range(scan, staging, visit, arg))
			return false;
		if (++scan->range > scan->nxids)
		{
			scan->range = 0;
			scan->table++;
		}
	}
	return true;
}

OutboxWalk
outbox_tick_pass_over(TickScan *scan, const OutboxStagedEntry *entry)
{
	if (entry->xid != scan->useless_xid || entry->queue != scan->useless_queue)
	{
		scan->useless_xid = entry->xid;
		scan->useless_queue = entry->queue;
		scan->useless = 0;
	}
	if (++scan->useless < USELESS_ROWS)
		return OUTBOX_WALK_ON;
	scan->useless = 0;
	return OUTBOX_WALK_TO_KEY;
}

void
outbox_tick_end(TickScan *scan)
{
	if (scan->xids != NULL)
		pfree(scan->xids);
	scan->xids = NULL;
}
