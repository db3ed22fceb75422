/*-------------------------------------------------------------------------
 *
 * skipped_rows.c
 *	  Messages in a skip list, found in outbox.deferred by their numbers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Each message is looked up in the index of numbers, by no query.  Of a table that
 * was not analyzed since it grew the planner expects next to nothing: to find a few
 * hundred messages it would have all of a queue's read, and takes an index that was
 * empty at the last VACUUM for empty.
 *
 * A row that is changed is locked first, in its newest version, whoever has changed
 * it meanwhile.  So it is still at that place when the UPDATE comes.
 *
 *-------------------------------------------------------------------------
 */
#include "store/skipped_rows.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "compat.h"
#include "store/deferred.h"
#include "store/message_row.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef struct Lookup
{
	Relation	table;
	Relation	index;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	IndexScanDesc scan;
}			Lookup;

static void
begin_lookup(Lookup * lookup)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	lookup->snapshot = GetActiveSnapshot();
	lookup->table = table_open(outbox_relid(OUTBOX_REL_DEFERRED), RowExclusiveLock);
	lookup->index = index_open(outbox_relid(OUTBOX_REL_DEFERRED_NUMBERS),
							   RowExclusiveLock);
	lookup->slot = table_slot_create(lookup->table, NULL);
	lookup->scan = outbox_index_beginscan(lookup->table, lookup->index,
										  lookup->snapshot, 2);
}

static void
end_lookup(Lookup * lookup)
{
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_close(lookup->index, NoLock);
	table_close(lookup->table, NoLock);
	PopActiveSnapshot();
}

/*
 * Find the row of a number, which may have any reason that has one.
 */
static bool
look_up(Lookup * lookup, int32 queue, uint64 seq)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(queue));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) seq));
	index_rescan(lookup->scan, keys, lengthof(keys), NULL, 0);
	return index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
}

static bool
is_skipped(TupleTableSlot *slot)
{
	bool		isnull;
	text	   *reason = DatumGetTextPP(slot_getattr(slot, Anum_deferred_reason, &isnull));
	char		first = *VARDATA_ANY(reason);

	return first == OUTBOX_RETRIED || first == OUTBOX_BEHIND;
}

/*
 * Lock the row and fetch its newest version.  False if somebody has deleted it.
 */
static bool
lock_row(Lookup * lookup)
{
	ItemPointerData place = lookup->slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(lookup->table, &place, lookup->snapshot,
										  lookup->slot, GetCurrentCommandId(false),
										  LockTupleExclusive, LockWaitBlock,
										  TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
										  &failure);

	if (result != TM_Ok && result != TM_Deleted)
		elog(ERROR, "could not lock a deferred message: %d", result);
	return result == TM_Ok;
}

int
outbox_read_skipped(int32 queue, const uint64 *seqs, int n, OutboxMessage *messages)
{
	Lookup		lookup;
	int			found = 0;

	begin_lookup(&lookup);
	for (int i = 0; i < n; i++)
		if (look_up(&lookup, queue, seqs[i]) && is_skipped(lookup.slot))
			outbox_row_message(ExecCopySlotHeapTuple(lookup.slot),
							   RelationGetDescr(lookup.table), &messages[found++]);
	end_lookup(&lookup);
	return found;
}

/*
 * Set reason and due_at of rows that are locked.
 */
static void
set_reason(Datum *places, int n, char reason, TimestampTz due_at)
{
	static SPIPlanPtr plan = NULL;
	OutboxParam params[] = {
		{"places", TIDARRAYOID, outbox_tid_array(places, n)},
		{"reason", TEXTOID, CStringGetTextDatum(outbox_reason_text(reason))},
		{"due", TIMESTAMPTZOID, TimestampTzGetDatum(due_at), due_at == 0}
	};

	if (outbox_query_planned(&plan, "UPDATE outbox.deferred SET reason = $reason, due_at = $due"
							 " WHERE ctid = ANY ($places)", params, lengthof(params)) != n)
		elog(ERROR, "%d deferred messages were locked, and " UINT64_FORMAT " found again",
			 n, SPI_processed);
}

static void
visit_key(TupleTableSlot *slot, OutboxKeyVisit visit, void *arg)
{
	bool		isnull;
	Datum		key = slot_getattr(slot, Anum_staging_key, &isnull);

	visit(arg, isnull ? NULL : PG_DETOAST_DATUM_PACKED(key));
}

int
outbox_change_skipped(int32 queue, const uint64 *seqs, int n, char reason,
					  TimestampTz due_at, OutboxKeyVisit visit, void *arg)
{
	ItemPointerData *places = palloc(n * sizeof(ItemPointerData));
	Datum	   *tids = palloc(n * sizeof(Datum));
	Lookup		lookup;
	int			found = 0;

	begin_lookup(&lookup);
	for (int i = 0; i < n; i++)
	{
		if (!look_up(&lookup, queue, seqs[i]) || !lock_row(&lookup) ||
			!is_skipped(lookup.slot))
			continue;
		if (visit != NULL)
			visit_key(lookup.slot, visit, arg);
		places[found] = lookup.slot->tts_tid;
		tids[found] = PointerGetDatum(&places[found]);
		found++;
	}
	end_lookup(&lookup);
	set_reason(tids, found, reason, due_at);
	return found;
}
