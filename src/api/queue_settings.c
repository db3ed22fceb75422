/*-------------------------------------------------------------------------
 *
 * queue_settings.c
 *	  Create, alter, pause and resume queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * These functions write outbox.queue, and its trigger tells sessions and relay.
 * So they take effect at commit, and a rollback undoes them.
 *
 * outbox_alter_queue() leaves settings alone for which null is given.  So
 * "none" has other values: 0 for expires_after and maxlen, {} for options.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_settings.h"

#include "api/args.h"
#include "api/queue_checks.h"
#include "api/settings.h"
#include "miscadmin.h"
#include "store/query.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* arguments that create and alter have in common, in this order */
enum
{
	POLICY_ON_FAILURE,
	POLICY_MAX_ATTEMPTS,
	POLICY_RETRY_DELAY,
	POLICY_RETRY_BACKOFF,
	POLICY_RETRY_MAX_DELAY,
	POLICY_EXPIRES_AFTER,
	POLICY_ARGS
};

static const char *const policy_names[POLICY_ARGS] = {
	[POLICY_ON_FAILURE] = "on_failure",
	[POLICY_MAX_ATTEMPTS] = "max_attempts",
	[POLICY_RETRY_DELAY] = "retry_delay",
	[POLICY_RETRY_BACKOFF] = "retry_backoff",
	[POLICY_RETRY_MAX_DELAY] = "retry_max_delay",
	[POLICY_EXPIRES_AFTER] = "expires_after"
};

static const Oid policy_types[POLICY_ARGS] = {
	[POLICY_ON_FAILURE] = TEXTOID,
	[POLICY_MAX_ATTEMPTS] = INT4OID,
	[POLICY_RETRY_DELAY] = INTERVALOID,
	[POLICY_RETRY_BACKOFF] = FLOAT8OID,
	[POLICY_RETRY_MAX_DELAY] = INTERVALOID,
	[POLICY_EXPIRES_AFTER] = INTERVALOID
};

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
	COLUMNS
};

/* arguments of outbox_alter_queue() */
enum
{
	ALTER_NAME,
	ALTER_POLICY,
	ALTER_MAXLEN = ALTER_POLICY + POLICY_ARGS,
	ALTER_OPTIONS,
	ALTER_CONSUMER_RETRY,
	ALTER_SETTINGS,

	/*
	 * parameters of the statement: the arguments, then what is in the
	 * settings
	 */
	ALTER_PAYLOAD_TYPE = ALTER_SETTINGS,
	ALTER_HAS_FIELDS,
	ALTER_FIELDS,
	ALTER_ARGS
};

PG_FUNCTION_INFO_V1(outbox_create_queue);
PG_FUNCTION_INFO_V1(outbox_alter_queue);
PG_FUNCTION_INFO_V1(outbox_pause_queue);
PG_FUNCTION_INFO_V1(outbox_resume_queue);

static struct varlena *
options_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (struct varlena *) PG_GETARG_JSONB_P(n);
}

/*
 * Check the arguments of the policy that are not null; "first" is the first.
 */
static void
check_policy(FunctionCallInfo fcinfo, int first)
{
	for (int i = 0; i < POLICY_ARGS; i++)
	{
		if (PG_ARGISNULL(first + i))
			continue;
		switch (i)
		{
			case POLICY_ON_FAILURE:
				outbox_check_on_failure(outbox_text_arg(fcinfo, first + i));
				break;
			case POLICY_MAX_ATTEMPTS:
				outbox_check_max_attempts(PG_GETARG_INT32(first + i));
				break;
			case POLICY_RETRY_BACKOFF:
				outbox_check_backoff(PG_GETARG_FLOAT8(first + i));
				break;
			default:
				outbox_check_delay(policy_names[i], PG_GETARG_INTERVAL_P(first + i));
				break;
		}
	}
}

/*
 * A new queue needs all arguments of the policy but expires_after.
 */
static void
check_new_policy(FunctionCallInfo fcinfo)
{
	int			expires_after = CREATE_POLICY + POLICY_EXPIRES_AFTER;

	for (int i = 0; i < POLICY_EXPIRES_AFTER; i++)
		outbox_need_arg(fcinfo, CREATE_POLICY + i, policy_names[i]);
	check_policy(fcinfo, CREATE_POLICY);
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
 * May consumers of a queue with these settings return messages?
 */
static void
check_consumer_retry(const char *name, const OutboxTargetInfo *target,
					 const char *redis_key, bool block)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {
		CStringGetTextDatum(name), CStringGetTextDatum(redis_key)
	};

	if (target->target != OUTBOX_TARGET_STREAM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no consumer_retry", target->name),
				 errhint("Only consumers of a stream can return messages.")));
	if (block)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("consumer_retry needs on_failure \"retry\" or \"dead_letter\""),
				 errdetail("A queue does not stand still for what a consumer returns.")));
	if (execute("SELECT FROM outbox.queue"
				" WHERE consumer_retry AND redis_key = $2 AND name <> $1",
				2, types, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("consumers of stream \"%s\" return messages to another queue",
						redis_key)));
}

/*
 * Fill in the row of a new queue, with its defaults.
 */
static void
new_row(FunctionCallInfo fcinfo, const OutboxTargetInfo *target, Datum *values, char *nulls)
{
	OutboxSettings settings = outbox_read_settings(options_arg(fcinfo, CREATE_SETTINGS));
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
}

#define NEW_COLUMNS "name, target, redis_key, format, maxlen, on_failure," \
	" max_attempts, retry_delay, retry_backoff, retry_max_delay, expires_after," \
	" options, consumer_retry, payload_type, fields"
#define NEW_VALUES "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11," \
	" nullif($12, '{}'), $13, $14, $15"

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
	SPI_execute_with_args("SELECT (SELECT string_agg(n.key, ', ' ORDER BY n.key)"
						  " FROM jsonb_each(to_jsonb(v)) AS n"
						  " WHERE n.value IS DISTINCT FROM to_jsonb(q) -> n.key)"
						  " FROM (VALUES (" NEW_VALUES ")) AS v (" NEW_COLUMNS "),"
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
				 differs == NULL ? 0 : errhint("Change it with outbox_alter_queue().")));
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
	memcpy(types + CREATE_POLICY, policy_types, sizeof(policy_types));
	types[CREATE_OPTIONS] = JSONBOID;
	types[CREATE_CONSUMER_RETRY] = BOOLOID;
	types[COLUMN_PAYLOAD_TYPE] = TEXTOID;
	types[COLUMN_FIELDS] = TEXTARRAYOID;
	new_row(fcinfo, target, values, nulls);
}

/*
 * Another transaction may insert the row at the same time, and then it is there
 * already.
 */
static bool
insert_queue(FunctionCallInfo fcinfo, Oid *types, Datum *values, const char *nulls)
{
	return outbox_queue_find(outbox_text_arg(fcinfo, CREATE_NAME)) == NULL &&
		execute("INSERT INTO outbox.queue (" NEW_COLUMNS ") VALUES (" NEW_VALUES ")"
				" ON CONFLICT (name) DO NOTHING",
				COLUMNS, types, values, nulls) > 0;
}

void
outbox_check_new_queue(FunctionCallInfo fcinfo)
{
	char	   *name = outbox_needed_text_arg(fcinfo, CREATE_NAME, "queue name");
	char	   *target = outbox_needed_text_arg(fcinfo, CREATE_TARGET, "target");
	const OutboxTargetInfo *info;
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
	outbox_check_new_options(info->target, options_arg(fcinfo, CREATE_OPTIONS));
	outbox_need_arg(fcinfo, CREATE_CONSUMER_RETRY, "consumer_retry");
	if (PG_GETARG_BOOL(CREATE_CONSUMER_RETRY))
		check_consumer_retry(name, info, PG_ARGISNULL(CREATE_REDIS_KEY) ? name :
							 outbox_text_arg(fcinfo, CREATE_REDIS_KEY),
							 strcmp(outbox_text_arg(fcinfo, CREATE_POLICY + POLICY_ON_FAILURE),
									"block") == 0);
	new_columns(fcinfo, types, values, nulls);
}

bool
outbox_make_queue(FunctionCallInfo fcinfo)
{
	Oid			types[COLUMNS];
	Datum		values[COLUMNS];
	char		nulls[COLUMNS];

	outbox_check_new_queue(fcinfo);
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
	outbox_check_new_queue(fcinfo);
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

/*
 * outbox_alter_queue(name, on_failure, max_attempts, retry_delay,
 * retry_backoff, retry_max_delay, expires_after, maxlen, options,
 * consumer_retry, settings)
 */
Datum
outbox_alter_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, ALTER_NAME, "queue name");
	const OutboxQueue *queue;
	OutboxSettings settings;
	Oid			types[ALTER_ARGS] = {TEXTOID};
	Datum		values[ALTER_ARGS];
	char		nulls[ALTER_ARGS];

	PreventCommandIfReadOnly("outbox_alter_queue()");
	queue = outbox_queue_find_or_error(name);
	check_policy(fcinfo, ALTER_POLICY);
	if (!PG_ARGISNULL(ALTER_MAXLEN) && PG_GETARG_INT64(ALTER_MAXLEN) != 0)
		outbox_check_maxlen(&outbox_targets[queue->target],
							PG_GETARG_INT64(ALTER_MAXLEN));

	if (!PG_ARGISNULL(ALTER_OPTIONS))
		outbox_check_new_options(queue->target, options_arg(fcinfo, ALTER_OPTIONS));
	if (PG_ARGISNULL(ALTER_CONSUMER_RETRY) ? queue->consumer_retry :
		PG_GETARG_BOOL(ALTER_CONSUMER_RETRY))
		check_consumer_retry(name, &outbox_targets[queue->target], pstrdup(queue->redis_key),
							 PG_ARGISNULL(ALTER_POLICY + POLICY_ON_FAILURE) ?
							 queue->on_failure == OUTBOX_BLOCK :
							 strcmp(outbox_text_arg(fcinfo, ALTER_POLICY + POLICY_ON_FAILURE),
									"block") == 0);

	settings = outbox_read_settings(options_arg(fcinfo, ALTER_SETTINGS));
	outbox_check_payload_type(&outbox_targets[queue->target], settings.payload_type);
	outbox_check_fields(&outbox_targets[queue->target], queue->format == OUTBOX_FORMAT_RAW,
						settings.fields);

	memcpy(types + ALTER_POLICY, policy_types, sizeof(policy_types));
	types[ALTER_MAXLEN] = INT8OID;
	types[ALTER_OPTIONS] = JSONBOID;
	types[ALTER_CONSUMER_RETRY] = BOOLOID;
	types[ALTER_PAYLOAD_TYPE] = TEXTOID;
	types[ALTER_HAS_FIELDS] = BOOLOID;
	types[ALTER_FIELDS] = TEXTARRAYOID;
	get_args(fcinfo, ALTER_SETTINGS, values, nulls);
	nulls[ALTER_PAYLOAD_TYPE] = settings.payload_type == NULL ? 'n' : ' ';
	if (settings.payload_type != NULL)
		values[ALTER_PAYLOAD_TYPE] = CStringGetTextDatum(settings.payload_type);
	values[ALTER_HAS_FIELDS] = BoolGetDatum(settings.has_fields);
	nulls[ALTER_HAS_FIELDS] = ' ';
	values[ALTER_FIELDS] = outbox_fields_array(settings.fields);
	nulls[ALTER_FIELDS] = settings.fields == 0 ? 'n' : ' ';
	if (execute("UPDATE outbox.queue SET"
				" on_failure = coalesce($2, on_failure),"
				" max_attempts = coalesce($3, max_attempts),"
				" retry_delay = coalesce($4, retry_delay),"
				" retry_backoff = coalesce($5, retry_backoff),"
				" retry_max_delay = coalesce($6, retry_max_delay),"
				" expires_after = nullif(coalesce($7, expires_after), '0'),"
				" maxlen = nullif(coalesce($8, maxlen), 0),"
				" options = nullif(coalesce($9, options), '{}'),"
				" consumer_retry = coalesce($10, consumer_retry),"
				" payload_type = coalesce($11, payload_type),"
				" fields = CASE WHEN $12 THEN $13 ELSE fields END"
				" WHERE name = $1",
				ALTER_ARGS, types, values, nulls) == 0)
		queue_is_gone(name);
	PG_RETURN_VOID();
}

static void
set_paused(FunctionCallInfo fcinfo, const char *function, const char *command)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue name");
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};

	PreventCommandIfReadOnly(function);
	(void) outbox_queue_find_or_error(name);
	if (execute(command, 1, types, values, NULL) == 0)
		queue_is_gone(name);
}

/*
 * outbox_pause_queue(name).  A queue that is paused already keeps paused_at.
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
 * outbox_resume_queue(name)
 */
Datum
outbox_resume_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, "outbox_resume_queue()",
			   "UPDATE outbox.queue SET paused_at = NULL WHERE name = $1");
	PG_RETURN_VOID();
}
