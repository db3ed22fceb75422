/*-------------------------------------------------------------------------
 *
 * capture_newest.c
 *	  What has become of a row since the statement that is told.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * An AFTER trigger gets a row as its statement has left it.  Whether a nested
 * statement has changed that row again is said by the row's own header: its xmax
 * is this transaction's (or a subtransaction's that has not been undone).  Then
 * the versions are followed to the newest one.  No other transaction can have
 * added one, as the row is ours until we end, and none of them is removed before.
 *
 * That is a matter of PostgreSQL's own heap.  Of tables of other kinds (foreign
 * ones, other access methods) what the trigger got is told.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_newest.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * Has this transaction changed or deleted the version again?
 */
static bool
is_superseded(const HeapTupleData *tup)
{
	HeapTupleHeader header = tup->t_data;

	return (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HeapTupleHeaderIsOnlyLocked(header) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

static HeapTuple
version_in(TupleTableSlot *slot)
{
	return ((BufferHeapTupleTableSlot *) slot)->base.tuple;
}

TupleTableSlot *
outbox_newest_version(Relation rel, TupleTableSlot *slot)
{
	TupleTableSlot *newest = slot;

	if (rel->rd_tableam != GetHeapamTableAmRoutine() ||
		!TTS_IS_BUFFERTUPLE(slot) || version_in(slot) == NULL)
		return slot;
	while (is_superseded(version_in(newest)))
	{
		HeapTupleHeader header = version_in(newest)->t_data;
		ItemPointerData next = header->t_ctid;
		bool		deleted = HeapTupleHeaderIndicatesMovedPartitions(header) ||
		ItemPointerEquals(&next, &version_in(newest)->t_self);

		if (newest == slot && !deleted)
			newest = table_slot_create(rel, NULL);
		if (deleted ||
			!table_tuple_fetch_row_version(rel, &next, SnapshotAny, newest))
		{
			outbox_drop_newest(newest, slot);
			return NULL;
		}
	}
	return newest;
}

void
outbox_drop_newest(TupleTableSlot *newest, TupleTableSlot *slot)
{
	if (newest != slot)
		ExecDropSingleTupleTableSlot(newest);
}
