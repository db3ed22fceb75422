/*-------------------------------------------------------------------------
 *
 * capture_sql.c
 *	  outbox_capture(), outbox_forward_watermill(): triggers on users' tables.
 *
 * Design notes
 *
 * Triggers are made by CREATE TRIGGER and removed by DROP TRIGGER, with the
 * caller's rights.  So the server checks the rights on the table and on the
 * trigger's function, calls event triggers, clones triggers to partitions and
 * records dependencies.  A capture is its triggers and their arguments and
 * nothing else, so no other record can disagree with them, and pg_dump dumps
 * them.
 *
 * Whoever makes such a trigger must be allowed to enqueue.  Later no right is
 * checked: like any trigger, it runs for everybody who writes to the table.
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

#include "access/htup_details.h"
#include "access/table.h"
#include "api/args.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "queue/queue.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* arguments of outbox_capture() */
enum
{
	ARG_TABLE,
	ARG_QUEUE,
	ARG_COLUMNS,
	ARG_KEY,
	ARG_CONDITION,
	ARG_OPERATIONS
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

#define FORWARD_TRIGGER "outbox_forward_watermill"

PG_FUNCTION_INFO_V1(outbox_capture);
PG_FUNCTION_INFO_V1(outbox_forward_watermill);
PG_FUNCTION_INFO_V1(outbox_uncapture);
PG_FUNCTION_INFO_V1(outbox_unforward_watermill);

static void
run(const char *command)
{
	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", command);
	SPI_finish();
}

static char *
relation_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/*
 * Returns the trigger function, which is in the called function's schema.
 */
static Oid
trigger_function(FunctionCallInfo fcinfo, const char *name)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	oidvector  *none = buildoidvector(NULL, 0);
	Oid			result = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum(name),
										 PointerGetDatum(none),
										 ObjectIdGetDatum(schema));

	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s() does not exist",
						quote_qualified_identifier(get_namespace_name(schema),
												   name))));
	return result;
}

static char *
function_name(Oid function)
{
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
									  get_func_name(function));
}

/*
 * May the caller enqueue payloads of this type?
 */
static void
check_may_enqueue(FunctionCallInfo fcinfo, Oid payload)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP,
										   CStringGetDatum("outbox_enqueue"));
	bool		may = false;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (proc->pronamespace == schema && proc->pronargs > 1 &&
			proc->proargtypes.values[1] == payload)
			may = outbox_may_execute(proc->oid);
	}
	ReleaseSysCacheList(list);
	if (!may)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function outbox_enqueue"),
				 errdetail("To make a trigger that enqueues, you need EXECUTE on outbox_enqueue() with a payload of type %s.",
						   format_type_be(payload))));
}

/*
 * Open a table to make a trigger on it.  The right to do that is checked before
 * the table is locked.
 */
static Relation
open_table(Oid relid)
{
	AclResult	may = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (may != ACLCHECK_OK)
		aclcheck_error(may, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
	return table_open(relid, ShareRowExclusiveLock);
}

/*
 * Does the trigger capture changes for this queue?
 */
static bool
captures(const Trigger *trigger, Oid function, const char *queue)
{
	return trigger->tgfoid == function &&
		trigger->tgnargs > OUTBOX_CAPTURE_QUEUE &&
		strcmp(trigger->tgargs[OUTBOX_CAPTURE_QUEUE], queue) == 0;
}

/*
 * Returns the name of an operation's trigger.  The queue's name is part of it;
 * if that is too long, it is cut and a hash makes the name unique.
 */
static char *
trigger_name(const char *operation, const char *queue)
{
	char	   *name = psprintf("outbox_%s_%s", operation, queue);
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
					 operation, relation_name(rel));
	/* a condition may end in a comment */
	if (condition != NULL)
		appendStringInfo(&buf, " WHEN (%s\n)", condition);
	appendStringInfo(&buf, " EXECUTE FUNCTION %s", call);
	if (condition != NULL)
		error_context_stack = &context;
	run(buf.data);
	error_context_stack = context.previous;
}

static void
check_not_captured(Relation rel, Oid function, const char *queue, int wanted)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!captures(trigger, function, queue))
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
 * outbox_capture(table_name, queue, columns, key, condition, operations)
 */
Datum
outbox_capture(PG_FUNCTION_ARGS)
{
	Oid			function = trigger_function(fcinfo, "outbox_capture_row");
	char	   *columns = names_argument(fcinfo, ARG_COLUMNS);
	char	   *key = names_argument(fcinfo, ARG_KEY);
	char	   *condition = outbox_text_arg(fcinfo, ARG_CONDITION);
	int			wanted = read_operations(fcinfo);
	char	   *queue = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");
	char	   *call;
	Relation	rel;

	PreventCommandIfReadOnly("outbox_capture()");
	outbox_need_arg(fcinfo, ARG_TABLE, "table_name");
	check_may_enqueue(fcinfo, JSONBOID);
	(void) outbox_queue_use(queue);
	if (condition != NULL)
		check_condition(condition);

	rel = open_table(PG_GETARG_OID(ARG_TABLE));
	(void) outbox_capture_resolve(rel, columns, key);
	check_not_captured(rel, function, queue, wanted);
	call = psprintf("%s(%s, %s, %s)", function_name(function),
					quote_literal_cstr(queue), quote_literal_cstr(columns),
					quote_literal_cstr(key));
	for (int i = 0; i < lengthof(operations); i++)
		if (wanted & operations[i].type)
			create_trigger(rel, operations[i].name, queue, condition, call);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * Returns commands that drop a table's triggers with this function.  A clone on
 * a partition is left out, as it is dropped with its parent's trigger.
 */
static List *
drop_commands(Oid relid, Oid function, const char *queue)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	List	   *result = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid == function && !trigger->tgisclone &&
			(queue == NULL || captures(trigger, function, queue)))
			result = lappend(result,
							 psprintf("DROP TRIGGER %s ON %s",
									  quote_identifier(trigger->tgname),
									  relation_name(rel)));
	}
	table_close(rel, AccessShareLock);
	return result;
}

static void
drop_triggers(List *commands)
{
	ListCell   *lc;

	foreach(lc, commands)
		run(lfirst(lc));
}

/*
 * outbox_uncapture(table_name, queue)
 */
Datum
outbox_uncapture(PG_FUNCTION_ARGS)
{
	Oid			function = trigger_function(fcinfo, "outbox_capture_row");
	char	   *queue = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");
	List	   *commands;

	PreventCommandIfReadOnly("outbox_uncapture()");
	outbox_need_arg(fcinfo, ARG_TABLE, "table_name");
	commands = drop_commands(PG_GETARG_OID(ARG_TABLE), function, queue);
	if (commands == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not captured for queue \"%s\"",
						get_rel_name(PG_GETARG_OID(ARG_TABLE)), queue),
				 errhint("A partition is captured with its table, and uncaptured with it.")));
	drop_triggers(commands);
	PG_RETURN_VOID();
}

/*
 * Has the table a column with envelopes?
 */
static void
check_topic_table(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), "payload") == 0 &&
			(att->atttypid == JSONOID || att->atttypid == JSONBOID ||
			 att->atttypid == BYTEAOID))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a topic table of watermill-sql",
					RelationGetRelationName(rel)),
			 errdetail("It has no column \"payload\" of type json, jsonb or bytea.")));
}

/*
 * outbox_forward_watermill(topic_table)
 */
Datum
outbox_forward_watermill(PG_FUNCTION_ARGS)
{
	Oid			function = trigger_function(fcinfo, "outbox_forward_watermill_row");
	Relation	rel;

	PreventCommandIfReadOnly("outbox_forward_watermill()");
	outbox_need_arg(fcinfo, ARG_TABLE, "topic_table");
	check_may_enqueue(fcinfo, BYTEAOID);
	rel = open_table(PG_GETARG_OID(ARG_TABLE));
	check_topic_table(rel);
	run(psprintf("CREATE TRIGGER " FORWARD_TRIGGER " BEFORE INSERT ON %s"
				 " FOR EACH ROW EXECUTE FUNCTION %s()",
				 relation_name(rel), function_name(function)));
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * outbox_unforward_watermill(topic_table)
 */
Datum
outbox_unforward_watermill(PG_FUNCTION_ARGS)
{
	Oid			function = trigger_function(fcinfo, "outbox_forward_watermill_row");
	List	   *commands;

	PreventCommandIfReadOnly("outbox_unforward_watermill()");
	outbox_need_arg(fcinfo, ARG_TABLE, "topic_table");
	commands = drop_commands(PG_GETARG_OID(ARG_TABLE), function, NULL);
	if (commands == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not forwarded",
						get_rel_name(PG_GETARG_OID(ARG_TABLE)))));
	drop_triggers(commands);
	PG_RETURN_VOID();
}
