/*-------------------------------------------------------------------------
 *
 * mend.c
 *	  Enable our triggers again as they were.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Our triggers are enabled for all sessions, also for those that apply the
 * changes of another server.  pg_dump --disable-triggers disables a table's
 * triggers before it is filled and enables them afterwards, for sessions of the
 * usual kind only.  Nothing that a dump has depends on them.  But what a
 * subscription brings would not be ignored any more, so they are set right.  A
 * trigger that is disabled is left alone: it may be in the middle of a restore.
 *
 * This is not done by ALTER TABLE, as event triggers would run in the relay.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/mend.h"

#include "access/table.h"
#include "catalog.h"
#include "commands/trigger.h"
#include "relay/base/step.h"
#include "storage/lmgr.h"
#include "store/query.h"

static uint64 seen_epoch = 0;

/*
 * Enable a trigger for all sessions.  False if somebody has locked its table.
 */
static bool
mend(Oid relid, const char *trigger)
{
	Relation	rel;

	if (!ConditionalLockRelationOid(relid, ShareRowExclusiveLock))
		return false;
	rel = table_open(relid, NoLock);
	outbox_enable_trigger(rel, trigger, TRIGGER_FIRES_ALWAYS,
						  ShareRowExclusiveLock);
	ereport(LOG,
			(errmsg("outbox has enabled trigger \"%s\" of outbox.%s for all sessions again",
					trigger, RelationGetRelationName(rel)),
			 errdetail("A restore with --disable-triggers leaves it enabled for some.")));
	table_close(rel, NoLock);
	return true;
}

static bool
mend_all(void)
{
	bool		all = true;
	uint64		n;

	SPI_connect();
	n = outbox_query("SELECT t.tgrelid::int8, t.tgname::text FROM pg_trigger AS t"
					 " JOIN pg_class AS c ON c.oid = t.tgrelid"
					 " JOIN pg_proc AS p ON p.oid = t.tgfoid"
					 " JOIN pg_namespace AS s ON s.oid = c.relnamespace"
					 " WHERE s.nspname = 'outbox' AND p.pronamespace = s.oid"
					 " AND t.tgenabled = 'O'", NULL, 0);
	for (uint64 i = 0; i < n; i++)
		all &= mend((Oid) outbox_result_int64(i, 1),
					SPI_getvalue(SPI_tuptable->vals[i],
								 SPI_tuptable->tupdesc, 2));
	SPI_finish();
	return all;
}

void
outbox_mend_triggers(void)
{
	uint64		epoch;

	if (seen_epoch == outbox_catalog_epoch())
		return;
	outbox_begin_step();
	epoch = outbox_catalog_epoch();
	if (mend_all())
		seen_epoch = epoch;
	outbox_end_step();
}
