/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The row trigger that enqueues what changes in a table.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox_capture() makes AFTER ROW triggers of this function.  It stages a
 * message for each row as outbox_enqueue() does, but checks no rights: whoever
 * made the trigger was allowed to enqueue, and the writer of the table need not
 * know of outbox.
 *
 * What does not depend on the row (columns, how they are written, the beginning
 * of the payload) is computed once for each statement and table.  It is kept in
 * the function call's info, which the executor keeps for the statement.  So a
 * row costs its JSON and its row in staging, but no plan, query or catalog
 * lookup.
 *
 * On a partition the trigger is a clone of a partitioned table's trigger, and
 * the message has the partitioned table's name.
 *
 * A statement's rows may be told after a change that one of them has caused: the
 * statement changes rows 1 and 2, and a trigger for row 1 changes row 2 again,
 * which is told at the end of the trigger's statement.  What is told last must be
 * what the row is.  So of a row that has been changed again in this transaction
 * the newest version is told, see capture_newest.c.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_message.h"

#include "access/genam.h"
#include "access/table.h"
#include "api/capture_newest.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(outbox_capture_row);

/*
 * Returns the table that a trigger was made on.  For a clone that is the table
 * of its topmost parent.
 */
static Oid
captured_relation(const Trigger *trigger, Oid relid)
{
	Relation	rel;
	Oid			oid = trigger->tgoid;

	if (!trigger->tgisclone)
		return relid;
	rel = table_open(TriggerRelationId, AccessShareLock);
	while (OidIsValid(oid))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tup;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(oid));
		scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
		tup = systable_getnext(scan);
		if (!HeapTupleIsValid(tup))
			elog(ERROR, "could not find trigger %u", oid);
		relid = ((Form_pg_trigger) GETSTRUCT(tup))->tgrelid;
		oid = ((Form_pg_trigger) GETSTRUCT(tup))->tgparentid;
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return relid;
}

/*
 * The state belongs to the function call's info, which serves one trigger of
 * one table during one statement.
 */
static OutboxCaptureState *
get_state(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	FmgrInfo   *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flinfo->fn_mcxt);
		Oid			named = captured_relation(data->tg_trigger,
											  RelationGetRelid(data->tg_relation));

		flinfo->fn_extra = outbox_capture_state(data->tg_relation, named,
												data->tg_trigger);
		MemoryContextSwitchTo(old);
	}
	return flinfo->fn_extra;
}

static void
say_where(void *arg)
{
	TriggerData *data = arg;

	errcontext("capture of table \"%s\" by trigger \"%s\"",
			   RelationGetRelationName(data->tg_relation),
			   data->tg_trigger->tgname);
}

static void
check_called(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox_capture_row() must be an AFTER ROW trigger"),
				 errhint("Use outbox_capture() to create it.")));
}

/*
 * Tell an insert or an update; what is told is the newest version.
 */
static void
enqueue_version(OutboxCaptureState *state, TriggerData *data, OutboxOperation operation,
				TupleTableSlot *old, TupleTableSlot *slot)
{
	TupleTableSlot *new = outbox_newest_version(data->tg_relation, slot);

	/* whoever has deleted the row since has told it */
	if (new == NULL)
		return;
	slot_getallattrs(new);
	if (old == NULL || outbox_find_changes(state, old, new))
		outbox_enqueue_change(state, operation, old, new);
	outbox_drop_newest(new, slot);
}

/*
 * Trigger on a captured table.
 */
Datum
outbox_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = say_where,
		.arg = data
	};
	OutboxCaptureState *state;

	check_called(fcinfo);
	error_context_stack = &context;
	state = get_state(fcinfo);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		enqueue_version(state, data, OUTBOX_INSERTED, NULL, data->tg_trigslot);
	else
	{
		slot_getallattrs(data->tg_trigslot);
		if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
			outbox_enqueue_change(state, OUTBOX_DELETED, data->tg_trigslot, NULL);
		else
			enqueue_version(state, data, OUTBOX_UPDATED, data->tg_trigslot,
							data->tg_newslot);
	}
	error_context_stack = context.previous;
	return PointerGetDatum(NULL);
}
