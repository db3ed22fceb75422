/*-------------------------------------------------------------------------
 *
 * capture_sql.c
 *	  outbox_capture() and outbox_uncapture(): begin and end a capture.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Each operation has a trigger of its own, because the condition of an insert
 * cannot refer to OLD, nor that of a delete to NEW.  So operations can also be
 * captured by several calls, each with its own condition.
 *
 * A condition becomes part of the command as text.  So it is parsed alone
 * first, and must be one expression.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_columns.h"

#include "access/table.h"
#include "api/args.h"
#include "api/triggers.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "targets/jobs.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* arguments of outbox_capture() */
enum
{
	ARG_TABLE,
	ARG_QUEUE,
	ARG_COLUMNS,
	ARG_KEY,
	ARG_CONDITION,
	ARG_OPERATIONS,
	ARG_SETTINGS
};

static const struct
{
	const char *name;
	int16		type;
}			operations[] = {
	{"insert", TRIGGER_TYPE_INSERT},
	{"update", TRIGGER_TYPE_UPDATE},
	{"delete", TRIGGER_TYPE_DELETE}
};

PG_FUNCTION_INFO_V1(outbox_capture);
PG_FUNCTION_INFO_V1(outbox_uncapture);

/*
 * Returns the name of an operation's trigger.  Triggers run by the order of
 * their names, and an application's trigger that changes the row again must run
 * behind this one, or else its change would be told first.
 *
 * The queue's name is part of it; if that is too long, it is cut and a hash makes
 * the name unique.
 */
static char *
trigger_name(const char *operation, const char *queue)
{
	char	   *name = psprintf("!outbox_%s_%s", operation, queue);
	int			length = strlen(name);

	if (length < NAMEDATALEN)
		return name;
	length = pg_mbcliplen(name, length, NAMEDATALEN - 10);
	return psprintf("%.*s_%08x", length, name,
					hash_bytes((const unsigned char *) queue, strlen(queue)));
}

static int
read_operations(FunctionCallInfo fcinfo)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	int			result = 0;

	outbox_need_arg(fcinfo, ARG_OPERATIONS, "operations");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_OPERATIONS), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "null" : TextDatumGetCString(elems[i]);
		int			type = 0;

		for (int j = 0; j < lengthof(operations); j++)
			if (strcmp(operations[j].name, name) == 0)
				type = operations[j].type;
		if (type == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown operation \"%s\"", name),
					 errhint("Operations are insert, update and delete.")));
		result |= type;
	}
	if (result == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operations must not be empty")));
	return result;
}

/*
 * Returns a list of names as an argument of the trigger; empty if it is null.
 */
static char *
names_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? "" :
		OidOutputFunctionCall(F_ARRAY_OUT, PG_GETARG_DATUM(n));
}

/*
 * Have an error in the condition point into the condition.
 */
static void
say_condition(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
}

static bool
is_expression(const SelectStmt *select)
{
	return list_length(select->targetList) == 1 &&
		linitial_node(ResTarget, select->targetList)->name == NULL &&
		select->distinctClause == NIL && select->fromClause == NIL &&
		select->whereClause == NULL && select->groupClause == NIL &&
		select->havingClause == NULL && select->windowClause == NIL &&
		select->sortClause == NIL && select->limitOffset == NULL &&
		select->limitCount == NULL && select->lockingClause == NIL;
}

static void
check_condition(char *condition)
{
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = say_condition,
		.arg = condition
	};
	List	   *list;

	error_context_stack = &context;
	list = raw_parser(condition, RAW_PARSE_PLPGSQL_EXPR);
	error_context_stack = context.previous;
	if (!is_expression((SelectStmt *) linitial_node(RawStmt, list)->stmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition must be an expression"),
				 errhint("For example condition => 'NEW.total > 100'.")));
}

static void
say_what_conditions_can(void *arg)
{
	if (geterrcode() == ERRCODE_INVALID_OBJECT_DEFINITION)
		errhint("An insert has no OLD and a delete no NEW: name the operations that the condition is for, and capture the others by another call with a condition of their own.");
}

static void
create_trigger(Relation rel, const char *operation, const char *queue,
			   const char *condition, const char *call)
{
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = say_what_conditions_can
	};
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TRIGGER %s AFTER %s ON %s FOR EACH ROW",
					 quote_identifier(trigger_name(operation, queue)),
					 operation, outbox_relation_name(rel));
	/* a condition may end in a comment */
	if (condition != NULL)
		appendStringInfo(&buf, " WHEN (%s\n)", condition);
	appendStringInfo(&buf, " EXECUTE FUNCTION %s", call);
	if (condition != NULL)
		error_context_stack = &context;
	outbox_run_command(buf.data);
	error_context_stack = context.previous;
}

static void
check_not_captured(Relation rel, Oid function, const char *queue, int wanted)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!outbox_is_trigger(trigger, function, queue))
			continue;
		for (int j = 0; j < lengthof(operations); j++)
			if (trigger->tgtype & wanted & operations[j].type)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("operation %s of table \"%s\" is captured for queue \"%s\" already",
								operations[j].name, RelationGetRelationName(rel),
								queue),
						 errhint("Call outbox_uncapture() first.")));
	}
}

/*
 * Partitions are captured with their table, since its triggers are cloned to
 * them; tables that inherit from another one are not.
 */
static void
warn_of_children(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(WARNING,
				(errmsg("tables that inherit from \"%s\" are not captured",
						RelationGetRelationName(rel)),
				 errhint("Call outbox_capture() for each of them.")));
}

/*
 * A row of a capture with text or the like may be larger than a message.
 */
static void
say_what_is_omitted(const OutboxCapture *capture, const char *table)
{
	bool		varies = false;

	for (int i = 0; i < capture->ncolumns; i++)
		varies |= capture->columns[i].typlen == -1;
	if (varies && !capture->settings.too_large_given)
		ereport(NOTICE,
				(errmsg("changes of table \"%s\" that are too large for a message will lack their largest columns",
						table),
				 errdetail("Such a message names them in \"omitted\".  The limit is the setting \"outbox.max_message_size\", %d bytes now.",
						   outbox_max_message_size),
				 errhint("Settings \"too_large\" \"omit\" (this), \"key\" (all but the key is left out) and \"fail\" (the write fails) choose and end this notice.")));
}

/*
 * The description of a job is never what a captured row is.
 */
static void
check_target(const OutboxQueue *queue)
{
	if (outbox_has_jobs(queue->target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tables cannot be captured to queue \"%s\"", queue->name),
				 errdetail("Its target is \"%s\", and a captured row does not describe a job.",
						   outbox_targets[queue->target].name),
				 errhint("Write a trigger that calls outbox_enqueue() with a job.")));
}

/*
 * Returns the settings as an argument of the trigger; empty if there are none.
 */
static char *
settings_argument(FunctionCallInfo fcinfo)
{
	Jsonb	   *jsonb = PG_ARGISNULL(ARG_SETTINGS) ? NULL :
	PG_GETARG_JSONB_P(ARG_SETTINGS);

	(void) outbox_read_capture_settings((struct varlena *) jsonb);
	return jsonb == NULL || JB_ROOT_COUNT(jsonb) == 0 ? "" :
		JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

/*
 * The call of the trigger's function; a last argument that is empty is left out.
 */
static char *
trigger_call(Oid function, char *const *args)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s(", outbox_function_name(function));
	for (int i = 0; i < OUTBOX_CAPTURE_ARGS; i++)
		if (i != OUTBOX_CAPTURE_SETTINGS || args[i][0] != '\0')
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
							 quote_literal_cstr(args[i]));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/*
 * outbox_capture(table_name, queue, columns, key, condition, operations,
 * settings)
 */
Datum
outbox_capture(PG_FUNCTION_ARGS)
{
	Oid			function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	char	   *args[OUTBOX_CAPTURE_ARGS] = {
		[OUTBOX_CAPTURE_QUEUE] = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue"),
		[OUTBOX_CAPTURE_COLUMNS] = names_argument(fcinfo, ARG_COLUMNS),
		[OUTBOX_CAPTURE_KEY] = names_argument(fcinfo, ARG_KEY),
		[OUTBOX_CAPTURE_SETTINGS] = settings_argument(fcinfo)
	};
	const char *queue = args[OUTBOX_CAPTURE_QUEUE];
	char	   *condition = outbox_text_arg(fcinfo, ARG_CONDITION);
	int			wanted = read_operations(fcinfo);
	const OutboxCapture *capture;
	Relation	rel;

	PreventCommandIfReadOnly("outbox_capture()");
	outbox_need_arg(fcinfo, ARG_TABLE, "table_name");
	outbox_need_right(outbox_queue_use(queue), GetUserId());
	check_target(outbox_queue_use(queue));
	if (condition != NULL)
		check_condition(condition);

	rel = outbox_open_for_trigger(PG_GETARG_OID(ARG_TABLE));
	outbox_need_right(outbox_queue_use(queue), rel->rd_rel->relowner);
	capture = outbox_capture_resolve(rel, args);
	check_not_captured(rel, function, queue, wanted);
	say_what_is_omitted(capture, RelationGetRelationName(rel));
	for (int i = 0; i < lengthof(operations); i++)
		if (wanted & operations[i].type)
			create_trigger(rel, operations[i].name, queue, condition,
						   trigger_call(function, args));
	warn_of_children(rel);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * outbox_uncapture(table_name, queue)
 */
Datum
outbox_uncapture(PG_FUNCTION_ARGS)
{
	Oid			function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	char	   *queue = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");

	PreventCommandIfReadOnly("outbox_uncapture()");
	outbox_need_arg(fcinfo, ARG_TABLE, "table_name");
	if (!outbox_drop_triggers(PG_GETARG_OID(ARG_TABLE), function, queue))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not captured for queue \"%s\"",
						get_rel_name(PG_GETARG_OID(ARG_TABLE)), queue),
				 errhint("A partition is captured with its table, and uncaptured with it.")));
	PG_RETURN_VOID();
}
