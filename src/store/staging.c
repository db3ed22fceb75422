/*-------------------------------------------------------------------------
 *
 * staging.c
 *	  The append-only tables where committed messages wait.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A row is inserted once and never updated or deleted.  The relay empties a
 * table as TRUNCATE does when it may (rotate.c).  So only transactions that roll
 * back leave dead rows, and go with the others.
 *
 * Which table takes new rows is in shared memory only, as it is no more than
 * advice.  A row is delivered whichever table it is in, and a table is
 * truncated only when it is locked and all its rows are covered.
 *
 * The index is on (xid, queue, seq).  The relay plans ticks from the index alone,
 * and passes over the rows that a transaction has for other queues.
 *
 *-------------------------------------------------------------------------
 */
#include "store/staging.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog.h"
#include "executor/executor.h"
#include "lock.h"
#include "miscadmin.h"
#include "shape.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* the tables by their numbers */
static const OutboxRelation tables[OUTBOX_TABLES] = {
	OUTBOX_REL_STAGING_1,
	OUTBOX_REL_STAGING_2,
	[OUTBOX_TABLE_DEFERRED] = OUTBOX_REL_DEFERRED,
	[OUTBOX_TABLE_DEAD_LETTER] = OUTBOX_REL_DEAD_LETTER
};
static const OutboxRelation indexes[OUTBOX_TABLES] = {
	OUTBOX_REL_STAGING_1_INDEX,
	OUTBOX_REL_STAGING_2_INDEX,
	[OUTBOX_TABLE_DEFERRED] = OUTBOX_REL_DEFERRED_INDEX,
	[OUTBOX_TABLE_DEAD_LETTER] = OUTBOX_REL_DEAD_LETTER_INDEX
};

static void
open_table(OutboxStaging *staging, int i, LOCKMODE mode)
{
	staging->table[i] = table_open(outbox_relid(tables[i]), mode);
	if (mode != NoLock)
		outbox_need_shape(staging->table[i], tables[i]);
	staging->index[i] = index_open(outbox_relid(indexes[i]), mode);
	staging->slot[i] = table_slot_create(staging->table[i], NULL);
	staging->fetch[i] = outbox_index_fetch_begin(staging->table[i]);
}

static void
close_tables(OutboxStaging *staging, LOCKMODE mode)
{
	for (int i = 0; i < staging->ntables; i++)
	{
		if (staging->table[i] == NULL)
			break;
		table_index_fetch_end(staging->fetch[i]);
		ExecDropSingleTupleTableSlot(staging->slot[i]);
		index_close(staging->index[i], mode);
		table_close(staging->table[i], mode);
	}
}

bool
outbox_staging_open(OutboxStaging *staging, Snapshot snapshot, int ntables)
{
	memset(staging, 0, sizeof(OutboxStaging));
	staging->snapshot = snapshot;
	staging->ntables = ntables;
	for (int i = 0; i < ntables; i++)
	{
		if (!outbox_lock_relation(tables[i]))
		{
			outbox_staging_close(staging);
			return false;
		}
		open_table(staging, i, NoLock);
	}
	return true;
}

void
outbox_staging_close(OutboxStaging *staging)
{
	close_tables(staging, NoLock);
}

void
outbox_staging_open_waiting(OutboxStaging *staging, int ntables)
{
	memset(staging, 0, sizeof(OutboxStaging));
	staging->ntables = ntables;
	for (int i = 0; i < ntables; i++)
		open_table(staging, i, AccessShareLock);
}

void
outbox_staging_close_unlocking(OutboxStaging *staging)
{
	close_tables(staging, AccessShareLock);
}

bool
outbox_staging_is_empty(OutboxStaging *staging, int table)
{
	return RelationGetNumberOfBlocks(staging->table[table]) == 0;
}

/* the columns of the index as an entry has them; none is null */
typedef struct IndexedColumns
{
	uint64		xid;
	int32		queue;
	uint32		padding;
	uint64		seq;
} IndexedColumns;

static void
read_entry(IndexScanDesc scan, ItemPointer tid, OutboxStagedEntry *entry)
{
	const IndexTuple tuple = scan->xs_itup;
	IndexedColumns columns;

	memcpy(&columns, (char *) tuple + IndexInfoFindDataOffset(tuple->t_info),
		   sizeof(columns));
	entry->xid = columns.xid;
	entry->queue = columns.queue;
	entry->seq = columns.seq;
	entry->tid = *tid;
}

void
outbox_staging_scan(OutboxStaging *staging, int table, uint64 from,
					uint64 below, OutboxStagedVisit visit, void *arg)
{
	IndexScanDesc scan;
	ScanKeyData key[2];
	ItemPointer tid;
	OutboxStagedEntry entry = {.table = table};
	int			n = 0;

	ScanKeyInit(&key[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE,
				UInt64GetDatum(from));
	ScanKeyInit(&key[1], 1, BTLessStrategyNumber, F_XID8LT,
				UInt64GetDatum(below));
	scan = outbox_index_beginscan(staging->table[table], staging->index[table],
								  staging->snapshot, 2);
	scan->xs_want_itup = true;
	index_rescan(scan, key, 2, NULL, 0);
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		read_entry(scan, tid, &entry);
		if (!visit(arg, &entry))
			break;
		if (++n % 4096 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	index_endscan(scan);
}

/*
 * Keys for entries that are not before a key and, the second one, below an xid.  The
 * first one is a comparison of rows, unless the xid alone does.
 */
static void
walk_keys(ScanKey keys, ScanKey columns, const OutboxStagedKey *from,
		  uint64 below)
{
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE,
				UInt64GetDatum(from->xid));
	ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_XID8LT,
				UInt64GetDatum(below));
	if (from->queue <= 0 && from->seq == 0)
		return;
	ScanKeyEntryInitialize(&columns[0], SK_ROW_MEMBER, 1,
						   BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid,
						   F_XID8CMP, UInt64GetDatum(from->xid));
	ScanKeyEntryInitialize(&columns[1], SK_ROW_MEMBER, 2,
						   BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid,
						   F_BTINT4CMP, Int32GetDatum(from->queue));
	ScanKeyEntryInitialize(&columns[2], SK_ROW_MEMBER | SK_ROW_END, 3,
						   BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid,
						   F_BTINT8CMP, Int64GetDatum((int64) from->seq));
	memset(&keys[0], 0, sizeof(ScanKeyData));
	keys[0].sk_flags = SK_ROW_HEADER;
	keys[0].sk_attno = 1;
	keys[0].sk_strategy = BTGreaterEqualStrategyNumber;
	keys[0].sk_argument = PointerGetDatum(columns);
}

/*
 * Each key is compared with each entry of a page, so a walk of many transactions sees by
 * itself where it ends.  One of a single transaction would read a page to its end.
 */
bool
outbox_staging_walk(OutboxStaging *staging, int table, OutboxStagedKey *from,
					uint64 below, OutboxWalkVisit visit, void *arg)
{
	IndexScanDesc scan;
	ScanKeyData keys[2];
	ScanKeyData columns[3];
	ItemPointer tid;
	OutboxStagedEntry entry = {.table = table};
	OutboxWalk	how = OUTBOX_WALK_TO_KEY;
	int			nkeys = below <= from->xid + 1 ? 2 : 1;

	scan = outbox_index_beginscan(staging->table[table], staging->index[table],
								  staging->snapshot, nkeys);
	scan->xs_want_itup = true;
	while (how != OUTBOX_WALK_STOP)
	{
		if (how == OUTBOX_WALK_TO_KEY)
		{
			CHECK_FOR_INTERRUPTS();
			walk_keys(keys, columns, from, below);
			index_rescan(scan, keys, nkeys, NULL, 0);
		}
		tid = index_getnext_tid(scan, ForwardScanDirection);
		if (tid == NULL)
			break;
		read_entry(scan, tid, &entry);
		if (entry.xid >= below)
			break;
		how = visit(arg, &entry, from);
	}
	index_endscan(scan);
	if (how == OUTBOX_WALK_STOP)
		*from = (OutboxStagedKey) {entry.xid, entry.queue, entry.seq};
	return how != OUTBOX_WALK_STOP;
}

/* get the xid of the first entry of a scan; returns false if there is none */
static bool
one_xid(OutboxStaging *staging, int table, ScanKey keys, int nkeys,
		ScanDirection direction, uint64 *xid)
{
	Relation	index = staging->index[table];
	IndexScanDesc scan = outbox_index_beginscan(staging->table[table], index,
												staging->snapshot, nkeys);
	bool		found;
	bool		isnull;

	scan->xs_want_itup = true;
	index_rescan(scan, keys, nkeys, NULL, 0);
	found = index_getnext_tid(scan, direction) != NULL;
	if (found)
		*xid = DatumGetUInt64(index_getattr(scan->xs_itup, 1,
											RelationGetDescr(index), &isnull));
	index_endscan(scan);
	return found;
}

bool
outbox_staging_first_xid(OutboxStaging *staging, int table, uint64 from,
						 uint64 *xid)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_XID8GE,
				UInt64GetDatum(from));
	return one_xid(staging, table, &key, 1, ForwardScanDirection, xid);
}

bool
outbox_staging_last_xid(OutboxStaging *staging, int table, uint64 *xid)
{
	return one_xid(staging, table, NULL, 0, BackwardScanDirection, xid);
}

bool
outbox_staging_has(OutboxStaging *staging, int table,
				   const OutboxStagedEntry *entry)
{
	ScanKeyData keys[3];
	uint64		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_XID8EQ,
				UInt64GetDatum(entry->xid));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(entry->queue));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum((int64) entry->seq));
	return one_xid(staging, table, keys, lengthof(keys), ForwardScanDirection,
				   &found);
}

/*
 * Fetch the row at a place into the slot, as an index scan does: the page stays
 * pinned, and often the next row is on the same page.
 */
static bool
fetch_row(OutboxStaging *staging, int table, ItemPointerData tid)
{
	bool		again = false;

	return table_index_fetch_tuple(staging->fetch[table], &tid,
								   staging->snapshot, staging->slot[table],
								   &again, NULL);
}

/*
 * True if the row of an entry is visible, and one of its columns.
 */
static bool
visible_column(OutboxStaging *staging, const OutboxStagedEntry *entry,
			   int column, Datum *value)
{
	TupleTableSlot *slot = staging->slot[entry->table];
	bool		isnull;

	if (!fetch_row(staging, entry->table, entry->tid))
		return false;
	*value = slot_getattr(slot, column, &isnull);
	return DatumGetInt64(slot_getattr(slot, Anum_staging_seq, &isnull)) ==
		(int64) entry->seq;
}

bool
outbox_staging_visible(OutboxStaging *staging, const OutboxStagedEntry *entry,
					   TimestampTz *enqueued_at)
{
	Datum		value;

	if (!visible_column(staging, entry, Anum_staging_enqueued_at, &value))
		return false;
	*enqueued_at = DatumGetTimestampTz(value);
	return true;
}

bool
outbox_staging_lsn(OutboxStaging *staging, const OutboxStagedEntry *entry,
				   XLogRecPtr *lsn)
{
	Datum		value;

	if (!visible_column(staging, entry, Anum_staging_lsn, &value))
		return false;
	*lsn = DatumGetLSN(value);
	return true;
}

/*
 * Returns the reason's first letter; 0 for a row of staging.
 */
static char
get_reason(TupleTableSlot *slot, int table)
{
	struct varlena *reason;
	bool		isnull;

	if (table < OUTBOX_STAGING_TABLES)
		return 0;
	if (table == OUTBOX_TABLE_DEAD_LETTER)
		return OUTBOX_DEAD;
	reason = PG_DETOAST_DATUM_PACKED(slot_getattr(slot, Anum_deferred_reason, &isnull));
	return *VARDATA_ANY(reason);
}

bool
outbox_staging_fetch(OutboxStaging *staging, int table, ItemPointer tid,
					 uint64 seq, OutboxMessage *msg)
{
	TupleTableSlot *slot = staging->slot[table];

	if (!fetch_row(staging, table, *tid) || !outbox_read_message(slot, seq, msg))
		return false;
	msg->reason = get_reason(slot, table);
	return true;
}
