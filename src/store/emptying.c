/*-------------------------------------------------------------------------
 *
 * emptying.c
 *	  Empty a staging table.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A table is emptied as TRUNCATE does it: the table, its toast table and their
 * indexes get new files, and the old ones are removed when the transaction
 * commits.  TRUNCATE itself would write a logical record, and a subscriber of a
 * publication FOR ALL TABLES would truncate its own staging table.
 *
 * All locks that this needs are taken before anything is changed, and none is
 * waited for.  The toast table and the indexes are locked as well, since they
 * can be read without a lock on the table.
 *
 *-------------------------------------------------------------------------
 */
#include "store/emptying.h"

#include "access/table.h"
#include "catalog/index.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/rel.h"

BlockNumber
outbox_table_blocks(Relation rel)
{
	BlockNumber result = RelationGetNumberOfBlocks(rel);
	Oid			toast_id = rel->rd_rel->reltoastrelid;
	Relation	toast;

	if (!OidIsValid(toast_id))
		return result;
	if (!ConditionalLockRelationOid(toast_id, AccessShareLock))
		return InvalidBlockNumber;
	toast = table_open(toast_id, NoLock);
	result += RelationGetNumberOfBlocks(toast);
	table_close(toast, AccessShareLock);
	return result;
}

static bool
lock_indexes(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		ok = true;
	ListCell   *lc;

	foreach(lc, indexes)
		ok = ok && ConditionalLockRelationOid(lfirst_oid(lc),
											  AccessExclusiveLock);
	list_free(indexes);
	return ok;
}

bool
outbox_lock_to_empty(Relation rel)
{
	Oid			toast_id = rel->rd_rel->reltoastrelid;
	Relation	toast;
	bool		ok;

	if (!ConditionalLockRelation(rel, AccessExclusiveLock) ||
		!lock_indexes(rel))
		return false;
	if (!OidIsValid(toast_id))
		return true;
	if (!ConditionalLockRelationOid(toast_id, AccessExclusiveLock))
		return false;
	toast = table_open(toast_id, NoLock);
	ok = lock_indexes(toast);
	table_close(toast, NoLock);
	return ok;
}

static void
give_new_file(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	Oid			toast_id = rel->rd_rel->reltoastrelid;

	CheckTableForSerializableConflictIn(rel);
	outbox_new_relation_file(rel);
	pgstat_count_truncate(rel);
	table_close(rel, NoLock);
	if (OidIsValid(toast_id))
	{
		Relation	toast = table_open(toast_id, NoLock);

		outbox_new_relation_file(toast);
		table_close(toast, NoLock);
	}
}

void
outbox_empty_table(Oid relid)
{
	ReindexParams params = {0};

	give_new_file(relid);
	outbox_reindex(relid, REINDEX_REL_PROCESS_TOAST, &params);
}
