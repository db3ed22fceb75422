/*-------------------------------------------------------------------------
 *
 * dramatiq.c
 *	  A message as a message of Dramatiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What Dramatiq's broker for Redis writes (dramatiq/brokers/redis.py), in its
 * default namespace:
 *
 *		HSET dramatiq:<queue>.msgs <id> {"queue_name":"<queue>","actor_name":...,
 *			"args":[...],"kwargs":{...},"options":{"redis_message_id":"<id>",...},
 *			"message_id":"<id>","message_timestamp":<milliseconds>}
 *		RPUSH dramatiq:<queue> <id>
 *
 * A worker acknowledges the id in the options, so that must be the hash's.  Other
 * options are those of send_with_options() and of the middleware that the workers
 * have, so an option that is not known here is sent as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/dramatiq.h"

enum
{
	ACTOR,
	ARGS,
	KWARGS,
	OPTIONS,
	MEMBERS
};

/*
 * What a worker writes itself, what is the message's, what needs more than it;
 * and "throws", which is no JSON: a worker's thread ends over one that is.
 */
static const char *const reserved_options[] = {
	"delay", "eta", "group_completion_callbacks", "group_completion_uuid", "pipe_target",
	"redis_message_id", "requeue_timestamp", "retries", "throws", "traceback",
	NULL
};

static const OutboxDescription options_description = {
	12,
	{
		{"max_age", OUTBOX_MEMBER_COUNT},
		{"max_backoff", OUTBOX_MEMBER_COUNT},
		{"max_retries", OUTBOX_MEMBER_COUNT},
		{"min_backoff", OUTBOX_MEMBER_COUNT},
		{"notify_shutdown", OUTBOX_MEMBER_FLAG},
		{"on_failure", OUTBOX_MEMBER_NAME},
		{"on_retry_exhausted", OUTBOX_MEMBER_NAME},
		{"on_success", OUTBOX_MEMBER_NAME},
		{"pipe_ignore", OUTBOX_MEMBER_FLAG},
		{"result_ttl", OUTBOX_MEMBER_COUNT},
		{"store_results", OUTBOX_MEMBER_FLAG},
		{"time_limit", OUTBOX_MEMBER_COUNT}
	},
	reserved_options
};

static const OutboxDescription description = {
	MEMBERS,
	{
		[ACTOR] = {"actor", OUTBOX_MEMBER_NAME, true},
		[ARGS] = {"args", OUTBOX_MEMBER_ARRAY},
		[KWARGS] = {"kwargs", OUTBOX_MEMBER_OBJECT},
		[OPTIONS] = {"options", OUTBOX_MEMBER_OBJECT, false, &options_description}
	}
};

static void
append_message(StringInfo out, OutboxBytes queue_name, const char *id, int64 ms,
			   const OutboxBytes *values)
{
	appendStringInfoString(out, "{\"queue_name\":");
	outbox_append_json_string(out, queue_name);
	appendStringInfoString(out, ",\"actor_name\":");
	outbox_append_bytes(out, values[ACTOR]);
	appendStringInfoString(out, ",\"args\":");
	outbox_append_bytes(out, values[ARGS].data != NULL ? values[ARGS] :
						(OutboxBytes) {"[]", 2});
	appendStringInfoString(out, ",\"kwargs\":");
	outbox_append_bytes(out, values[KWARGS].data != NULL ? values[KWARGS] :
						(OutboxBytes) {"{}", 2});
	appendStringInfo(out, ",\"options\":{\"redis_message_id\":\"%s\"", id);
	if (values[OPTIONS].data != NULL)
		outbox_append_members(out, values[OPTIONS]);
	appendStringInfo(out, "},\"message_id\":\"%s\",\"message_timestamp\":" INT64_FORMAT "}",
					 id, ms);
}

static void
encode(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg,
	   const OutboxBytes *values)
{
	OutboxBytes queue_name = {queue->redis_key, strlen(queue->redis_key)};
	char	   *list = psprintf("dramatiq:%s", queue->redis_key);
	char	   *hash = psprintf("%s.msgs", list);
	char		id[OUTBOX_UUID_TEXT_LEN + 1];
	StringInfoData message;

	outbox_uuid_text(&msg->id, id);
	initStringInfo(&message);
	append_message(&message, queue_name, id, outbox_unix_us(args->now) / 1000, values);
	outbox_add_number(args, 4);
	outbox_add_arg(args, "HSET", 4);
	outbox_add_arg(args, hash, strlen(hash));
	outbox_add_arg(args, id, OUTBOX_UUID_TEXT_LEN);
	outbox_add_arg(args, message.data, message.len);
	outbox_add_number(args, 3);
	outbox_add_arg(args, "RPUSH", 5);
	outbox_add_arg(args, list, strlen(list));
	outbox_add_arg(args, id, OUTBOX_UUID_TEXT_LEN);
}

const OutboxJobSystem outbox_dramatiq_system = {
	.what = "a message of Dramatiq",
	.hint = "For example {\"actor\": \"add\", \"args\": [1, \"two\"], \"kwargs\": {\"name\": \"value\"}, \"options\": {\"max_retries\": 5}}; options are those of send_with_options(), but for delay, throws and those of groups and pipelines.",
	.description = &description,
	.headers_hint = "The message's options may have them.",
	.encode = encode
};
