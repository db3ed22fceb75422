/*-------------------------------------------------------------------------
 *
 * databases.c
 *	  The launcher's list of databases.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A database keeps its slot after its relay has ended, so that the views go on
 * showing what they showed.  There are as many slots as there can be workers;
 * a slot that is needed is taken from a database that has no relay.
 *
 *-------------------------------------------------------------------------
 */
#include "databases.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "slots.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

List	   *outbox_databases = NIL;

Database *
outbox_find_database(Oid oid)
{
	ListCell   *lc;

	foreach(lc, outbox_databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->oid == oid)
			return db;
	}
	return NULL;
}

Database *
outbox_add_database(Oid oid, DatabaseState state)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Database   *db = palloc0(sizeof(Database));

	db->oid = oid;
	db->state = state;
	db->exists = true;
	db->next_try = outbox_now();
	outbox_databases = lappend(outbox_databases, db);
	MemoryContextSwitchTo(old);
	return db;
}

void
outbox_give_slot_back(Database *db)
{
	if (db->slot != NULL)
		(void) outbox_free_slot(db->slot, false);
	db->slot = NULL;
}

void
outbox_set_due(Database *db, OutboxTime when)
{
	db->state = DB_DUE;
	db->next_try = when;
}

void
outbox_scan_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;
	ListCell   *lc;

	foreach(lc, outbox_databases)
		((Database *) lfirst(lc))->exists = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tup);
		Database   *db;

		if (!outbox_may_have_relay(form))
			continue;
		db = outbox_find_database(form->oid);
		if (db == NULL)
			db = outbox_add_database(form->oid, DB_DUE);
		db->exists = true;
		db->name = form->datname;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	PopActiveSnapshot();
	CommitTransactionCommand();

	foreach(lc, outbox_databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->exists)
			continue;
		if (db->state == DB_STARTED || db->state == DB_RUNNING)
		{
			/* one that has not appeared yet is ended when it does */
			outbox_end_relay(db->oid);
			continue;
		}
		outbox_give_slot_back(db);
		outbox_databases = foreach_delete_current(outbox_databases, lc);
		pfree(db);
	}
}

/*
 * Databases that are due may still have the slots of relays that have ended.
 */
OutboxSlot *
outbox_slot_for(const Database *db)
{
	OutboxSlot *slot = outbox_take_slot(db->oid);
	ListCell   *lc;

	foreach(lc, outbox_databases)
	{
		Database   *other = (Database *) lfirst(lc);

		if (slot != NULL)
			break;
		if (other->state != DB_DUE || other->slot == NULL)
			continue;
		outbox_give_slot_back(other);
		slot = outbox_take_slot(db->oid);
	}
	return slot;
}

static bool
is_kept_away(const Database *db)
{
	int			pid;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	pid = outbox_kept_away_by(db->oid);
	LWLockRelease(outbox_shared->lock);
	return pid != 0;
}

static int
by_next_try(const ListCell *a, const ListCell *b)
{
	const Database *da = (const Database *) lfirst(a);
	const Database *db = (const Database *) lfirst(b);

	return da->next_try < db->next_try ? -1 : da->next_try > db->next_try;
}

List *
outbox_due_databases(OutboxTime now, long *wait)
{
	List	   *due = NIL;
	ListCell   *lc;

	foreach(lc, outbox_databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->state != DB_DUE || is_kept_away(db))
			continue;
		if (db->next_try > now)
			*wait = Min(*wait, outbox_ms_until(now, db->next_try));
		else
			due = lappend(due, db);
	}
	list_sort(due, by_next_try);
	return due;
}
