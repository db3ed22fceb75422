/*-------------------------------------------------------------------------
 *
 * tick.c
 *	  Find what became visible between two snapshots.
 *
 * Design notes
 *
 * Rows visible in one snapshot and not in an earlier one are of transactions
 * from the earlier one's xmax on, or of those that it called in progress.  So
 * they are reached through the index: by range, and by id.  A transaction that
 * stays open for an hour costs nothing until it has ended.
 *
 * A reach may cover several pairs of snapshots; whoever visits the entries
 * says which pair they belong to.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "lib/qunique.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/*
 * A 32-bit transaction id as a full one: ids above the next one to be given
 * are of the epoch before.
 */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return ((uint64) epoch) << 32 | xid;
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/*
 * The active snapshot as a set, and how far WAL had been written when it was
 * taken.  It must be the one that rows are fetched with (or an older one):
 * what it sees as ended, the fetch has to see as committed or rolled back.
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
	qsort(xip, n, sizeof(uint64), compare_xids);
	/* while a transaction is being prepared it may be listed twice */
	n = qunique(xip, n, sizeof(uint64), compare_xids);
	snap = outbox_snap_make(full_xid(snapshot->xmax, next), n, xip);
	pfree(xip);
	return snap;
}

Datum
outbox_snap_text(const OutboxSnap *snap)
{
	StringInfoData buf;

	/* 0 is no transaction id to PostgreSQL, and below 1 there is none either */
	initStringInfo(&buf);
	if (snap->xmax == 0)
		appendStringInfoString(&buf, "1:1:");
	else
		outbox_snap_print(&buf, snap);
	return CStringGetTextDatum(buf.data);
}

static void
reach_add(OutboxReach *reach, uint64 xid)
{
	if (reach->nxids == reach->size)
	{
		reach->size = Max(reach->size * 2, 64);
		reach->xids = reach->xids == NULL ?
			palloc(reach->size * sizeof(uint64)) :
			repalloc(reach->xids, reach->size * sizeof(uint64));
	}
	reach->xids[reach->nxids++] = xid;
}

/*
 * Widen the reach to all that is visible in cur and not in prev.
 */
void
outbox_reach_cover(OutboxReach *reach, const OutboxSnap *prev, const OutboxSnap *cur)
{
	reach->from = Min(reach->from, prev->xmax);
	reach->below = Max(reach->below, cur->xmax);
	for (int i = 0; i < prev->nxip; i++)
		if (outbox_snap_sees(cur, prev->xip[i]))
			reach_add(reach, prev->xip[i]);
}

void
outbox_reach_scan(OutboxReach *reach, OutboxStaging *staging, OutboxStagedVisit visit,
		   void *arg)
{
	uint64		last = 0;

	if (reach->nxids > 1)
		qsort(reach->xids, reach->nxids, sizeof(uint64), compare_xids);

	for (int table = 0; table < staging->ntables; table++)
	{
		last = 0;
		for (int i = 0; i < reach->nxids; i++)
		{
			uint64		xid = reach->xids[i];

			if (xid == last || xid >= reach->from)
				continue;
			outbox_staging_scan(staging, table, xid, xid + 1, visit, arg);
			last = xid;
		}
		if (reach->from < reach->below)
			outbox_staging_scan(staging, table, reach->from, reach->below,
								visit, arg);
	}
	if (reach->xids != NULL)
		pfree(reach->xids);
}
