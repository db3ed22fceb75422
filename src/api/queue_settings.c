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
 * Wrong settings are refused here, with hints.  The table's constraints refuse
 * them, too, if somebody writes the table by other means.
 *
 * outbox_alter_queue() leaves settings alone for which null is given.  So
 * "none" has other values: 0 for expires_after and maxlen, {} for options.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/queue.h"

#include "api/args.h"
#include "convert.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "server_commands.h"
#include "store/query.h"
#include "targets/commands.h"
#include "targets/options.h"
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
	CREATE_ARGS
};

/* arguments of outbox_alter_queue() */
enum
{
	ALTER_NAME,
	ALTER_POLICY,
	ALTER_MAXLEN = ALTER_POLICY + POLICY_ARGS,
	ALTER_OPTIONS,
	ALTER_CONSUMER_RETRY,
	ALTER_ARGS
};

PG_FUNCTION_INFO_V1(outbox_create_queue);
PG_FUNCTION_INFO_V1(outbox_alter_queue);
PG_FUNCTION_INFO_V1(outbox_pause_queue);
PG_FUNCTION_INFO_V1(outbox_resume_queue);

static void
check_name(const char *what, const char *value)
{
	int			len = pg_mbstrlen(value);

	if (len < 1 || len > OUTBOX_MAX_QUEUE_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d characters", what,
						OUTBOX_MAX_QUEUE_NAME)));

	/* Redis gets it as UTF-8 */
	outbox_check_utf8(value, strlen(value));
}

static void
check_redis_key(const char *redis_key)
{
	if (redis_key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("redis_key must not be empty")));
	outbox_check_utf8(redis_key, strlen(redis_key));
}

static const OutboxTargetInfo *
check_target(const char *target, const char *format)
{
	const OutboxTargetInfo *info = outbox_target_info(target);

	if (info == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown target \"%s\"", target),
				 errhint("Targets are stream, list, publish, asynq, watermill, commands and function.")));
	if (format != NULL && !info->formats)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no formats", target),
				 errhint("Leave the format out.")));
	if (format != NULL && strcmp(format, "json") != 0 &&
		strcmp(format, "raw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown format \"%s\"", format),
				 errhint("Formats are \"json\" and \"raw\".")));
	return info;
}

static void
check_maxlen(const OutboxTargetInfo *target, int64 maxlen)
{
	if (!target->maxlen)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no maximum length", target->name),
				 errhint("Only a stream (target stream or watermill) can be trimmed with maxlen.")));
	if (maxlen < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("maxlen must be greater than zero")));
}

/*
 * Has the Redis at hand these commands?  If the relay could not ask it, that is
 * left to the first message.
 */
static void
check_commands(const struct varlena *options)
{
	const char *error;
	const char *hint;
	const OutboxTemplate *template = outbox_template_compile(options, &error, &hint);

	for (int i = 0; i < outbox_template_length(template); i++)
	{
		int			nargs;
		const char *name = outbox_template_command(template, i, &nargs);
		OutboxServerCommand command;

		switch (outbox_find_server_command(MyDatabaseId, name, &command))
		{
			case OUTBOX_COMMANDS_NOT_KNOWN:
				return;
			case OUTBOX_COMMAND_MISSING:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("unknown command \"%s\"", name),
						 errdetail("The Redis that \"outbox.redis_url\" names does not have it.")));
				break;
			case OUTBOX_COMMAND_FOUND:
				if (command.noscript)
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("command \"%s\" cannot be one of a queue's commands", name),
							 errdetail("Commands run in a script, and Redis does not let scripts call it.")));
				if (command.arity >= 0 ? nargs != command.arity : nargs < -command.arity)
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("wrong number of arguments for command \"%s\"", name)));
				break;
		}
	}
}

static void
check_options(OutboxTarget target, const struct varlena *options)
{
	outbox_check_queue_options(target, options);
	if (target == OUTBOX_TARGET_COMMANDS)
		check_commands(options);
}

static struct varlena *
options_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (struct varlena *) PG_GETARG_JSONB_P(n);
}

static void
check_on_failure(const char *on_failure)
{
	if (strcmp(on_failure, "block") != 0 && strcmp(on_failure, "retry") != 0 &&
		strcmp(on_failure, "dead_letter") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_failure \"%s\"", on_failure),
				 errhint("It is \"block\", \"retry\" or \"dead_letter\".")));
}

static void
check_max_attempts(int max_attempts)
{
	if (max_attempts < 1 || max_attempts > 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts must be from 1 to 1000"),
				 errhint("To try a message until it goes through, use on_failure => 'block'.")));
}

static void
check_backoff(double backoff)
{
	/* written so that NaN is refused, too */
	if (!(backoff >= 1 && backoff <= 100))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("retry_backoff must be from 1 to 100"),
				 errhint("1 keeps the delay the same, 2 doubles it with each attempt.")));
}

static void
check_delay(const char *name, const Interval *delay)
{
	if (outbox_interval_us(delay) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name)));
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
				check_on_failure(outbox_text_arg(fcinfo, first + i));
				break;
			case POLICY_MAX_ATTEMPTS:
				check_max_attempts(PG_GETARG_INT32(first + i));
				break;
			case POLICY_RETRY_BACKOFF:
				check_backoff(PG_GETARG_FLOAT8(first + i));
				break;
			default:
				check_delay(policy_names[i], PG_GETARG_INTERVAL_P(first + i));
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

static void
insert_queue(FunctionCallInfo fcinfo, const OutboxTargetInfo *target)
{
	Oid			types[CREATE_ARGS] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[CREATE_ARGS];
	char		nulls[CREATE_ARGS];

	memcpy(types + CREATE_POLICY, policy_types, sizeof(policy_types));
	types[CREATE_OPTIONS] = JSONBOID;
	types[CREATE_CONSUMER_RETRY] = BOOLOID;
	get_args(fcinfo, CREATE_ARGS, values, nulls);
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
	execute("INSERT INTO outbox.queue (name, target, redis_key, format, maxlen,"
			" on_failure, max_attempts, retry_delay, retry_backoff,"
			" retry_max_delay, expires_after, options, consumer_retry)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
			" nullif($12, '{}'), $13)",
			CREATE_ARGS, types, values, nulls);
}

/*
 * outbox_create_queue(name, target, redis_key, format, maxlen, on_failure,
 * max_attempts, retry_delay, retry_backoff, retry_max_delay, expires_after,
 * options, consumer_retry)
 */
Datum
outbox_create_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, CREATE_NAME, "queue name");
	char	   *target = outbox_needed_text_arg(fcinfo, CREATE_TARGET, "target");
	const OutboxTargetInfo *info;

	PreventCommandIfReadOnly("outbox_create_queue()");
	check_name("queue name", name);
	info = check_target(target, outbox_text_arg(fcinfo, CREATE_FORMAT));
	if (!PG_ARGISNULL(CREATE_MAXLEN))
		check_maxlen(info, PG_GETARG_INT64(CREATE_MAXLEN));
	if (!PG_ARGISNULL(CREATE_REDIS_KEY))
		check_redis_key(outbox_text_arg(fcinfo, CREATE_REDIS_KEY));
	check_new_policy(fcinfo);
	check_options(info->target, options_arg(fcinfo, CREATE_OPTIONS));
	outbox_need_arg(fcinfo, CREATE_CONSUMER_RETRY, "consumer_retry");
	if (PG_GETARG_BOOL(CREATE_CONSUMER_RETRY))
		check_consumer_retry(name, info, PG_ARGISNULL(CREATE_REDIS_KEY) ? name :
							 outbox_text_arg(fcinfo, CREATE_REDIS_KEY),
							 strcmp(outbox_text_arg(fcinfo, CREATE_POLICY + POLICY_ON_FAILURE),
									"block") == 0);
	if (outbox_queue_find(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name)));
	insert_queue(fcinfo, info);
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
 * consumer_retry)
 */
Datum
outbox_alter_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, ALTER_NAME, "queue name");
	const OutboxQueue *queue;
	Oid			types[ALTER_ARGS] = {TEXTOID};
	Datum		values[ALTER_ARGS];
	char		nulls[ALTER_ARGS];

	PreventCommandIfReadOnly("outbox_alter_queue()");
	queue = outbox_queue_find_or_error(name);
	check_policy(fcinfo, ALTER_POLICY);
	if (!PG_ARGISNULL(ALTER_MAXLEN) && PG_GETARG_INT64(ALTER_MAXLEN) != 0)
		check_maxlen(&outbox_targets[queue->target],
					 PG_GETARG_INT64(ALTER_MAXLEN));

	if (!PG_ARGISNULL(ALTER_OPTIONS))
		check_options(queue->target, options_arg(fcinfo, ALTER_OPTIONS));
	if (PG_ARGISNULL(ALTER_CONSUMER_RETRY) ? queue->consumer_retry :
		PG_GETARG_BOOL(ALTER_CONSUMER_RETRY))
		check_consumer_retry(name, &outbox_targets[queue->target], pstrdup(queue->redis_key),
							 PG_ARGISNULL(ALTER_POLICY + POLICY_ON_FAILURE) ?
							 queue->on_failure == OUTBOX_BLOCK :
							 strcmp(outbox_text_arg(fcinfo, ALTER_POLICY + POLICY_ON_FAILURE),
									"block") == 0);

	memcpy(types + ALTER_POLICY, policy_types, sizeof(policy_types));
	types[ALTER_MAXLEN] = INT8OID;
	types[ALTER_OPTIONS] = JSONBOID;
	types[ALTER_CONSUMER_RETRY] = BOOLOID;
	get_args(fcinfo, ALTER_ARGS, values, nulls);
	if (execute("UPDATE outbox.queue SET"
				" on_failure = coalesce($2, on_failure),"
				" max_attempts = coalesce($3, max_attempts),"
				" retry_delay = coalesce($4, retry_delay),"
				" retry_backoff = coalesce($5, retry_backoff),"
				" retry_max_delay = coalesce($6, retry_max_delay),"
				" expires_after = nullif(coalesce($7, expires_after), '0'),"
				" maxlen = nullif(coalesce($8, maxlen), 0),"
				" options = nullif(coalesce($9, options), '{}'),"
				" consumer_retry = coalesce($10, consumer_retry)"
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
