/*-------------------------------------------------------------------------
 *
 * queue_settings.c
 *	  Create, pause and resume queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * These functions write outbox.queue, and its trigger tells sessions and relay.
 * So they take effect at commit, and a rollback undoes them.
 *
 * What a queue that is there already does not have is compared column by column,
 * as the columns' types compare: a day is 24 hours.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_settings.h"

#include "api/args.h"
#include "api/cluster_checks.h"
#include "api/queue_checks.h"
#include "api/queue_ids.h"
#include "api/queue_policy.h"
#include "api/queue_server.h"
#include "api/settings.h"
#include "miscadmin.h"
#include "store/query.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* arguments of outbox_create_queue() */
enum
{
	CREATE_NAME,
	CREATE_TARGET,
	CREATE_REDIS_KEY,
	CREATE_FORMAT,
	CREATE_MAXLEN,
	CREATE_POLICY,
	CREATE_OPTIONS = CREATE_POLICY + POLICY_ARGS,
	CREATE_CONSUMER_RETRY,
	CREATE_SETTINGS,
	CREATE_IF_NOT_EXISTS
};

/* columns of a new queue: the arguments, then what is in the settings */
enum
{
	COLUMN_PAYLOAD_TYPE = CREATE_CONSUMER_RETRY + 1,
	COLUMN_FIELDS,
	COLUMN_SERVER,
	COLUMN_PARTITIONS,
	COLUMN_ID,
	COLUMNS
};

PG_FUNCTION_INFO_V1(outbox_create_queue);
PG_FUNCTION_INFO_V1(outbox_pause_queue);
PG_FUNCTION_INFO_V1(outbox_resume_queue);

/*
 * A new queue needs all arguments of the policy but expires_after.
 */
static void
check_new_policy(FunctionCallInfo fcinfo)
{
	int			expires_after = CREATE_POLICY + POLICY_EXPIRES_AFTER;

	for (int i = 0; i < POLICY_EXPIRES_AFTER; i++)
		outbox_need_arg(fcinfo, CREATE_POLICY + i, outbox_policy_names[i]);
	outbox_check_policy(fcinfo, CREATE_POLICY);
	if (!PG_ARGISNULL(expires_after) &&
		outbox_interval_us(PG_GETARG_INTERVAL_P(expires_after)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expires_after must be greater than zero"),
				 errhint("Leave it out for messages that never expire.")));
}

static void
get_args(FunctionCallInfo fcinfo, int nargs, Datum *values, char *nulls)
{
	for (int i = 0; i < nargs; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
}

static uint64
execute(const char *command, int nargs, Oid *types, Datum *values,
		const char *nulls)
{
	uint64		processed;
	OutboxCaller caller;

	outbox_connect(&caller);
	SPI_execute_with_args(command, nargs, types, values, nulls, false, 0);
	processed = SPI_processed;
	outbox_finish(&caller);
	return processed;
}

/*
 * Fill in the row of a new queue, with its defaults.
 */
static void
new_row(FunctionCallInfo fcinfo, const OutboxTargetInfo *target, Datum *values, char *nulls)
{
	struct varlena *given = outbox_jsonb_arg(fcinfo, CREATE_SETTINGS);
	OutboxSettings settings = outbox_read_settings(given, false);
	const char *server;
	bool		raw;

	get_args(fcinfo, COLUMN_PAYLOAD_TYPE, values, nulls);
	if (PG_ARGISNULL(CREATE_REDIS_KEY))
	{
		values[CREATE_REDIS_KEY] = values[CREATE_NAME];
		nulls[CREATE_REDIS_KEY] = ' ';
	}
	if (PG_ARGISNULL(CREATE_FORMAT) && target->formats)
	{
		values[CREATE_FORMAT] = CStringGetTextDatum("json");
		nulls[CREATE_FORMAT] = ' ';
	}
	raw = target->formats &&
		strcmp(TextDatumGetCString(values[CREATE_FORMAT]), "raw") == 0;
	values[COLUMN_PAYLOAD_TYPE] =
		CStringGetTextDatum(settings.payload_type != NULL ? settings.payload_type :
							raw ? "bytea" : target->payload_type);
	nulls[COLUMN_PAYLOAD_TYPE] = ' ';
	outbox_check_payload_type(target, settings.payload_type);
	outbox_check_fields(target, raw, settings.fields);
	values[COLUMN_FIELDS] = outbox_fields_array(settings.fields);
	nulls[COLUMN_FIELDS] = settings.fields == 0 ? 'n' : ' ';
	server = outbox_check_server(settings.server);
	values[COLUMN_SERVER] = server == NULL ? (Datum) 0 : CStringGetTextDatum(server);
	nulls[COLUMN_SERVER] = server == NULL ? 'n' : ' ';
	values[COLUMN_PARTITIONS] = Int32GetDatum(Max(settings.partitions, 1));
	nulls[COLUMN_PARTITIONS] = ' ';
	outbox_check_partitions(target, Max(settings.partitions, 1),
							TextDatumGetCString(values[CREATE_REDIS_KEY]));
	values[COLUMN_ID] = 0;
	nulls[COLUMN_ID] = 'n';
}

#define NEW_COLUMNS "name, target, redis_key, format, maxlen, on_failure," \
	" max_attempts, retry_delay, retry_backoff, retry_max_delay, expires_after," \
	" options, consumer_retry, payload_type, fields, server, partitions"
#define NEW_VALUES "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11," \
	" nullif($12, '{}'), $13, $14, $15, $16, $17"

#define DIFFERS(column) "CASE WHEN v." column " IS DISTINCT FROM q." column \
	" THEN '" column "' END"
#define WHAT_DIFFERS "nullif(concat_ws(', ', " \
	DIFFERS("consumer_retry") ", " DIFFERS("expires_after") ", " \
	DIFFERS("fields") ", " DIFFERS("format") ", " DIFFERS("max_attempts") ", " \
	DIFFERS("maxlen") ", " DIFFERS("on_failure") ", " DIFFERS("options") ", " \
	DIFFERS("partitions") ", " \
	DIFFERS("payload_type") ", " DIFFERS("redis_key") ", " \
	DIFFERS("retry_backoff") ", " DIFFERS("retry_delay") ", " \
	DIFFERS("retry_max_delay") ", " DIFFERS("server") ", " \
	DIFFERS("target") "), '')"

/*
 * Returns the settings that a queue which is there already does not have, for a
 * message; NULL if there are none.  The queue may have been created after this
 * statement began, so it is looked for with a snapshot of its own; a transaction
 * that must not see it cannot tell.
 */
static char *
what_differs(Oid *types, Datum *values, const char *nulls)
{
	OutboxCaller caller;
	MemoryContext context = CurrentMemoryContext;
	char	   *names = NULL;
	char	   *found;

	outbox_connect(&caller);
	SPI_execute_with_args("SELECT " WHAT_DIFFERS " FROM (VALUES (" NEW_VALUES ")) AS v (" NEW_COLUMNS "),"
						  " outbox.queue AS q WHERE q.name = $1",
						  COLUMNS, types, values, nulls, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	found = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (found != NULL)
		names = MemoryContextStrdup(context, found);
	outbox_finish(&caller);
	return names;
}

static void
queue_exists(FunctionCallInfo fcinfo, const char *name, Oid *types, Datum *values,
			 const char *nulls)
{
	char	   *differs = PG_GETARG_BOOL(CREATE_IF_NOT_EXISTS) ?
	what_differs(types, values, nulls) : NULL;

	if (!PG_GETARG_BOOL(CREATE_IF_NOT_EXISTS) || differs != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name),
				 differs == NULL ? 0 : errdetail("It differs in %s.", differs),
				 differs == NULL ? 0 : errhint("Change it with outbox_alter_queue(), whose settings have target, redis_key and format as well.")));
	ereport(NOTICE,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("queue \"%s\" already exists, skipping", name)));
}

/*
 * The columns of a new queue, and what is in them.
 */
static void
new_columns(FunctionCallInfo fcinfo, Oid *types, Datum *values, char *nulls)
{
	const OutboxTargetInfo *target = outbox_target_info(outbox_text_arg(fcinfo, CREATE_TARGET));
	const Oid	first_types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};

	memcpy(types, first_types, sizeof(first_types));
	memcpy(types + CREATE_POLICY, outbox_policy_types, sizeof(outbox_policy_types));
	types[CREATE_OPTIONS] = JSONBOID;
	types[CREATE_CONSUMER_RETRY] = BOOLOID;
	types[COLUMN_PAYLOAD_TYPE] = TEXTOID;
	types[COLUMN_FIELDS] = TEXTARRAYOID;
	types[COLUMN_SERVER] = TEXTOID;
	types[COLUMN_PARTITIONS] = INT4OID;
	types[COLUMN_ID] = INT4OID;
	new_row(fcinfo, target, values, nulls);
}

/*
 * Another transaction may insert the row at the same time, and then it is there
 * already.
 */
static bool
insert_queue(FunctionCallInfo fcinfo, Oid *types, Datum *values, char *nulls)
{
	OutboxCaller caller;

	if (outbox_queue_find(outbox_text_arg(fcinfo, CREATE_NAME)) != NULL)
		return false;
	outbox_connect(&caller);
	values[COLUMN_ID] =
		Int32GetDatum(outbox_new_queue_ids(DatumGetInt32(values[COLUMN_PARTITIONS])));
	nulls[COLUMN_ID] = ' ';
	outbox_finish(&caller);
	return execute("INSERT INTO outbox.queue (" NEW_COLUMNS ", id) VALUES (" NEW_VALUES ", $18)"
				   " ON CONFLICT (name) DO NOTHING",
				   COLUMNS, types, values, nulls) > 0;
}

const char *
outbox_check_new_queue(FunctionCallInfo fcinfo)
{
	char	   *name = outbox_needed_text_arg(fcinfo, CREATE_NAME, "queue name");
	char	   *target = outbox_needed_text_arg(fcinfo, CREATE_TARGET, "target");
	OutboxSettings settings;
	const OutboxTargetInfo *info;
	char	   *on_failure;
	Oid			types[COLUMNS];
	Datum		values[COLUMNS];
	char		nulls[COLUMNS];

	outbox_check_name("queue name", name);
	info = outbox_check_target(target, outbox_text_arg(fcinfo, CREATE_FORMAT));
	if (!PG_ARGISNULL(CREATE_MAXLEN))
		outbox_check_maxlen(info, PG_GETARG_INT64(CREATE_MAXLEN));
	if (!PG_ARGISNULL(CREATE_REDIS_KEY))
		outbox_check_redis_key(outbox_text_arg(fcinfo, CREATE_REDIS_KEY));
	check_new_policy(fcinfo);
	settings = outbox_read_settings(outbox_jsonb_arg(fcinfo, CREATE_SETTINGS), false);
	outbox_check_new_options(info->target, outbox_jsonb_arg(fcinfo, CREATE_OPTIONS),
							 settings.server);
	outbox_need_arg(fcinfo, CREATE_CONSUMER_RETRY, "consumer_retry");
	on_failure = outbox_text_arg(fcinfo, CREATE_POLICY + POLICY_ON_FAILURE);
	new_columns(fcinfo, types, values, nulls);
	if (PG_GETARG_BOOL(CREATE_CONSUMER_RETRY))
		outbox_check_consumer_retry(name, info,
									TextDatumGetCString(values[CREATE_REDIS_KEY]),
									DatumGetInt32(values[COLUMN_PARTITIONS]),
									strcmp(on_failure, "block") == 0);
	outbox_check_cluster(&(OutboxQueue) {
		.name = name,
		.target = info->target,
		.redis_key = TextDatumGetCString(values[CREATE_REDIS_KEY]),
		.partitions = DatumGetInt32(values[COLUMN_PARTITIONS]),
		.consumer_retry = PG_GETARG_BOOL(CREATE_CONSUMER_RETRY),
		.server = unconstify(char *, settings.server),
		.options = outbox_jsonb_arg(fcinfo, CREATE_OPTIONS)
	});
	return TextDatumGetCString(values[COLUMN_PAYLOAD_TYPE]);
}

bool
outbox_make_queue(FunctionCallInfo fcinfo)
{
	Oid			types[COLUMNS];
	Datum		values[COLUMNS];
	char		nulls[COLUMNS];

	(void) outbox_check_new_queue(fcinfo);
	new_columns(fcinfo, types, values, nulls);
	return insert_queue(fcinfo, types, values, nulls);
}

/*
 * outbox_create_queue(name, target, redis_key, format, maxlen, on_failure,
 * max_attempts, retry_delay, retry_backoff, retry_max_delay, expires_after,
 * options, consumer_retry, settings, if_not_exists)
 */
Datum
outbox_create_queue(PG_FUNCTION_ARGS)
{
	Oid			types[COLUMNS];
	Datum		values[COLUMNS];
	char		nulls[COLUMNS];

	PreventCommandIfReadOnly("outbox_create_queue()");
	(void) outbox_check_new_queue(fcinfo);
	outbox_need_arg(fcinfo, CREATE_IF_NOT_EXISTS, "if_not_exists");
	new_columns(fcinfo, types, values, nulls);
	if (!insert_queue(fcinfo, types, values, nulls))
		queue_exists(fcinfo, outbox_text_arg(fcinfo, CREATE_NAME), types, values, nulls);
	PG_RETURN_VOID();
}

static void
queue_is_gone(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("queue \"%s\" does not exist", name)));
}

static void
set_paused(FunctionCallInfo fcinfo, const char *function, const char *command)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};

	PreventCommandIfReadOnly(function);
	(void) outbox_queue_find_or_error(name);
	if (execute(command, 1, types, values, NULL) == 0)
		queue_is_gone(name);
}

/*
 * outbox_pause_queue(queue).  A queue that is paused already keeps paused_at.
 */
Datum
outbox_pause_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, "outbox_pause_queue()",
			   "UPDATE outbox.queue SET paused_at = coalesce(paused_at, now())"
			   " WHERE name = $1");
	PG_RETURN_VOID();
}

/*
 * outbox_resume_queue(queue)
 */
Datum
outbox_resume_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, "outbox_resume_queue()",
			   "UPDATE outbox.queue SET paused_at = NULL WHERE name = $1");
	PG_RETURN_VOID();
}
