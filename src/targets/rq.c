/*-------------------------------------------------------------------------
 *
 * rq.c
 *	  A message as a job of RQ.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What RQ's client writes (rq/job.py and rq/queue.py of RQ), for a worker with
 * RQ's JSON serializer; its data is then [function, null, args, kwargs]:
 *
 *		SADD rq:queues rq:queue:<queue>
 *		HSET rq:job:<id> data ... origin <queue> status queued created_at ... enqueued_at
 *			..., and those of timeout, result_ttl, ... that the description has
 *		RPUSH rq:queue:<queue> <id>
 *
 * RQ compresses the data; a worker reads it as it is, too.  The id is pushed when
 * its hash is there: a worker passes over an id that has none.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/rq.h"

#include "targets/iso_time.h"

enum
{
	FUNC,
	ARGS,
	KWARGS,
	DESCRIPTION,
	/* fields of the hash */
	TIMEOUT,
	RESULT_TTL,
	FAILURE_TTL,
	RETRIES_LEFT,
	RETRY_INTERVALS,
	META,
	MEMBERS
};

static const OutboxDescription description = {
	MEMBERS,
	{
		[FUNC] = {"func", OUTBOX_MEMBER_NAME, true},
		[ARGS] = {"args", OUTBOX_MEMBER_ARRAY},
		[KWARGS] = {"kwargs", OUTBOX_MEMBER_OBJECT},
		[DESCRIPTION] = {"description", OUTBOX_MEMBER_TEXT},
		[TIMEOUT] = {"timeout", OUTBOX_MEMBER_TTL},
		[RESULT_TTL] = {"result_ttl", OUTBOX_MEMBER_TTL},
		[FAILURE_TTL] = {"failure_ttl", OUTBOX_MEMBER_TTL},
		[RETRIES_LEFT] = {"retries_left", OUTBOX_MEMBER_COUNT},
		[RETRY_INTERVALS] = {"retry_intervals", OUTBOX_MEMBER_COUNTS},
		[META] = {"meta", OUTBOX_MEMBER_OBJECT}
	}
};

static void
add_string(OutboxArgs *args, const char *s)
{
	outbox_add_arg(args, s, strlen(s));
}

static void
add_field(OutboxArgs *args, const char *name, OutboxBytes value)
{
	add_string(args, name);
	outbox_add_arg(args, value.data, value.len);
}

static OutboxBytes
job_data(const OutboxBytes *values)
{
	StringInfoData data;

	initStringInfo(&data);
	appendStringInfoChar(&data, '[');
	outbox_append_bytes(&data, values[FUNC]);
	appendStringInfoString(&data, ", null, ");
	outbox_append_bytes(&data, values[ARGS].data != NULL ? values[ARGS] :
						(OutboxBytes) {"[]", 2});
	appendStringInfoString(&data, ", ");
	outbox_append_bytes(&data, values[KWARGS].data != NULL ? values[KWARGS] :
						(OutboxBytes) {"{}", 2});
	appendStringInfoChar(&data, ']');
	return (OutboxBytes) {data.data, data.len};
}

static void
add_hash(OutboxArgs *args, const OutboxQueue *queue, const char *key,
		 const OutboxBytes *values)
{
	OutboxBytes queue_name = {queue->redis_key, strlen(queue->redis_key)};
	OutboxBytes queued = {"queued", 6};
	OutboxBytes now;
	StringInfoData time;
	int			nfields = 5;

	initStringInfo(&time);
	outbox_append_iso_time(&time, outbox_unix_us(args->now));
	appendStringInfoChar(&time, 'Z');
	now = (OutboxBytes) {time.data, time.len};
	for (int i = DESCRIPTION; i < MEMBERS; i++)
		nfields += values[i].data != NULL;

	outbox_add_number(args, 2 + 2 * nfields);
	add_string(args, "HSET");
	add_string(args, key);
	add_field(args, "created_at", now);
	add_field(args, "enqueued_at", now);
	add_field(args, "data", job_data(values));
	add_field(args, "origin", queue_name);
	add_field(args, "status", queued);
	if (values[DESCRIPTION].data != NULL)
		add_field(args, "description", outbox_json_string(values[DESCRIPTION]));
	for (int i = TIMEOUT; i < MEMBERS; i++)
		if (values[i].data != NULL)
			add_field(args, description.members[i].name, values[i]);
}

static void
encode(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg,
	   const OutboxBytes *values)
{
	char	   *list = psprintf("rq:queue:%s", queue->redis_key);
	char		id[OUTBOX_UUID_TEXT_LEN + 1];

	outbox_uuid_text(&msg->id, id);
	outbox_add_number(args, 3);
	add_string(args, "SADD");
	add_string(args, "rq:queues");
	add_string(args, list);
	add_hash(args, queue, psprintf("rq:job:%s", id), values);
	outbox_add_number(args, 3);
	add_string(args, "RPUSH");
	add_string(args, list);
	add_string(args, id);
}

const OutboxJobSystem outbox_rq_system = {
	.what = "a job of RQ",
	.hint = "For example {\"func\": \"proj.tasks.add\", \"args\": [1, \"two\"], \"kwargs\": {\"name\": \"value\"}}; other members are description (a string), timeout, result_ttl and failure_ttl (seconds), retries_left (a number), retry_intervals (an array of seconds) and meta (an object).",
	.description = &description,
	.headers_hint = "The job's member \"meta\" may have them.",
	.encode = encode
};
