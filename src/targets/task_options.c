/*-------------------------------------------------------------------------
 *
 * task_options.c
 *	  The options of asynq's tasks.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message is staged with all options of its task, the queue's included, in
 * seconds.  So the relay has no defaults to look up, and a change of a queue's
 * options concerns later messages only.
 *
 * One table has every option; the options are read and printed by going
 * through it.  Callers are read strictly: a mistake is an error.  The relay
 * reads tolerantly: a row that somebody has written by hand must not stop it,
 * so values of the wrong type are passed over and numbers are cut off.
 *
 * The lock of a unique task is named after the type and the MD5 of the
 * payload, as asynq's own client names it, or after the caller's key.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/task_options.h"

#include <math.h>

#include "common/md5.h"
#include "queue/queue.h"
#include "targets/json_text.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MD5_HEX_LEN 32

/* the sum of unix time and any duration is a time that Redis accepts */
#define LONGEST_SECONDS		(INT64CONST(1000) * 366 * 24 * 3600)

/* the relay accepts no later time since 1970, so callers may not give one */
#define LATEST_SECONDS		(2 * LONGEST_SECONDS)
#define LATEST_TIME \
	(LATEST_SECONDS * USECS_PER_SEC - \
	 OUTBOX_EPOCH_US)

/* asynq's default for a task that has neither timeout nor deadline */
#define DEFAULT_TIMEOUT		1800

static const OutboxTaskOptions defaults = {.max_retry = 25};

typedef enum OptionKind
{
	OPTION_COUNT,
	OPTION_SECONDS,				/* a duration */
	OPTION_TIME,				/* seconds since 1970 */
	OPTION_STAGED_TIME,			/* the same, and callers cannot give it */
	OPTION_TEXT
} OptionKind;

typedef struct TaskOption
{
	const char *name;
	OptionKind	kind;
	size_t		member;			/* its place in OutboxTaskOptions */
	int64		max;			/* of numbers */
} TaskOption;

#define OPTION(name, kind, max) \
	{#name, kind, offsetof(OutboxTaskOptions, name), max}

static const TaskOption task_options[] = {
	OPTION(max_retry, OPTION_COUNT, PG_INT32_MAX),
	OPTION(timeout, OPTION_SECONDS, LONGEST_SECONDS),
	OPTION(deadline, OPTION_TIME, LATEST_SECONDS),
	OPTION(retention, OPTION_SECONDS, LONGEST_SECONDS),
	OPTION(unique_ttl, OPTION_SECONDS, LONGEST_SECONDS),
	OPTION(unique_key, OPTION_TEXT, 0),
	OPTION(group, OPTION_TEXT, 0),
	OPTION(message_id, OPTION_TEXT, 0),
	/* delay and deliver_at set it */
	OPTION(process_at, OPTION_STAGED_TIME, LATEST_SECONDS)
};

static int64 *
number_member(const TaskOption *option, OutboxTaskOptions *task)
{
	return (int64 *) ((char *) task + option->member);
}

static OutboxBytes *
text_member(const TaskOption *option, OutboxTaskOptions *task)
{
	return (OutboxBytes *) ((char *) task + option->member);
}

static void
option_error(const TaskOption *option, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be %s", option->name, what),
			 errhint("%s", hint)));
}

static char *
string_value(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static double
float_value(const JsonbValue *v)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(v->val.numeric)));
}

static int64
check_number(const TaskOption *option, const JsonbValue *v)
{
	double		n = v->type == jbvNumeric ? float_value(v) : -1;

	if (!(n >= 0 && n <= (double) option->max) || n != floor(n))
		option_error(option, "a whole number",
					 psprintf("It may be from 0 to " INT64_FORMAT ".", option->max));
	return (int64) n;
}

/*
 * A duration in seconds, given as a number of them or as an interval.
 */
static int64
check_seconds(const TaskOption *option, const JsonbValue *v)
{
	Datum		interval;
	int64		us;

	if (v->type == jbvNumeric)
		return check_number(option, v);
	if (v->type != jbvString)
		option_error(option, "a number of seconds or an interval",
					 "For example 30 or \"10 minutes\".");
	interval = DirectFunctionCall3(interval_in, CStringGetDatum(string_value(v)),
								   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	us = outbox_interval_us(DatumGetIntervalP(interval));
	if (us < 0 || us > option->max * USECS_PER_SEC)
		option_error(option, "a time from now on", "For example 30 or \"10 minutes\".");
	return (us + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

/*
 * A time in whole seconds since 1970, rounded down: a deadline is not after the
 * time that was given.  (When a task is due is rounded up.  asynq's client
 * rounds both down.)
 */
static int64
check_time(const TaskOption *option, const JsonbValue *v)
{
	TimestampTz t;

	if (v->type == jbvNumeric)
		return check_number(option, v);
	if (v->type != jbvString)
		option_error(option, "a point in time",
					 "It is a timestamp, or seconds since 1970.");
	t = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												CStringGetDatum(string_value(v)),
												ObjectIdGetDatum(InvalidOid),
												Int32GetDatum(-1)));
	if (!TIMESTAMP_NOT_FINITE(t) && t > LATEST_TIME)
		option_error(option, "a point in time before the year 3974",
					 "Leave the option out for none.");
	if (TIMESTAMP_NOT_FINITE(t) || outbox_unix_us(t) < USECS_PER_SEC)
		option_error(option, "a point in time after 1970",
					 "It is a timestamp, or seconds since 1970.");
	return outbox_unix_us(t) / USECS_PER_SEC;
}

static bool
is_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isspace((unsigned char) s[i]))
			return false;
	return true;
}

static OutboxBytes
check_text(const TaskOption *option, const JsonbValue *v)
{
	OutboxBytes bytes = {NULL, 0};

	if (v->type == jbvString)
	{
		bytes = (OutboxBytes) {v->val.string.val, v->val.string.len};
		outbox_check_utf8(bytes.data, bytes.len);
	}
	if (is_blank(bytes.data, bytes.len))
		option_error(option, "a string that is not blank",
					 "Leave the option out for none.");
	return bytes;
}

static void
set_strictly(const TaskOption *option, const JsonbValue *v, OutboxTaskOptions *task)
{
	switch (option->kind)
	{
		case OPTION_COUNT:
			*number_member(option, task) = check_number(option, v);
			break;
		case OPTION_SECONDS:
			*number_member(option, task) = check_seconds(option, v);
			break;
		case OPTION_TIME:
		case OPTION_STAGED_TIME:
			*number_member(option, task) = check_time(option, v);
			break;
		case OPTION_TEXT:
			*text_member(option, task) = check_text(option, v);
			break;
	}
}

static void
set_tolerantly(const TaskOption *option, const JsonbValue *v, OutboxTaskOptions *task)
{
	if (option->kind == OPTION_TEXT && v->type == jbvString)
		*text_member(option, task) =
			(OutboxBytes) {v->val.string.val, v->val.string.len};
	else if (option->kind != OPTION_TEXT && v->type == jbvNumeric)
		*number_member(option, task) =
			(int64) Max(Min(float_value(v), (double) option->max), 0);
}

/*
 * Returns the option with this name, or NULL.  If strict, a name that is not
 * one of the options that callers can give is an error.
 */
static const TaskOption *
find_option(const JsonbValue *name, bool strict)
{
	for (int i = 0; i < lengthof(task_options); i++)
	{
		const TaskOption *option = &task_options[i];

		if (strlen(option->name) == name->val.string.len &&
			memcmp(option->name, name->val.string.val, name->val.string.len) == 0 &&
			!(strict && option->kind == OPTION_STAGED_TIME))
			return option;
	}
	if (strict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"asynq\" has no option \"%s\"", string_value(name)),
				 errhint("Options are max_retry, timeout, deadline, retention, unique_ttl, unique_key, group and message_id.")));
	return NULL;
}

/*
 * Set the options that an object has, and leave the others as they are.
 */
static void
read_options(const struct varlena *options, bool strict, OutboxTaskOptions *task)
{
	const TaskOption *option = NULL;
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (options == NULL)
		return;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	if (!JB_ROOT_IS_OBJECT(jsonb))
		return;
	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			option = find_option(&v, strict);
		else if (token == WJB_VALUE && option != NULL && strict)
			set_strictly(option, &v, task);
		else if (token == WJB_VALUE && option != NULL)
			set_tolerantly(option, &v, task);
	}
}

/*
 * Append an option unless it has its default.
 */
static void
print_option(StringInfo out, const TaskOption *option, OutboxTaskOptions *task)
{
	const char *comma = out->len > 1 ? "," : "";

	if (option->kind == OPTION_TEXT)
	{
		OutboxBytes *text = text_member(option, task);

		if (text->len == 0)
			return;
		appendStringInfo(out, "%s\"%s\":", comma, option->name);
		outbox_append_json_string(out, *text);
	}
	else
	{
		OutboxTaskOptions other = defaults;
		int64		number = *number_member(option, task);

		if (number != *number_member(option, &other))
			appendStringInfo(out, "%s\"%s\":" INT64_FORMAT, comma, option->name, number);
	}
}

static struct varlena *
options_jsonb(OutboxTaskOptions *task)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < lengthof(task_options); i++)
		print_option(&out, &task_options[i], task);
	appendStringInfoChar(&out, '}');
	if (out.len == 2)
		return NULL;
	return (struct varlena *)
		DatumGetPointer(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}

void
outbox_check_task_defaults(const struct varlena *options)
{
	OutboxTaskOptions task = {0};

	read_options(options, true, &task);
	if (task.deadline != 0 || task.unique_key.len > 0 || task.message_id.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is for messages, not for queues",
						task.deadline != 0 ? "deadline" :
						task.unique_key.len > 0 ? "unique_key" : "message_id")));
}

static void
check_type(const OutboxMessage *msg)
{
	if (msg->type == NULL ||
		is_blank(VARDATA_ANY(msg->type), VARSIZE_ANY_EXHDR(msg->type)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of target \"asynq\" needs a type"),
				 errhint("It is the task's type, for example type => 'email:welcome'.")));
}

/*
 * What identifies a unique task if the caller has given no key.
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

struct varlena *
outbox_complete_task_options(const OutboxQueue *queue, const OutboxMessage *msg,
							 const struct varlena *given, TimestampTz due)
{
	OutboxTaskOptions task = defaults;

	check_type(msg);
	read_options(queue->options, true, &task);
	read_options(given, true, &task);
	if (task.unique_key.len > 0 && task.unique_ttl == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"unique_key\" needs the option \"unique_ttl\""),
				 errhint("It says how long the task's lock lives, if the task is not done before.")));
	/* asynq's lock of a task without payload has no key */
	if (task.unique_ttl > 0 && task.unique_key.len == 0 && msg->payload != NULL)
		task.unique_key = payload_key(msg);
	if (due > LATEST_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of target \"asynq\" must be due before the year 3974")));
	if (due != 0)
		task.process_at = (outbox_unix_us(due) + USECS_PER_SEC - 1) / USECS_PER_SEC;
	return options_jsonb(&task);
}

void
outbox_read_task_options(const struct varlena *options, OutboxTaskOptions *task)
{
	*task = defaults;
	read_options(options, false, task);
	if (task->timeout == 0 && task->deadline == 0)
		task->timeout = DEFAULT_TIMEOUT;
}
