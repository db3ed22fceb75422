/*-------------------------------------------------------------------------
 *
 * celery.c
 *	  A message as a task of Celery.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What Celery's client writes with protocol 2, through kombu's transport for
 * Redis (https://docs.celeryq.dev/en/stable/internals/protocol.html):
 *
 *		LPUSH <queue> {"body":"<base64 of [args, kwargs, callbacks]>",
 *			"content-encoding":"utf-8","content-type":"application/json",
 *			"headers":{"lang":"py","task":...,"id":...,...},
 *			"properties":{...,"delivery_info":{"exchange":"","routing_key":"<queue>"},
 *				"body_encoding":"base64","delivery_tag":...}}
 *
 * The delivery tag is kombu's key for a message that a worker has taken, so a task
 * that is sent again, on purpose, needs another one: it has the time in it.
 * With an empty exchange a worker that is shut down returns a task to its queue.
 *
 * Unless the description says otherwise ignore_result is null, and then the worker
 * takes what the task was declared with.
 *
 * A worker makes each header an attribute of the task's request.  So headers may
 * not have names that Celery gives a meaning to.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/celery.h"

#include "mb/pg_wchar.h"
#include "targets/iso_time.h"

/* of the arguments, for people who look at a worker's log; as Celery's client */
#define REPR_SIZE	1024

enum
{
	TASK,
	ARGS,
	KWARGS,
	EXPIRES,
	IGNORE_RESULT,
	SHADOW,
	SOFT_TIME_LIMIT,
	TIME_LIMIT,
	MEMBERS
};

static const OutboxDescription description = {
	MEMBERS,
	{
		[TASK] = {"task", OUTBOX_MEMBER_NAME, true},
		[ARGS] = {"args", OUTBOX_MEMBER_ARRAY},
		[KWARGS] = {"kwargs", OUTBOX_MEMBER_OBJECT},
		[EXPIRES] = {"expires", OUTBOX_MEMBER_TIME},
		[IGNORE_RESULT] = {"ignore_result", OUTBOX_MEMBER_FLAG},
		[SHADOW] = {"shadow", OUTBOX_MEMBER_TEXT},
		[SOFT_TIME_LIMIT] = {"soft_time_limit", OUTBOX_MEMBER_SECONDS},
		[TIME_LIMIT] = {"time_limit", OUTBOX_MEMBER_SECONDS}
	}
};

static const char *const reserved_headers[] = {
	"argsrepr", "callbacks", "called_directly", "chain", "chord", "compression",
	"correlation_id", "delivery_info", "errbacks", "eta", "group", "group_index",
	"headers", "hostname", "id", "is_eager", "kwargsrepr", "lang", "logfile",
	"loglevel", "meth", "origin", "parent_id", "properties", "redelivered",
	"replaced_task_nesting", "reply_to", "retries", "root_id", "stamped_headers",
	"stamps", "taskset", "timelimit", "utc",
	/* what Context, the request's class, has besides */
	"_children", "_filter_x_death_headers", "_get_custom_headers", "_protected",
	"as_execution_options", "children", "clear", "delivery_tag", "get", "update",
	NULL
};

static void
append_value(StringInfo out, OutboxBytes value, const char *otherwise)
{
	if (value.data != NULL)
		outbox_append_bytes(out, value);
	else
		appendStringInfoString(out, otherwise);
}

/*
 * The beginning of a value's text, as a string.
 */
static void
append_repr(StringInfo out, OutboxBytes value, const char *otherwise)
{
	OutboxBytes repr = {otherwise, strlen(otherwise)};

	if (value.data != NULL)
	{
		repr = value;
		repr.len = pg_encoding_mbcliplen(PG_UTF8, repr.data, (int) repr.len, REPR_SIZE);
	}
	outbox_append_json_string(out, repr);
}

static void
append_expires(StringInfo out, OutboxBytes value)
{
	int64		us;

	if (value.data == NULL ||
		!outbox_iso_time((OutboxBytes) {value.data + 1, value.len - 2}, &us))
	{
		appendStringInfoString(out, "null");
		return;
	}
	appendStringInfoChar(out, '"');
	outbox_append_iso_time(out, us);
	appendStringInfoString(out, "+00:00\"");
}

static void
append_body(StringInfo out, const OutboxBytes *values)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfoChar(&body, '[');
	append_value(&body, values[ARGS], "[]");
	appendStringInfoString(&body, ", ");
	append_value(&body, values[KWARGS], "{}");
	appendStringInfoString(&body, ", {\"callbacks\": null, \"errbacks\": null,"
						   " \"chain\": null, \"chord\": null}]");
	outbox_append_base64(out, (OutboxBytes) {body.data, body.len});
	pfree(body.data);
}

static void
append_headers(StringInfo out, const OutboxMessage *msg, const char *id,
			   const OutboxBytes *values)
{
	appendStringInfoString(out, "{\"lang\":\"py\",\"task\":");
	outbox_append_bytes(out, values[TASK]);
	appendStringInfo(out, ",\"id\":\"%s\",\"shadow\":", id);
	append_value(out, values[SHADOW], "null");
	appendStringInfoString(out, ",\"eta\":null,\"expires\":");
	append_expires(out, values[EXPIRES]);
	appendStringInfoString(out, ",\"group\":null,\"retries\":0,\"timelimit\":[");
	append_value(out, values[TIME_LIMIT], "null");
	appendStringInfoChar(out, ',');
	append_value(out, values[SOFT_TIME_LIMIT], "null");
	appendStringInfo(out, "],\"root_id\":\"%s\",\"parent_id\":null,\"argsrepr\":", id);
	append_repr(out, values[ARGS], "[]");
	appendStringInfoString(out, ",\"kwargsrepr\":");
	append_repr(out, values[KWARGS], "{}");
	appendStringInfoString(out, ",\"origin\":\"outbox\",\"ignore_result\":");
	append_value(out, values[IGNORE_RESULT], "null");
	outbox_append_members(out, outbox_headers_json(msg));
	appendStringInfoChar(out, '}');
}

static void
encode(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg,
	   const OutboxBytes *values)
{
	OutboxBytes key = {queue->redis_key, strlen(queue->redis_key)};
	char		id[OUTBOX_UUID_TEXT_LEN + 1];
	StringInfoData task;

	outbox_uuid_text(&msg->id, id);
	initStringInfo(&task);
	appendStringInfoString(&task, "{\"body\":\"");
	append_body(&task, values);
	appendStringInfoString(&task, "\",\"content-encoding\":\"utf-8\","
						   "\"content-type\":\"application/json\",\"headers\":");
	append_headers(&task, msg, id, values);
	appendStringInfo(&task, ",\"properties\":{\"correlation_id\":\"%s\",\"reply_to\":\"\","
					 "\"delivery_mode\":2,\"delivery_info\":{\"exchange\":\"\","
					 "\"routing_key\":", id);
	outbox_append_json_string(&task, key);
	appendStringInfo(&task, "},\"priority\":0,\"body_encoding\":\"base64\","
					 "\"delivery_tag\":\"%s." INT64_FORMAT "000\"}}",
					 id, outbox_unix_us(args->now));

	outbox_add_number(args, 3);
	outbox_add_arg(args, "LPUSH", 5);
	outbox_add_arg(args, key.data, key.len);
	outbox_add_arg(args, task.data, task.len);
}

const OutboxJobSystem outbox_celery_system = {
	.what = "a task of Celery",
	.hint = "For example {\"task\": \"proj.tasks.add\", \"args\": [1, \"two\"], \"kwargs\": {\"name\": \"value\"}}; other members are expires (a time with its time zone), ignore_result (true or false), shadow (a string), soft_time_limit and time_limit (seconds).",
	.description = &description,
	.reserved_headers = reserved_headers,
	.encode = encode
};
