/*-------------------------------------------------------------------------
 *
 * replicated.c
 *	  The trigger that ignores what a logical subscription brings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A publication FOR ALL TABLES has our tables, too, and no extension can opt out
 * of it.  Where the subscriber has outbox as well, these rows are the
 * publisher's business: its queues have other ids, and its messages are
 * delivered there.  So a trigger on each of our tables suppresses what an apply
 * worker or a table's first copy does to it.
 *
 * Our own statements run in an apply worker, too, if a captured table is
 * written there and its trigger is enabled for that.  They run within that
 * table's trigger, so the depth of triggers tells them apart.
 *
 * Nothing can suppress a TRUNCATE.  None of ours writes a logical record, so one
 * that arrives was made by hand.  An error stops the subscription, which loses
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "replication/logicalworker.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(outbox_ignore_replicated);

static bool
is_replicated(void)
{
	return IsLogicalWorker() &&
		DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) == 1;
}

/*
 * outbox.ignore_replicated(): BEFORE trigger of all our tables
 */
Datum
outbox_ignore_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.ignore_replicated() must be called as a BEFORE trigger")));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		if (is_replicated())
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the publisher has truncated outbox.%s, which must not happen here",
							RelationGetRelationName(trigger->tg_relation)),
					 errhint("Skip the publisher's transaction with ALTER SUBSCRIPTION ... SKIP.")));
		return PointerGetDatum(NULL);
	}
	if (is_replicated())
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}
