/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  Locks on our relations that are not waited for.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay never waits for a lock: it would deadlock with a user's DDL that
 * waits for one of the relay's, and no queue would be delivered meanwhile.
 *
 * A statement locks more than its table: the indexes, the toast table of a row
 * that is long, and the index of that.  Somebody may have locked one of these
 * and not the table, by REINDEX in an open transaction for example, or by a
 * mere look into a toast table when ours is to be emptied.  So all of them are
 * locked before anything is done.
 *
 * Whoever drops or changes a relation sends an invalidation before releasing
 * the lock.  So if after a lock was granted the catalog is loaded, the relation is
 * still the one that was looked up.  But an ANALYZE sends one as well.  Then all is
 * looked up again, and the lock counts if relation and owner are what they were:
 * what can't be locked means that somebody's lock is in the way.
 *
 * What can't be locked is remembered, with the time since when.  It is
 * forgotten when the same lock is granted.
 *
 *-------------------------------------------------------------------------
 */
#include "lock.h"

#include "miscadmin.h"
#include "shape.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/rel.h"
#include "utils/relcache.h"

static OutboxObstacle relations[OUTBOX_NRELATIONS];
static OutboxObstacle a_queue;	/* the one that could not be locked last */

static void
note(OutboxObstacle *obstacle, LOCKMODE mode, const char *fault)
{
	if (obstacle->since == 0)
		obstacle->since = outbox_now();
	obstacle->mode = mode;
	strlcpy(obstacle->fault, fault, sizeof(obstacle->fault));
}

static bool
lock_indexes(Relation rel, LOCKMODE mode)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		ok = true;
	ListCell   *lc;

	foreach(lc, indexes)
		ok = ok && ConditionalLockRelationOid(lfirst_oid(lc), mode);
	list_free(indexes);
	return ok;
}

/*
 * The toast table has no toast table.
 */
static bool
lock_all_of(Oid relid, LOCKMODE mode)
{
	Relation	rel;
	Oid			toast;
	bool		ok;

	if (!ConditionalLockRelationOid(relid, mode))
		return false;
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return false;
	toast = rel->rd_rel->reltoastrelid;
	ok = lock_indexes(rel, mode);
	RelationClose(rel);
	return ok && (!OidIsValid(toast) || lock_all_of(toast, mode));
}

/*
 * Has the relation been changed by hand?
 */
static bool
has_its_shape(OutboxRelation which)
{
	Relation	rel;
	char	   *fault;

	if (outbox_shape_is_checked(which))
		return true;
	rel = RelationIdGetRelation(outbox_relid(which));
	if (rel == NULL)
		return false;
	fault = outbox_check_shape(rel, which);
	RelationClose(rel);
	if (fault != NULL)
		note(&relations[which], NoLock, fault);
	return fault == NULL;
}

static bool
lock(OutboxRelation which, LOCKMODE mode)
{
	OutboxObstacle *obstacle = &relations[which];

	if (!outbox_catalog_has_still(which))
		return false;
	if (!lock_all_of(outbox_relid(which), mode))
	{
		note(obstacle, mode, "");
		return false;
	}
	if (!outbox_catalog_has_still(which) || !has_its_shape(which))
		return false;
	if (mode >= obstacle->mode)
		obstacle->since = 0;
	return true;
}

bool
outbox_lock_relation(OutboxRelation which)
{
	return lock(which, AccessShareLock);
}

bool
outbox_lock_to_write(OutboxRelation which)
{
	return lock(which, RowExclusiveLock);
}

/*
 * To take the lock would make a drop fail that begins meanwhile.
 */
bool
outbox_queue_is_free(int32 id)
{
	LOCKTAG		tag;
	int			n;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, outbox_relid(OUTBOX_REL_QUEUE), id, 0);
	pfree(GetLockConflicts(&tag, AccessShareLock, &n));
	if (n == 0)
	{
		if (a_queue.queue == id)
			a_queue.since = 0;
		return true;
	}
	if (a_queue.queue != id)
		a_queue.since = 0;
	a_queue.queue = id;
	a_queue.relation = OUTBOX_REL_QUEUE;
	note(&a_queue, AccessShareLock, "");
	return false;
}

const OutboxObstacle *
outbox_oldest_obstacle(void)
{
	const OutboxObstacle *oldest = a_queue.since != 0 ? &a_queue : NULL;

	for (int i = 0; i < OUTBOX_NRELATIONS; i++)
	{
		if (relations[i].since == 0)
			continue;
		relations[i].relation = i;
		if (oldest == NULL || relations[i].since < oldest->since)
			oldest = &relations[i];
	}
	return oldest;
}
