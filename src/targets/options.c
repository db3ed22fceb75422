/*-------------------------------------------------------------------------
 *
 * options.c
 *	  What a target can be told beyond the message itself.
 *
 * Design notes
 *
 * Like all that can be refused, options are checked where somebody can be
 * told.  A message is staged with all that its task will have, its queue's
 * options included, in seconds: so the relay has no defaults to look up, and
 * altering a queue's options changes the messages to come, not those that are
 * on their way.
 *
 * The lock of a unique task of asynq is named after the type and the MD5 of
 * the payload, as its own client does it, or after a key of the caller's.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/options.h"

#include <math.h>

#include "common/md5.h"
#include "convert.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "queue/queue.h"
#include "targets/commands.h"
#include "targets/message_args.h"
#include "targets/stream.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MD5_HEX_LEN 32

/* so that unix time plus any of them is a number that Redis takes for one */
#define LONGEST_SECONDS		(INT64CONST(1000) * 366 * 24 * 3600)

/* what the relay takes for a time since 1970, it must get here */
#define LATEST_SECONDS		(2 * LONGEST_SECONDS)
#define LATEST_TIME \
	(LATEST_SECONDS * USECS_PER_SEC - \
	 OUTBOX_EPOCH_US)

/* what asynq gives a task that has neither timeout nor deadline */
#define DEFAULT_TIMEOUT		1800
#define DEFAULT_MAX_RETRY	25

/* options of asynq */
enum
{
	TASK_MAX_RETRY,
	TASK_TIMEOUT,
	TASK_DEADLINE,
	TASK_RETENTION,
	TASK_UNIQUE_TTL,
	TASK_UNIQUE_KEY,
	TASK_GROUP,
	TASK_PROCESS_AT,			/* not for callers: delay and deliver_at say so */
	TASK_OPTIONS
};

static const char *const task_options[TASK_OPTIONS] = {
	[TASK_MAX_RETRY] = "max_retry",
	[TASK_TIMEOUT] = "timeout",
	[TASK_DEADLINE] = "deadline",
	[TASK_RETENTION] = "retention",
	[TASK_UNIQUE_TTL] = "unique_ttl",
	[TASK_UNIQUE_KEY] = "unique_key",
	[TASK_GROUP] = "group",
	[TASK_PROCESS_AT] = "process_at"
};

static void
option_error(const char *name, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be %s", name, what),
			 errhint("%s", hint)));
}

static int64
number_option(const char *name, const JsonbValue *v, int64 max)
{
	double		n = -1;

	if (v->type == jbvNumeric)
		n = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											   NumericGetDatum(v->val.numeric)));
	if (!(n >= 0 && n <= (double) max) || n != floor(n))
		option_error(name, "a whole number", psprintf("It may be from 0 to " INT64_FORMAT ".", max));
	return (int64) n;
}

static char *
string_value(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/*
 * A time that something takes, in seconds: a number of them or an interval.
 */
static int64
seconds_option(const char *name, const JsonbValue *v)
{
	Datum		interval;
	int64		us;

	if (v->type == jbvNumeric)
		return number_option(name, v, LONGEST_SECONDS);
	if (v->type != jbvString)
		option_error(name, "a number of seconds or an interval", "For example 30 or \"10 minutes\".");
	interval = DirectFunctionCall3(interval_in, CStringGetDatum(string_value(v)),
								   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	us = outbox_interval_us(DatumGetIntervalP(interval));
	if (us < 0 || us > LONGEST_SECONDS * USECS_PER_SEC)
		option_error(name, "a time from now on", "For example 30 or \"10 minutes\".");
	return (us + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

/*
 * Seconds since 1970, not after the time: a deadline.  (When a task is due is
 * not before its time; asynq's client cuts the fraction off of both.)
 */
static int64
deadline_option(const char *name, const JsonbValue *v)
{
	TimestampTz t;

	if (v->type == jbvNumeric)
		return number_option(name, v, LATEST_SECONDS);
	if (v->type != jbvString)
		option_error(name, "a point in time", "It is a timestamp, or seconds since 1970.");
	t = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												CStringGetDatum(string_value(v)),
												ObjectIdGetDatum(InvalidOid),
												Int32GetDatum(-1)));
	if (!TIMESTAMP_NOT_FINITE(t) && t > LATEST_TIME)
		option_error(name, "a point in time before the year 3974", "Leave the option out for none.");
	if (TIMESTAMP_NOT_FINITE(t) || outbox_unix_us(t) < USECS_PER_SEC)
		option_error(name, "a point in time after 1970", "It is a timestamp, or seconds since 1970.");
	return outbox_unix_us(t) / USECS_PER_SEC;
}

/*
 * Redis gets it as UTF-8.  What has none is an error of the conversion's.
 */
static void
check_utf8(OutboxBytes bytes)
{
	outbox_check_utf8(bytes.data, bytes.len);
}

static OutboxBytes
text_value(const char *name, const JsonbValue *v)
{
	OutboxBytes bytes = {NULL, 0};
	bool		blank = true;

	if (v->type == jbvString)
	{
		bytes = (OutboxBytes) {v->val.string.val, v->val.string.len};
		for (size_t i = 0; i < bytes.len; i++)
			blank &= isspace((unsigned char) bytes.data[i]) != 0;
		check_utf8(bytes);
	}
	if (blank)
		option_error(name, "a string that is not blank", "Leave the option out for none.");
	return bytes;
}

/*
 * Take the options of a task that are there.
 */
static void
take_task_option(int option, const JsonbValue *v, OutboxTaskOptions *task)
{
	const char *name = task_options[option];

	switch (option)
	{
		case TASK_MAX_RETRY:
			task->max_retry = number_option(name, v, PG_INT32_MAX);
			break;
		case TASK_TIMEOUT:
			task->timeout = seconds_option(name, v);
			break;
		case TASK_DEADLINE:
			task->deadline = deadline_option(name, v);
			break;
		case TASK_RETENTION:
			task->retention = seconds_option(name, v);
			break;
		case TASK_UNIQUE_TTL:
			task->unique_ttl = seconds_option(name, v);
			break;
		case TASK_UNIQUE_KEY:
			task->unique_key = text_value(name, v);
			break;
		case TASK_GROUP:
			task->group = text_value(name, v);
			break;
	}
}

static int
find_task_option(const JsonbValue *name, int noptions)
{
	for (int i = 0; i < noptions; i++)
		if (strlen(task_options[i]) == name->val.string.len &&
			memcmp(task_options[i], name->val.string.val, name->val.string.len) == 0)
			return i;
	return -1;
}

/*
 * Take the options of a task out of an object, of those that are known.
 */
static void
take_task_options(const struct varlena *options, OutboxTaskOptions *task)
{
	Jsonb	   *jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	v;
	int			option = -1;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			option = find_task_option(&v, TASK_PROCESS_AT);
			if (option < 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("target \"asynq\" has no option \"%s\"", string_value(&v)),
						 errhint("Options are max_retry, timeout, deadline, retention, unique_ttl, unique_key and group.")));
		}
		else if (token == WJB_VALUE)
			take_task_option(option, &v, task);
	}
}

static void
check_is_object(const struct varlena *options)
{
	Jsonb	   *jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be an object"),
				 errhint("For example options => '{\"max_retry\": 10}'.")));
}

static bool
is_empty(const struct varlena *options)
{
	return options == NULL ||
		JB_ROOT_COUNT((Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options))) == 0;
}

OutboxBytes
outbox_text_option(const struct varlena *options, const char *name)
{
	OutboxBytes none = {NULL, 0};
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};
	JsonbValue *v;

	if (options == NULL)
		return none;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	v = findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key);
	if (v == NULL || v->type != jbvString)
		return none;
	return (OutboxBytes) {v->val.string.val, v->val.string.len};
}

/*
 * The one member that the target must have, and no other.
 */
static void
check_only_option(const struct varlena *options, const char *target,
				  const char *name)
{
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	jsonb = is_empty(options) ? NULL :
		(Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	if (jsonb == NULL || JB_ROOT_COUNT(jsonb) != 1 ||
		findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" needs the option \"%s\", and no other", target, name),
				 errhint("For example options => '{\"%s\": %s}'.", name,
						 strcmp(name, "commands") == 0 ?
						 "[[\"LPUSH\", \"{redis_key}\", \"{payload}\"]]" :
						 "\"redis.call(''LPUSH'', key, payload)\"")));
}

static void
no_options(OutboxTarget target, const char *of)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s of target \"%s\" have no options", of, outbox_targets[target].name),
			 errhint("Leave the options out.")));
}

void
outbox_check_queue_options(OutboxTarget target, const struct varlena *options)
{
	OutboxTaskOptions task = {0};
	const char *error;
	const char *hint;

	if (options != NULL)
		check_is_object(options);
	switch (target)
	{
		case OUTBOX_TARGET_ASYNQ:
			if (options != NULL)
				take_task_options(options, &task);
			if (task.deadline != 0 || task.unique_key.len > 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("option \"%s\" is for messages, not for queues",
								task.deadline != 0 ? "deadline" : "unique_key")));
			break;
		case OUTBOX_TARGET_COMMANDS:
			check_only_option(options, "commands", "commands");
			if (outbox_template_compile(options, &error, &hint) == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s", error),
						 hint != NULL ? errhint("%s", hint) : 0));
			break;
		case OUTBOX_TARGET_FUNCTION:
			check_only_option(options, "function", "function");
			if (outbox_text_option(options, "function").len == 0)
				option_error("function", "a string that is not empty",
							 "It is the source of a Lua function's body.");
			check_utf8(outbox_text_option(options, "function"));
			break;
		default:
			if (!is_empty(options))
				no_options(target, "queues");
			break;
	}
}

/*
 * What a unique task's lock is called, behind its type.
 */
static OutboxBytes
payload_key(const OutboxMessage *msg)
{
	char	   *hex = palloc(MD5_HEX_LEN + 1);
	const char *error = NULL;

	if (!pg_md5_hash(VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload),
					 hex, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute %s hash: %s", "MD5", error),
				 errhint("Say what is unique with the option \"unique_key\".")));
	return (OutboxBytes) {hex, MD5_HEX_LEN};
}

static void
append_number(StringInfo out, int option, int64 value)
{
	appendStringInfo(out, "%s\"%s\":" INT64_FORMAT, out->len > 1 ? "," : "",
					 task_options[option], value);
}

static void
append_text(StringInfo out, int option, OutboxBytes value)
{
	appendStringInfo(out, "%s\"%s\":", out->len > 1 ? "," : "", task_options[option]);
	escape_json(out, pnstrdup(value.data, value.len));
}

static struct varlena *
task_jsonb(const OutboxTaskOptions *task)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	if (task->max_retry != DEFAULT_MAX_RETRY)
		append_number(&out, TASK_MAX_RETRY, task->max_retry);
	if (task->timeout != 0)
		append_number(&out, TASK_TIMEOUT, task->timeout);
	if (task->deadline != 0)
		append_number(&out, TASK_DEADLINE, task->deadline);
	if (task->retention != 0)
		append_number(&out, TASK_RETENTION, task->retention);
	if (task->unique_ttl != 0)
	{
		append_number(&out, TASK_UNIQUE_TTL, task->unique_ttl);
		append_text(&out, TASK_UNIQUE_KEY, task->unique_key);
	}
	if (task->group.len > 0)
		append_text(&out, TASK_GROUP, task->group);
	if (task->process_at != 0)
		append_number(&out, TASK_PROCESS_AT, task->process_at);
	appendStringInfoChar(&out, '}');
	if (out.len == 2)
		return NULL;
	return (struct varlena *)
		DatumGetPointer(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}

static void
check_task_type(const OutboxMessage *msg)
{
	bool		blank = true;

	if (msg->type != NULL)
		for (size_t i = 0; i < VARSIZE_ANY_EXHDR(msg->type); i++)
			blank &= isspace((unsigned char) VARDATA_ANY(msg->type)[i]) != 0;
	if (blank)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of target \"asynq\" needs a type"),
				 errhint("It is the task's type, for example type => 'email:welcome'.")));
}

static struct varlena *
complete_task_options(const OutboxQueue *queue, const OutboxMessage *msg,
					  const struct varlena *given, TimestampTz due)
{
	OutboxTaskOptions task = {.max_retry = DEFAULT_MAX_RETRY};

	check_task_type(msg);
	if (queue->options != NULL)
		take_task_options(queue->options, &task);
	if (given != NULL)
	{
		check_is_object(given);
		take_task_options(given, &task);
	}
	if (task.unique_key.len > 0 && task.unique_ttl == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"unique_key\" needs the option \"unique_ttl\""),
				 errhint("It says how long the task's lock lives, if the task isn't done before.")));
	if (task.unique_ttl > 0 && task.unique_key.len == 0)
		task.unique_key = payload_key(msg);
	if (due > LATEST_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of target \"asynq\" must be due before the year 3974")));
	if (due != 0)
		task.process_at = (outbox_unix_us(due) + USECS_PER_SEC - 1) / USECS_PER_SEC;
	return task_jsonb(&task);
}

static void
check_metadata(const OutboxMessage *msg)
{
	OutboxBytes name = {OUTBOX_WATERMILL_UUID, strlen(OUTBOX_WATERMILL_UUID)};

	if (outbox_header(msg, name).data != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is reserved for the message's id", OUTBOX_WATERMILL_UUID)));
}

/*
 * The options that a message is staged with.
 */
struct varlena *
outbox_message_options(const OutboxQueue *queue, const OutboxMessage *msg,
					   const struct varlena *given, TimestampTz due)
{
	if (queue->target == OUTBOX_TARGET_ASYNQ)
		return complete_task_options(queue, msg, given, due);
	if (given != NULL)
		check_is_object(given);
	if (!is_empty(given))
		no_options(queue->target, "messages");
	if (queue->target == OUTBOX_TARGET_WATERMILL)
		check_metadata(msg);
	return NULL;
}

static int64 *
task_number(OutboxTaskOptions *task, int option)
{
	switch (option)
	{
		case TASK_MAX_RETRY:
			return &task->max_retry;
		case TASK_TIMEOUT:
			return &task->timeout;
		case TASK_DEADLINE:
			return &task->deadline;
		case TASK_RETENTION:
			return &task->retention;
		case TASK_UNIQUE_TTL:
			return &task->unique_ttl;
		case TASK_PROCESS_AT:
			return &task->process_at;
	}
	return NULL;
}

/*
 * What a message was staged with.  It was checked then; a row that somebody has
 * written by other means must not stop the relay, so what can't be is left out.
 */
void
outbox_read_task_options(const struct varlena *options, OutboxTaskOptions *task)
{
	Jsonb	   *jsonb = options == NULL ? NULL :
		(Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int			option = -1;

	memset(task, 0, sizeof(OutboxTaskOptions));
	task->max_retry = DEFAULT_MAX_RETRY;
	it = jsonb != NULL && JB_ROOT_IS_OBJECT(jsonb) ? JsonbIteratorInit(&jsonb->root) : NULL;
	while (it != NULL && (token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		int64	   *number;

		if (token == WJB_KEY)
			option = find_task_option(&v, TASK_OPTIONS);
		if (token != WJB_VALUE)
			continue;
		number = task_number(task, option);
		if (number != NULL && v.type == jbvNumeric)
		{
			double		n = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
															   NumericGetDatum(v.val.numeric)));

			*number = (int64) Max(Min(n, (double) LATEST_SECONDS), 0);
		}
		else if (v.type == jbvString && option == TASK_UNIQUE_KEY)
			task->unique_key = (OutboxBytes) {v.val.string.val, v.val.string.len};
		else if (v.type == jbvString && option == TASK_GROUP)
			task->group = (OutboxBytes) {v.val.string.val, v.val.string.len};
	}
	task->max_retry = Min(task->max_retry, PG_INT32_MAX);
	if (task->timeout == 0 && task->deadline == 0)
		task->timeout = DEFAULT_TIMEOUT;
}
