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
 * A value has changed if its bytes have.  A value that is stored out of line
 * and was not touched by an update has the same pointer, and is not fetched to
 * be compared.
 *
 * Values are written as to_json() writes them, and must not depend on who
 * changes the row: what a consumer gets would depend on the writer's settings, and
 * the key, thus the order, too.  So a row with a column whose form depends on
 * settings is written with settings of our own, which are in effect while it is
 * written and no longer: other triggers and functions run in between.  If writing
 * the row fails, the end of the subtransaction brings back the session's.
 *
 * A statement's rows may be told after a change that one of them has caused: the
 * statement changes rows 1 and 2, and a trigger for row 1 changes row 2 again,
 * which is told at the end of the trigger's statement.  What is told last must be
 * what the row is.  So of a row that has been changed again in this transaction
 * the newest version is told, see capture_newest.c.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_columns.h"

#include "access/genam.h"
#include "access/table.h"
#include "api/capture_newest.h"
#include "api/enqueue.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "convert.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

typedef enum Operation
{
	INSERTED,
	UPDATED,
	DELETED
} Operation;

#define OPERATIONS (DELETED + 1)

static const char *const operation_names[OPERATIONS] = {
	[INSERTED] = "insert",
	[UPDATED] = "update",
	[DELETED] = "delete"
};

/* what does not depend on the row */
typedef struct CaptureState
{
	char	   *queue;
	char	   *schema;
	char	   *table;
	Oid			owner;			/* of the table, who has the right to enqueue */
	OutboxCapture *capture;
	bool	   *changed;		/* by column, for the current row */
	bool		needs_settings; /* of our own, to write a row */
	char	   *head[OPERATIONS];	/* the payload's beginning */
	struct varlena *type[OPERATIONS];
} CaptureState;

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

static char *
payload_head(const CaptureState *state, const char *operation)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"operation\":\"%s\",\"schema\":", operation);
	escape_json(&buf, state->schema);
	appendStringInfoString(&buf, ",\"table\":");
	escape_json(&buf, state->table);
	return buf.data;
}

static bool
needs_settings(const OutboxCapture *capture)
{
	for (int i = 0; i < capture->ncolumns; i++)
		if (capture->columns[i].needs_settings)
			return true;
	return false;
}

static Oid
owner_of(Oid relid)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	result = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return result;
}

static CaptureState *
make_state(TriggerData *data)
{
	const Trigger *trigger = data->tg_trigger;
	CaptureState *state = palloc0(sizeof(CaptureState));
	Oid			relid = captured_relation(trigger,
										  RelationGetRelid(data->tg_relation));
	const char *args[OUTBOX_CAPTURE_ARGS] = {"", "", ""};

	if (trigger->tgnargs < 1 || trigger->tgnargs > OUTBOX_CAPTURE_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has the wrong number of arguments",
						trigger->tgname),
				 errhint("Use outbox_capture() to create it.")));
	for (int i = 0; i < trigger->tgnargs; i++)
		args[i] = trigger->tgargs[i];

	state->queue = pstrdup(args[OUTBOX_CAPTURE_QUEUE]);
	state->owner = owner_of(relid);
	state->schema = get_namespace_name(get_rel_namespace(relid));
	state->table = get_rel_name(relid);
	state->capture = outbox_capture_resolve(data->tg_relation,
											args[OUTBOX_CAPTURE_COLUMNS],
											args[OUTBOX_CAPTURE_KEY]);
	state->needs_settings = needs_settings(state->capture);
	state->changed = palloc(state->capture->ncolumns * sizeof(bool));
	for (int i = 0; i < OPERATIONS; i++)
	{
		state->head[i] = payload_head(state, operation_names[i]);
		state->type[i] = cstring_to_text(psprintf("%s.%s", state->table,
												  operation_names[i]));
	}
	return state;
}

/*
 * The state belongs to the function call's info, which serves one trigger of
 * one table during one statement.
 */
static CaptureState *
get_state(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flinfo->fn_mcxt);

		flinfo->fn_extra = make_state((TriggerData *) fcinfo->context);
		MemoryContextSwitchTo(old);
	}
	return flinfo->fn_extra;
}

static bool
same_value(const OutboxJsonColumn *col, TupleTableSlot *a, TupleTableSlot *b)
{
	int			n = col->attnum - 1;
	Datum		va = a->tts_values[n];
	Datum		vb = b->tts_values[n];

	if (a->tts_isnull[n] || b->tts_isnull[n])
		return a->tts_isnull[n] == b->tts_isnull[n];
	if (col->typlen == -1 &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(va)) &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(vb)) &&
		memcmp(DatumGetPointer(va), DatumGetPointer(vb),
			   VARSIZE_EXTERNAL(DatumGetPointer(va))) == 0)
		return true;
	return datum_image_eq(va, vb, col->typbyval, col->typlen);
}

/*
 * Note which columns an update has changed.  Returns false if none.
 */
static bool
find_changes(CaptureState *state, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		any = false;

	for (int i = 0; i < state->capture->ncolumns; i++)
	{
		state->changed[i] = !same_value(&state->capture->columns[i], old, new);
		any |= state->changed[i];
	}
	return any;
}

static void
append_member(StringInfo buf, OutboxJsonColumn *col, TupleTableSlot *slot)
{
	int			n = col->attnum - 1;

	appendStringInfoString(buf, col->label);
	outbox_json_value(buf, col, slot->tts_values[n], slot->tts_isnull[n]);
}

static void
append_key(StringInfo buf, const OutboxCapture *capture, TupleTableSlot *slot)
{
	if (capture->nkey == 0)
		return;
	appendStringInfoString(buf, ",\"key\":");
	for (int i = 0; i < capture->nkey; i++)
	{
		appendStringInfoChar(buf, i == 0 ? '{' : ',');
		append_member(buf, &capture->columns[capture->key[i]], slot);
	}
	appendStringInfoChar(buf, '}');
}

static void
append_row(StringInfo buf, const char *label, const OutboxCapture *capture,
		   TupleTableSlot *slot)
{
	char		before = '{';

	if (slot == NULL)
		return;
	appendStringInfoString(buf, label);
	for (int i = 0; i < capture->ncolumns; i++)
	{
		if (!capture->captured[i])
			continue;
		appendStringInfoChar(buf, before);
		append_member(buf, &capture->columns[i], slot);
		before = ',';
	}
	appendStringInfoChar(buf, '}');
}

static void
append_changed(StringInfo buf, const CaptureState *state)
{
	char		before = '[';

	appendStringInfoString(buf, ",\"changed\":");
	for (int i = 0; i < state->capture->ncolumns; i++)
	{
		if (!state->changed[i])
			continue;
		appendStringInfoChar(buf, before);
		escape_json(buf, state->capture->columns[i].name);
		before = ',';
	}
	appendStringInfoChar(buf, ']');
}

/*
 * Returns the payload.  Type and key consist of names and values that the
 * payload has, too, so this conversion to UTF-8 is the check for all three.
 */
static struct varlena *
make_payload(const CaptureState *state, Operation operation,
			 TupleTableSlot *old, TupleTableSlot *new)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	appendStringInfoString(&buf, state->head[operation]);
	append_key(&buf, state->capture, new != NULL ? new : old);
	append_row(&buf, ",\"new\":", state->capture, new);
	append_row(&buf, ",\"old\":", state->capture, old);
	if (operation == UPDATED)
		append_changed(&buf, state);
	appendStringInfoChar(&buf, '}');
	SET_VARSIZE(buf.data, buf.len);
	return outbox_text_to_utf8((struct varlena *) buf.data);
}

/*
 * The settings are in effect until AtEOXact_GUC(), or the end of the
 * subtransaction.
 */
static int
set_settings(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"},
		{"IntervalStyle", "postgres"}, {"bytea_output", "hex"},
		{"extra_float_digits", "1"}, {"lc_monetary", "C"},
		{"quote_all_identifiers", "off"}, {"search_path", "pg_catalog, pg_temp"}
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Returns the value of a key of one column as text, else a JSON array; NULL if
 * the message has no key.
 */
static struct varlena *
make_key(const OutboxCapture *capture, TupleTableSlot *slot)
{
	StringInfoData buf;

	if (capture->nkey == 0)
		return NULL;
	if (capture->nkey == 1)
	{
		OutboxJsonColumn *col = &capture->columns[capture->key[0]];
		int			n = col->attnum - 1;

		return slot->tts_isnull[n] ? NULL :
			cstring_to_text(outbox_json_text(col, slot->tts_values[n]));
	}
	initStringInfo(&buf);
	for (int i = 0; i < capture->nkey; i++)
	{
		OutboxJsonColumn *col = &capture->columns[capture->key[i]];
		int			n = col->attnum - 1;

		appendStringInfoChar(&buf, i == 0 ? '[' : ',');
		outbox_json_value(&buf, col, slot->tts_values[n], slot->tts_isnull[n]);
	}
	appendStringInfoChar(&buf, ']');
	return cstring_to_text_with_len(buf.data, buf.len);
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
enqueue_change(CaptureState *state, Operation operation,
			   TupleTableSlot *old, TupleTableSlot *new)
{
	const OutboxQueue *queue;
	OutboxMessage msg = {0};
	int			level = 0;

	PreventCommandIfReadOnly("outbox_enqueue()");
	msg.type = state->type[operation];
	if (state->needs_settings)
		level = set_settings();
	msg.payload = make_payload(state, operation, old, new);
	msg.key = make_key(state->capture, new != NULL ? new : old);
	if (state->needs_settings)
		AtEOXact_GUC(true, level);
	queue = outbox_queue_use(state->queue);
	outbox_need_right(queue, state->owner);
	msg.kind = queue->payload_type;
	outbox_enqueue_message(queue, &msg, 0);
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
enqueue_version(CaptureState *state, TriggerData *data, Operation operation,
				TupleTableSlot *old, TupleTableSlot *slot)
{
	TupleTableSlot *new = outbox_newest_version(data->tg_relation, slot);

	/* whoever has deleted the row since has told it */
	if (new == NULL)
		return;
	slot_getallattrs(new);
	if (old == NULL || find_changes(state, old, new))
		enqueue_change(state, operation, old, new);
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
	CaptureState *state;

	check_called(fcinfo);
	error_context_stack = &context;
	state = get_state(fcinfo);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		enqueue_version(state, data, INSERTED, NULL, data->tg_trigslot);
	else
	{
		slot_getallattrs(data->tg_trigslot);
		if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
			enqueue_change(state, DELETED, data->tg_trigslot, NULL);
		else
			enqueue_version(state, data, UPDATED, data->tg_trigslot,
							data->tg_newslot);
	}
	error_context_stack = context.previous;
	return PointerGetDatum(NULL);
}
