/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  The extension's relations.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Looking up names for every message would cost more than inserting it, so
 * the OIDs are kept until a relation cache invalidation concerns one of them.
 * Such an invalidation begins a new epoch.  Whatever else is cached about the
 * relations (queue settings, the relay's list of queues) is kept together with
 * the epoch in which it was read.  A change of outbox.queue's rows sends an
 * invalidation, too, see outbox_queue_changed().
 *
 *-------------------------------------------------------------------------
 */
#include "catalog.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static const char *const relation_names[OUTBOX_NRELATIONS] = {
	[OUTBOX_REL_STAGING_1] = "staging_1",
	[OUTBOX_REL_STAGING_2] = "staging_2",
	[OUTBOX_REL_STAGING_1_INDEX] = "staging_1_xid_seq",
	[OUTBOX_REL_STAGING_2_INDEX] = "staging_2_xid_seq",
	[OUTBOX_REL_QUEUE] = "queue",
	[OUTBOX_REL_QUEUE_INDEX] = "queue_name_key",
	[OUTBOX_REL_DEFERRED] = "deferred",
	[OUTBOX_REL_DEFERRED_INDEX] = "deferred_xid_seq",
	[OUTBOX_REL_DEFERRED_NUMBERS] = "deferred_queue_seq",
	[OUTBOX_REL_DEAD_LETTER] = "dead_letter",
	[OUTBOX_REL_DEAD_LETTER_INDEX] = "dead_letter_xid_seq",
	[OUTBOX_REL_RESEND_REQUEST] = "resend_request",
	[OUTBOX_REL_QUEUE_TOTAL] = "queue_total",
	[OUTBOX_REL_RETURNED] = "returned",
	[OUTBOX_REL_RETURNED_N] = "returned_n",
	[OUTBOX_REL_CONSUMER_POSITION] = "consumer_position",
	[OUTBOX_REL_RELAY_STATE] = "relay_state",
	[OUTBOX_REL_DELIVERY] = "delivery",
	[OUTBOX_REL_RUN] = "run",
	[OUTBOX_REL_BACKFILL] = "backfill",
	[OUTBOX_REL_SEQ] = "seq",
	[OUTBOX_REL_DELIVERED] = "delivered",
	[OUTBOX_REL_APPLIED] = "applied"
};

static Oid	relids[OUTBOX_NRELATIONS];
static bool loaded = false;
static bool registered = false;
static uint64 epoch = 1;

/* the owner of all relations; if it is not one: two that differ */
static Oid	owner = InvalidOid;
static Oid	owned_otherwise = InvalidOid;

static void
relcache_callback(Datum arg, Oid relid)
{
	if (!loaded)
		return;
	for (int i = 0; i < OUTBOX_NRELATIONS; i++)
	{
		if (relid == InvalidOid || relid == relids[i])
		{
			loaded = false;
			epoch++;
			return;
		}
	}
}

/*
 * Find the owner.  A relation that is gone leaves it unknown until all are
 * looked up again.
 */
static void
load_owner(void)
{
	owned_otherwise = InvalidOid;
	for (int i = 0; i < OUTBOX_NRELATIONS; i++)
	{
		HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relids[i]));
		Oid			its;

		if (!HeapTupleIsValid(tup))
		{
			loaded = false;
			return;
		}
		its = ((Form_pg_class) GETSTRUCT(tup))->relowner;
		ReleaseSysCache(tup);
		if (i == 0)
			owner = its;
		else if (its != owner)
			owned_otherwise = relids[i];
	}
}

bool
outbox_catalog_load(void)
{
	Oid			schema;

	if (loaded)
		return true;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(get_extension_oid(OUTBOX_EXTENSION, true)))
		return false;
	schema = get_namespace_oid(OUTBOX_SCHEMA, true);
	if (!OidIsValid(schema))
		return false;

	/* set first, so that an invalidation during the lookups is not missed */
	loaded = true;
	for (int i = 0; i < OUTBOX_NRELATIONS; i++)
	{
		relids[i] = get_relname_relid(relation_names[i], schema);
		if (!OidIsValid(relids[i]))
			loaded = false;
	}
	if (loaded)
		load_owner();
	return loaded;
}

Oid
outbox_relid(OutboxRelation which)
{
	/* a second time, as an invalidation may arrive during the lookups */
	if (!outbox_catalog_load() && !outbox_catalog_load())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database",
						OUTBOX_EXTENSION),
				 errhint("Run CREATE EXTENSION %s.", OUTBOX_EXTENSION)));
	return relids[which];
}

Oid
outbox_owner(void)
{
	(void) outbox_relid(OUTBOX_REL_QUEUE);
	if (OidIsValid(owned_otherwise))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relations of schema \"%s\" have different owners",
						OUTBOX_SCHEMA),
				 errdetail("\"%s\" and \"%s\" have.",
						   relation_names[0], get_rel_name(owned_otherwise)),
				 errhint("Give them all to one role with ALTER TABLE ... OWNER TO.")));
	return owner;
}

void
outbox_catalog_forget(void)
{
	loaded = false;
	epoch++;
}

bool
outbox_catalog_has_still(OutboxRelation which)
{
	Oid			relid = relids[which];
	Oid			its_owner = owner;

	return loaded ||
		(outbox_catalog_load() && relids[which] == relid &&
		 owner == its_owner && !OidIsValid(owned_otherwise));
}

const char *
outbox_relation_text(OutboxRelation which)
{
	return relation_names[which];
}

uint64
outbox_catalog_epoch(void)
{
	return epoch;
}
