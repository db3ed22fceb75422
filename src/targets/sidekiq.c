/*-------------------------------------------------------------------------
 *
 * sidekiq.c
 *	  A message as a job of Sidekiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What Sidekiq's client writes (https://github.com/sidekiq/sidekiq/wiki/Job-Format):
 *
 *		SADD queues <queue>
 *		LPUSH queue:<queue> {"class":...,"args":[...],"retry":true,...,"queue":"<queue>",
 *			"jid":...,"created_at":...,"enqueued_at":...}
 *
 * Every Sidekiq understands times in seconds with a fraction, but only 8 and later
 * understand milliseconds.  Without "retry" a job that fails before its class is
 * found would not be tried again, so it is always there.
 *
 * What Sidekiq's middleware hands from a client to a server are members of the
 * job, so headers become members, too.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/sidekiq.h"

enum
{
	CLASS,
	ARGS,
	RETRY,
	BACKTRACE,
	DEAD,
	RETRY_FOR,
	RETRY_QUEUE,
	TAGS,
	WRAPPED,
	MEMBERS
};

static const OutboxDescription description = {
	MEMBERS,
	{
		[CLASS] = {"class", OUTBOX_MEMBER_NAME, true},
		[ARGS] = {"args", OUTBOX_MEMBER_ARRAY},
		[RETRY] = {"retry", OUTBOX_MEMBER_FLAG_OR_COUNT},
		[BACKTRACE] = {"backtrace", OUTBOX_MEMBER_FLAG_OR_COUNT},
		[DEAD] = {"dead", OUTBOX_MEMBER_FLAG},
		[RETRY_FOR] = {"retry_for", OUTBOX_MEMBER_COUNT},
		[RETRY_QUEUE] = {"retry_queue", OUTBOX_MEMBER_NAME},
		[TAGS] = {"tags", OUTBOX_MEMBER_NAMES},
		[WRAPPED] = {"wrapped", OUTBOX_MEMBER_NAME}
	}
};

static const char *const reserved_headers[] = {
	"at", "bid", "cattr", "created_at", "display_class", "encrypt", "enqueued_at",
	"error_backtrace", "error_class", "error_message", "expires_in", "failed_at",
	"jid", "log_level", "profile", "queue", "retried_at", "retry_count", "unique_for",
	"unique_token", "unique_until",
	NULL
};

static void
encode(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg,
	   const OutboxBytes *values)
{
	OutboxBytes key = {queue->redis_key, strlen(queue->redis_key)};
	int64		ms = outbox_unix_us(args->now) / 1000;
	char		id[OUTBOX_UUID_TEXT_LEN + 1];
	StringInfoData job;
	char	   *list = psprintf("queue:%s", queue->redis_key);

	initStringInfo(&job);
	appendStringInfoString(&job, "{\"class\":");
	outbox_append_bytes(&job, values[CLASS]);
	appendStringInfoString(&job, ",\"args\":");
	outbox_append_bytes(&job, values[ARGS].data != NULL ? values[ARGS] :
						(OutboxBytes) {"[]", 2});
	appendStringInfoString(&job, ",\"retry\":");
	outbox_append_bytes(&job, values[RETRY].data != NULL ? values[RETRY] :
						(OutboxBytes) {"true", 4});
	for (int i = RETRY + 1; i < MEMBERS; i++)
		if (values[i].data != NULL)
		{
			appendStringInfo(&job, ",\"%s\":", description.members[i].name);
			outbox_append_bytes(&job, values[i]);
		}
	appendStringInfoString(&job, ",\"queue\":");
	outbox_append_json_string(&job, key);
	outbox_uuid_text(&msg->id, id);
	appendStringInfo(&job, ",\"jid\":\"%s\",\"created_at\":" INT64_FORMAT ".%03d,"
					 "\"enqueued_at\":" INT64_FORMAT ".%03d", id,
					 ms / 1000, (int) (ms % 1000), ms / 1000, (int) (ms % 1000));
	outbox_append_members(&job, outbox_headers_json(msg));
	appendStringInfoChar(&job, '}');

	outbox_add_number(args, 3);
	outbox_add_arg(args, "SADD", 4);
	outbox_add_arg(args, "queues", 6);
	outbox_add_arg(args, key.data, key.len);
	outbox_add_number(args, 3);
	outbox_add_arg(args, "LPUSH", 5);
	outbox_add_arg(args, list, strlen(list));
	outbox_add_arg(args, job.data, job.len);
}

const OutboxJobSystem outbox_sidekiq_system = {
	.what = "a job of Sidekiq",
	.hint = "For example {\"class\": \"Billing::InvoiceJob\", \"args\": [1, \"two\"], \"retry\": 5}; other members are backtrace, dead, retry_for, retry_queue, tags and wrapped, as in a job's own options.",
	.description = &description,
	.reserved_headers = reserved_headers,
	.encode = encode
};
