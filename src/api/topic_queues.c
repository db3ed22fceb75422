/*-------------------------------------------------------------------------
 *
 * topic_queues.c
 *	  Queues for destination topics that have none.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The setting "create_queues" of outbox_forward_watermill() has arguments of
 * outbox_create_queue(), by their names.  What it leaves out has the default of
 * that function, read from the catalog, so there is no second list of arguments
 * or defaults; only target is "watermill" here.
 *
 * The queue is made in the producer's transaction, and is gone if that is rolled
 * back.  A second producer of the same new topic must wait for it, as it would for
 * any unique key.  Two producers that need several new topics, in different order,
 * must not wait for each other in a circle.  So whoever makes a queue here first
 * takes one lock that all of them have in common, and keeps it until the
 * transaction ends: it waits while it has made none.  Then it looks again, and may
 * find the queue.
 *
 * Whoever is granted EXECUTE on the trigger function can make the trigger by hand,
 * with any settings.  So the table's owner must have the right to call
 * outbox_create_queue() when a queue is made, and not only when the forwarding is
 * set up.  The owner must also have the right to enqueue to queues to come: making
 * a queue gives nobody a right on it.
 *
 * outbox_create_queue() is called directly, as C, since SQL could find another
 * function of that name.
 *
 *-------------------------------------------------------------------------
 */
#include "api/topic_queues.h"

#include "access/htup_details.h"
#include "api/given_settings.h"
#include "api/queue_settings.h"
#include "catalog.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "storage/lmgr.h"
#include "store/query.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define CREATE_QUEUES "create_queues"

/* the number of no queue */
#define NEW_QUEUES 0

/* a call of outbox_create_queue() */
typedef struct CreateCall
{
	Oid			function;
	int			nargs;
	Oid		   *types;
	char	  **names;
	FunctionCallInfo fcinfo;
} CreateCall;

static void
bad_settings(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("setting \"" CREATE_QUEUES "\" must be an object of arguments of outbox_create_queue()"),
			 errdetail_internal("%s", detail),
			 errhint("For example settings => '{\"" CREATE_QUEUES "\": {\"maxlen\": 100000}}'.")));
}

/*
 * There may be others of that name, but a function in C is a superuser's.
 */
static HeapTuple
find_create_queue(Oid schema)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP,
										   CStringGetDatum("outbox_create_queue"));
	HeapTuple	result = NULL;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tup = &list->members[i]->tuple;
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tup);

		if (proc->pronamespace == schema && proc->prolang == ClanguageId)
			result = heap_copytuple(tup);
	}
	ReleaseSysCacheList(list);
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function outbox_create_queue() does not exist")));
	return result;
}

static void
set_arg(CreateCall *call, int n, Datum value, bool isnull)
{
	call->fcinfo->args[n].value = value;
	call->fcinfo->args[n].isnull = isnull;
}

static int
find_arg(const CreateCall *call, const char *name)
{
	for (int i = 0; i < call->nargs; i++)
		if (strcmp(call->names[i], name) == 0)
			return i;
	return -1;
}

/*
 * The last arguments have defaults.
 */
static void
set_defaults(CreateCall *call, HeapTuple proc)
{
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_proargdefaults, &isnull);
	List	   *defaults = isnull ? NIL : stringToNode(TextDatumGetCString(source));
	int			n = call->nargs - list_length(defaults);
	ListCell   *lc;

	foreach(lc, defaults)
	{
		Node	   *value = eval_const_expressions(NULL, lfirst(lc));

		if (!IsA(value, Const))
			elog(ERROR, "default of argument \"%s\" is not a constant", call->names[n]);
		set_arg(call, n++, castNode(Const, value)->constvalue,
				castNode(Const, value)->constisnull);
	}
}

/*
 * Returns a call that has the defaults as arguments.
 */
static CreateCall
new_call(Oid schema, const char *topic)
{
	HeapTuple	proc = find_create_queue(schema);
	CreateCall	call;
	char	   *modes;

	call.function = ((Form_pg_proc) GETSTRUCT(proc))->oid;
	call.nargs = get_func_arg_info(proc, &call.types, &call.names, &modes);
	call.fcinfo = palloc0(SizeForFunctionCallInfo(call.nargs));
	InitFunctionCallInfoData(*call.fcinfo, NULL, call.nargs, InvalidOid, NULL, NULL);
	set_defaults(&call, proc);
	set_arg(&call, find_arg(&call, "name"), CStringGetTextDatum(topic), false);
	set_arg(&call, find_arg(&call, "target"), CStringGetTextDatum("watermill"), false);
	return call;
}

/*
 * Returns a scalar as the text that its type's input function reads.
 */
static char *
scalar_text(const JsonbValue *v, const char *name)
{
	switch (v->type)
	{
		case jbvString:
			return pnstrdup(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(v->val.numeric)));
		case jbvBool:
			return v->val.boolean ? "true" : "false";
		default:
			bad_settings(psprintf("\"%s\" is not a string, a number or a boolean.", name));
			return NULL;		/* keep compiler quiet */
	}
}

static void
set_arg_from_json(CreateCall *call, const char *name, JsonbValue *v)
{
	int			n = find_arg(call, name);
	Oid			input;
	Oid			param;

	if (n < 0 || strcmp(name, "name") == 0 || strcmp(name, "if_not_exists") == 0)
		bad_settings(psprintf("There is no \"%s\".", name));
	if (strcmp(name, "redis_key") == 0)
		bad_settings("A \"redis_key\" would be that of all topics.");
	if (v->type == jbvNull)
	{
		set_arg(call, n, (Datum) 0, true);
		return;
	}
	if (call->types[n] == JSONBOID)
	{
		set_arg(call, n, JsonbPGetDatum(JsonbValueToJsonb(v)), false);
		return;
	}
	getTypeInputInfo(call->types[n], &input, &param);
	set_arg(call, n, OidInputFunctionCall(input, scalar_text(v, name), param, -1), false);
}

/*
 * Set the arguments that the settings have.  Returns false if no queues are to be
 * made.
 */
static bool
read_settings(const Jsonb *settings, CreateCall *call)
{
	JsonbIterator *it = outbox_begin_settings((const struct varlena *) settings,
											  "{\"" CREATE_QUEUES "\": {}}");
	char	   *name;
	JsonbValue	value;
	bool		result = false;

	while (outbox_next_setting(&it, &name, &value))
	{
		JsonbIterator *args;

		if (strcmp(name, CREATE_QUEUES) != 0)
			outbox_unknown_setting(name, "The setting is " CREATE_QUEUES ".");
		if (value.type == jbvNull)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			bad_settings("This is not an object.");
		result = true;
		args = outbox_begin_members(value.val.binary.data);
		while (outbox_next_setting(&args, &name, &value))
			set_arg_from_json(call, name, &value);
	}
	return result;
}

/*
 * May the role enqueue to queues that do not exist yet?
 */
static bool
may_enqueue_to_new_queues(Oid role)
{
	const OutboxParam params[] = {{"role", OIDOID, ObjectIdGetDatum(role)}};
	OutboxCaller caller;
	bool		result;

	outbox_connect(&caller);
	result = outbox_query("SELECT FROM pg_catalog.pg_namespace AS n"
						  " WHERE n.nspname = '" OUTBOX_VIEWS "'"
						  " AND (pg_catalog.pg_has_role($role, n.nspowner, 'USAGE')"
						  " OR EXISTS (SELECT FROM pg_catalog.pg_default_acl AS d,"
						  " pg_catalog.aclexplode(d.defaclacl) AS a"
						  " WHERE d.defaclnamespace IN (0, n.oid)"
						  " AND d.defaclrole = n.nspowner AND d.defaclobjtype = 'r'"
						  " AND a.privilege_type = 'INSERT'"
						  " AND (a.grantee = 0 OR"
						  " pg_catalog.pg_has_role($role, a.grantee, 'USAGE'))))",
						  params, lengthof(params)) > 0;
	outbox_finish(&caller);
	return result;
}

static void
need_right_to_create(const CreateCall *call, Oid role)
{
	if (outbox_may_execute(call->function, role) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to create queues for destination topics"),
			 errdetail("Role \"%s\" may not call outbox_create_queue().",
					   GetUserNameFromId(role, false))));
}

static void
need_rights_of_owner(const CreateCall *call, Oid owner)
{
	char	   *name;

	need_right_to_create(call, owner);
	if (may_enqueue_to_new_queues(owner))
		return;
	name = GetUserNameFromId(owner, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to create queues for destination topics"),
			 errdetail("Role \"%s\", which owns the topic table, may not enqueue to queues that are created later.",
					   name),
			 errhint("Have outbox_grant(%s) called, without a queue.",
					 quote_literal_cstr(quote_identifier(name)))));
}

/*
 * Can such a queue take messages of Watermill at all?  Their payloads are bytes, and
 * may be a JSON document; they have no type.
 */
static void
need_room_for_messages(const CreateCall *call, const char *payload_type)
{
	Datum		target = call->fcinfo->args[find_arg(call, "target")].value;

	if (strcmp(TextDatumGetCString(target), "asynq") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("queues of target asynq cannot take messages of Watermill"),
				 errdetail("A task needs a type, and these messages have none."),
				 errhint("Leave \"target\" out, or have another one in \"" CREATE_QUEUES "\".")));
	if (strcmp(payload_type, "text") != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("queues of payload type text cannot take messages of Watermill"),
			 errdetail("Their payloads are bytes."),
			 errhint("Have \"settings\": {\"payload_type\": \"bytea\"} in \"" CREATE_QUEUES "\", or json if all payloads are JSON.")));
}

void
outbox_check_topic_queues(Oid schema, Jsonb *settings, Oid caller, Oid owner)
{
	CreateCall	call = new_call(schema, "topic");

	if (!read_settings(settings, &call))
		return;
	need_right_to_create(&call, caller);
	need_rights_of_owner(&call, owner);
	need_room_for_messages(&call, outbox_check_new_queue(call.fcinfo));
}

bool
outbox_make_topic_queue(Oid schema, Jsonb *settings, Oid owner, const char *topic)
{
	CreateCall	call = new_call(schema, topic);

	if (!read_settings(settings, &call))
		return false;
	need_rights_of_owner(&call, owner);
	LockDatabaseObject(outbox_relid(OUTBOX_REL_QUEUE), NEW_QUEUES, 0, ExclusiveLock);
	if (outbox_queue_find(topic) == NULL)
		(void) outbox_make_queue(call.fcinfo);
	return true;
}
