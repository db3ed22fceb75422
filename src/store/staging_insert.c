/*-------------------------------------------------------------------------
 *
 * staging_insert.c
 *	  Insert messages into staging.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message is inserted as a catalog row is: heap tuple and index entries, no
 * parser, planner or executor.  Several at a time go into a page together, as
 * COPY's rows do, unless WAL is written for logical decoding: heap_multi_insert()
 * knows no HEAP_INSERT_NO_LOGICAL.  No record for logical decoding is written: what
 * waits here is this server's business, whatever is published.  Privileges on
 * the tables are not checked: INSERT on the queue's view is the privilege to
 * stage.  For rows that are inserted by INSERT or COPY, as a restore does, there
 * is a trigger, see outbox_hold_restored().
 *
 * Which table takes new rows is in shared memory only, as it is no more than
 * advice.  A row is delivered whichever table it is in, and a table is
 * truncated only when it is locked and all its rows are covered.
 *
 *-------------------------------------------------------------------------
 */
#include "store/staging.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "kept_lock.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "shape.h"
#include "shmem.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* the tables by their numbers */
static const OutboxRelation tables[OUTBOX_STAGING_TABLES] = {
	OUTBOX_REL_STAGING_1,
	OUTBOX_REL_STAGING_2
};

const Oid	outbox_staging_types[Natts_staging] = {
	XID8OID, INT8OID, TIMESTAMPTZOID, UUIDOID, LSNOID, INT4OID, INT2OID,
	CHAROID, TEXTOID, TEXTOID, JSONBOID, BYTEAOID, JSONBOID, JSONBOID
};

static void
set_varlena(Datum *values, bool *nulls, int column, struct varlena *value)
{
	values[column - 1] = PointerGetDatum(value);
	nulls[column - 1] = value == NULL;
}

void
outbox_staging_values(const OutboxMessage *msg, Datum *values, bool *nulls)
{
	memset(nulls, 0, Natts_staging * sizeof(bool));
	values[Anum_staging_xid - 1] = UInt64GetDatum(msg->xid);
	values[Anum_staging_seq - 1] = Int64GetDatum((int64) msg->seq);
	values[Anum_staging_enqueued_at - 1] = TimestampTzGetDatum(msg->enqueued_at);
	values[Anum_staging_id - 1] = UUIDPGetDatum(&msg->id);
	values[Anum_staging_lsn - 1] = LSNGetDatum(msg->lsn);
	values[Anum_staging_queue - 1] = Int32GetDatum(msg->queue);
	values[Anum_staging_attempts - 1] = Int16GetDatum(msg->attempts);
	values[Anum_staging_kind - 1] = CharGetDatum(msg->kind);
	set_varlena(values, nulls, Anum_staging_type, msg->type);
	set_varlena(values, nulls, Anum_staging_key, msg->key);
	set_varlena(values, nulls, Anum_staging_headers, msg->headers);
	set_varlena(values, nulls, Anum_staging_payload, msg->payload);
	set_varlena(values, nulls, Anum_staging_history, msg->history);
	set_varlena(values, nulls, Anum_staging_options, msg->options);
}

static void
insert_tuple(Relation rel, HeapTuple tup)
{
	heap_insert(rel, tup, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL,
				NULL);
}

/*
 * Insert tuples into a table, get their places, and free them.
 */
static void
insert_singly(Relation rel, HeapTuple *tuples, ItemPointerData *tids, int n)
{
	for (int i = 0; i < n; i++)
	{
		insert_tuple(rel, tuples[i]);
		tids[i] = tuples[i]->t_self;
		heap_freetuple(tuples[i]);
	}
}

static void
insert_together(Relation rel, HeapTuple *tuples, ItemPointerData *tids, int n)
{
	TupleTableSlot **slots = palloc(n * sizeof(TupleTableSlot *));

	/* each slot would count its use of the relation's own */
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(rel));

	for (int i = 0; i < n; i++)
	{
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
		ExecStoreHeapTuple(tuples[i], slots[i], true);
	}
	heap_multi_insert(rel, slots, n, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < n; i++)
	{
		tids[i] = slots[i]->tts_tid;
		ExecDropSingleTupleTableSlot(slots[i]);
	}
	FreeTupleDesc(desc);
	pfree(slots);
}

static void
insert_tuples(Relation rel, HeapTuple *tuples, ItemPointerData *tids, int n)
{
	if (n == 1 || RelationIsLogicallyLogged(rel))
		insert_singly(rel, tuples, tids, n);
	else
		insert_together(rel, tuples, tids, n);
}

/*
 * Insert rows into a table that has indexes of somebody else's, of any kind.
 */
static void
insert_with_indexes(Relation rel, HeapTuple *tuples, int n)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsHeapTuple);

	InitResultRelInfo(target, rel, 0, NULL, 0);
	ExecOpenIndices(target, false);
	for (int i = 0; i < n; i++)
	{
		insert_tuple(rel, tuples[i]);
		ExecStoreHeapTuple(tuples[i], slot, true);
		(void) outbox_insert_index_tuples(target, slot, estate);
	}
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

/*
 * The lock is kept to the transaction's end.
 */
static void
lock_to_insert(OutboxKeptLock * locked, Oid relid)
{
	if (outbox_is_kept(locked, relid))
		return;
	LockRelationOid(relid, RowExclusiveLock);
	*locked = outbox_kept_lock(relid);
}

/*
 * What the executor would read from the catalog for each row is known here.
 */
static IndexInfo *
index_info(void)
{
	static IndexInfo *info = NULL;

	if (info == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		info = makeNode(IndexInfo);
		info->ii_NumIndexAttrs = 3;
		info->ii_NumIndexKeyAttrs = 3;
		info->ii_ReadyForInserts = true;
		info->ii_Context = TopMemoryContext;
		MemoryContextSwitchTo(old);
	}
	return info;
}

static void
insert_entries(Relation rel, Oid indexid, const OutboxMessage *msgs,
			   ItemPointerData *tids, int n)
{
	static OutboxKeptLock locked;
	Relation	index;
	Datum		values[3];
	bool		nulls[3] = {0};

	lock_to_insert(&locked, indexid);
	index = index_open(indexid, NoLock);
	for (int i = 0; i < n; i++)
	{
		values[0] = UInt64GetDatum(msgs[i].xid);
		values[1] = Int32GetDatum(msgs[i].queue);
		values[2] = Int64GetDatum((int64) msgs[i].seq);
		index_insert(index, values, nulls, &tids[i], rel, UNIQUE_CHECK_NO,
					 false, index_info());
	}
	index_close(index, NoLock);
}

/*
 * Returns the table's index, or InvalidOid if it has another one, too.
 */
static Oid
only_index(Relation rel)
{
	if (!rel->rd_indexvalid)
		list_free(RelationGetIndexList(rel));	/* it is kept */
	return list_length(rel->rd_indexlist) == 1 ? linitial_oid(rel->rd_indexlist) :
		InvalidOid;
}

/*
 * Insert rows and their index entries, and free the tuples.
 */
static void
insert_rows(Relation rel, HeapTuple *tuples, const OutboxMessage *msgs, int n)
{
	Oid			index = only_index(rel);
	ItemPointerData tids[OUTBOX_STAGING_CHUNK];

	if (!OidIsValid(index))
		insert_with_indexes(rel, tuples, n);
	else
	{
		insert_tuples(rel, tuples, tids, n);
		insert_entries(rel, index, msgs, tids, n);
	}
}

/*
 * WAL was flushed up to here when the transaction wrote its first row.  That is
 * behind the start of this server's run, and before all that it writes.
 */
static XLogRecPtr
lsn_of_transaction(uint64 xid)
{
	static uint64 last_xid = 0;
	static XLogRecPtr last_lsn;

	if (xid != last_xid)
		last_lsn = GetFlushRecPtr(NULL);
	last_xid = xid;
	return last_lsn;
}

static void
check_seq(void)
{
	Relation	rel = relation_open(outbox_relid(OUTBOX_REL_SEQ),
									AccessShareLock);

	outbox_need_shape(rel, OUTBOX_REL_SEQ);
	relation_close(rel, AccessShareLock);
}

void
outbox_staging_identify(OutboxMessage *msg, TimestampTz now)
{
	if (!outbox_shape_is_checked(OUTBOX_REL_SEQ))
		check_seq();
	msg->xid = U64FromFullTransactionId(GetTopFullTransactionId());
	msg->seq = nextval_internal(outbox_relid(OUTBOX_REL_SEQ), false);
	msg->lsn = lsn_of_transaction(msg->xid);
	msg->enqueued_at = now;
}

void
outbox_staging_insert(OutboxMessage *msgs, int n)
{
	for (int i = 0; i < n; i++)
		outbox_staging_identify(&msgs[i], GetCurrentTimestamp());
	outbox_staging_add(msgs, n);
}

void
outbox_staging_add(const OutboxMessage *msgs, int n)
{
	static OutboxKeptLock locked;
	OutboxRelation which = tables[outbox_staging_current()];
	Relation	rel;
	HeapTuple	tuples[OUTBOX_STAGING_CHUNK];

	Assert(n <= OUTBOX_STAGING_CHUNK);
	if (n == 0)
		return;
	lock_to_insert(&locked, outbox_relid(which));
	rel = table_open(outbox_relid(which), NoLock);
	outbox_need_shape(rel, which);
	for (int i = 0; i < n; i++)
		tuples[i] = outbox_message_tuple(&msgs[i]);
	insert_rows(rel, tuples, msgs, n);
	table_close(rel, NoLock);
}

int
outbox_staging_current(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	return slot != NULL ? (int) pg_atomic_read_u32(&slot->staging_current) : 0;
}

void
outbox_staging_set_current(int table)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot != NULL)
		pg_atomic_write_u32(&slot->staging_current, table);
}
