/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *	  outbox_enqueue(): check a message, stage or defer it, ask for a wake.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * This runs in the caller's transaction.  A message that cannot be sent is
 * refused here, while the caller can be told; a staged message will be sent.
 * So all text must have a form in UTF-8, sizes are limited, and headers must be
 * an object of strings.
 *
 * The payload is staged as the bytes that Redis will get, see payload.c.  Type,
 * key and headers stay in the server's encoding, to be readable in the tables.
 *
 * A delayed message is inserted into outbox.deferred, and the relay stages it
 * when it is due.  A message that is due already is staged at once.
 *
 *-------------------------------------------------------------------------
 */
#include "api/enqueue.h"

#include "access/xact.h"
#include "api/args.h"
#include "api/message_id.h"
#include "api/payload.h"
#include "catalog/pg_type.h"
#include "convert.h"
#include "fmgr.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "store/deferred.h"
#include "store/staging.h"
#include "targets/options.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "wake.h"

/*
 * A script in Redis can pass some 8000 arguments to one command, and a header
 * takes two.
 */
#define MAX_HEADERS 1000

/* arguments of outbox_enqueue() */
enum
{
	ARG_QUEUE,
	ARG_PAYLOAD,
	ARG_TYPE,
	ARG_KEY,
	ARG_HEADERS,
	ARG_ID,
	ARG_DELAY,
	ARG_DELIVER_AT,
	ARG_OPTIONS
};

PG_FUNCTION_INFO_V1(outbox_enqueue_bytea);
PG_FUNCTION_INFO_V1(outbox_enqueue_json);
PG_FUNCTION_INFO_V1(outbox_enqueue_jsonb);
PG_FUNCTION_INFO_V1(outbox_enqueue_text);

static void
headers_error(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("headers must be an object of strings"),
			 errdetail_internal("%s", detail),
			 errhint("For example headers => '{\"traceparent\": \"00-...\"}'.")));
}

void
outbox_check_headers(Jsonb *headers)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_OBJECT(headers))
		headers_error("This is not an object.");
	if (JB_ROOT_COUNT(headers) > MAX_HEADERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("message has too many headers"),
				 errdetail("It has %u, the limit is %d.",
						   JB_ROOT_COUNT(headers), MAX_HEADERS)));

	it = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && v.type != jbvString)
			headers_error("One of the values is not a string.");
		if (token == WJB_KEY || token == WJB_VALUE)
			outbox_check_utf8(v.val.string.val, v.val.string.len);
	}
}

struct varlena *
outbox_utf8_text(Datum value)
{
	text	   *t = DatumGetTextPP(value);

	(void) outbox_text_to_utf8(t);	/* an error if it has no such form */
	return t;
}

static struct varlena *
optional_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : outbox_utf8_text(PG_GETARG_DATUM(n));
}

static Size
size_of(const struct varlena *v)
{
	return v != NULL ? VARSIZE_ANY_EXHDR(v) : 0;
}

static void
check_size(const OutboxMessage *msg)
{
	Size		size = size_of(msg->payload) + size_of(msg->type) +
	size_of(msg->key) + size_of(msg->headers) + size_of(msg->options);

	if (size > (Size) outbox_max_message_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("message is too large"),
				 errdetail("It has %zu bytes, the limit is %d.",
						   size, outbox_max_message_size),
				 errhint("The limit is the setting \"outbox.max_message_size\".")));
}

/*
 * Only a task of asynq has options that nobody has given.
 */
size_t
outbox_message_room(const OutboxQueue *queue, const OutboxMessage *msg)
{
	OutboxMessage empty = {
		.payload = cstring_to_text(""),
		.type = msg->type
	};
	Size		taken = size_of(msg->type);

	if (queue->target == OUTBOX_TARGET_ASYNQ)
		taken += size_of(outbox_message_options(queue, &empty, NULL, 0));
	return taken < outbox_max_message_size ? outbox_max_message_size - taken : 0;
}

/*
 * Complete and check a message before it is staged or deferred.
 */
static void
prepare(const OutboxQueue *queue, OutboxMessage *msg, TimestampTz due, TimestampTz now)
{
	msg->queue = queue->id;
	msg->options = outbox_message_options(queue, msg, msg->options, due);
	if (msg->payload == NULL)
		msg->payload = cstring_to_text("");
	check_size(msg);
	outbox_identify_message(queue, msg, now);
}

static void
choose_partition(const OutboxQueue *queue, OutboxMessage *msg)
{
	if (queue->partitions > 1)
		msg->queue += msg->key != NULL ?
			outbox_partition_of_key(queue, msg->key) :
			outbox_partition_of_seq(queue, msg->seq);
}

/*
 * Complete and check a message, and give it all that a staged one has.
 */
static void
identify(const OutboxQueue *queue, OutboxMessage *msg, TimestampTz due)
{
	TimestampTz now = GetCurrentTimestamp();

	prepare(queue, msg, due, now);
	outbox_staging_identify(msg, now);
	choose_partition(queue, msg);
}

void
outbox_enqueue_messages(const OutboxQueue *queue, OutboxMessage *msgs, int n,
						TimestampTz due)
{
	for (int i = 0; i < n; i++)
		identify(queue, &msgs[i], due);
	/* asynq has a schedule of its own */
	if (due == 0 || queue->target == OUTBOX_TARGET_ASYNQ)
	{
		outbox_staging_add(msgs, n);
		outbox_wake_at_commit();
	}
	else
	{
		for (int i = 0; i < n; i++)
			outbox_defer(&msgs[i], OUTBOX_DELAYED, due);
		outbox_wake_when_due(due);
	}
}

void
outbox_enqueue_message(const OutboxQueue *queue, OutboxMessage *msg, TimestampTz due)
{
	outbox_enqueue_messages(queue, msg, 1, due);
}

void
outbox_check_can_enqueue(const char *function)
{
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
}

bool
outbox_takes_null(const OutboxQueue *queue)
{
	return queue->target == OUTBOX_TARGET_ASYNQ &&
		queue->payload_type == OUTBOX_PAYLOAD_BYTEA;
}

/*
 * A task of asynq may have a null.
 */
struct varlena *
outbox_payload_or_null(const OutboxQueue *queue, Oid type, Datum value, bool isnull)
{
	if (!isnull)
		return outbox_payload_bytes(queue, type, value);
	if (!outbox_takes_null(queue))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("payload must not be null"),
				 queue->payload_type == OUTBOX_PAYLOAD_JSON ?
				 errhint("JSON's null is 'null'::jsonb.") :
				 errhint("An empty payload is ''.")));
	return NULL;
}

static TimestampTz
delayed_by(Interval *delay, TimestampTz now)
{
	if (outbox_interval_us(delay) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delay must not be negative")));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(now),
												   IntervalPGetDatum(delay)));
}

static TimestampTz
due_after(TimestampTz due, TimestampTz now, const char *name)
{
	if (TIMESTAMP_NOT_FINITE(due))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", name)));
	return due > now ? due : 0;
}

TimestampTz
outbox_due_at(TimestampTz deliver_at)
{
	return due_after(deliver_at, GetCurrentTimestamp(), "deliver_at");
}

TimestampTz
outbox_due_argument(FunctionCallInfo fcinfo, int delay, int deliver_at)
{
	TimestampTz now;

	if (PG_ARGISNULL(delay) && PG_ARGISNULL(deliver_at))
		return 0;
	if (!PG_ARGISNULL(delay) && !PG_ARGISNULL(deliver_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delay and deliver_at must not both be given"),
				 errhint("Leave one of them out.")));
	if (PG_ARGISNULL(delay))
		return outbox_due_at(PG_GETARG_TIMESTAMPTZ(deliver_at));
	now = GetCurrentTimestamp();
	return due_after(delayed_by(PG_GETARG_INTERVAL_P(delay), now), now, "delay");
}

static struct varlena *
options_argument(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(ARG_OPTIONS) ? NULL :
		(struct varlena *) PG_GETARG_JSONB_P(ARG_OPTIONS);
}

static Datum
enqueue(FunctionCallInfo fcinfo, Oid type)
{
	OutboxMessage msg = {0};
	const OutboxQueue *queue;
	pg_uuid_t  *id;

	outbox_check_can_enqueue("outbox_enqueue()");
	queue = outbox_queue_use(outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue"));
	outbox_need_right(queue, GetUserId());
	msg.kind = queue->payload_type;
	msg.payload = outbox_payload_or_null(queue, type, PG_GETARG_DATUM(ARG_PAYLOAD),
										 PG_ARGISNULL(ARG_PAYLOAD));
	msg.type = optional_text(fcinfo, ARG_TYPE);
	msg.key = optional_text(fcinfo, ARG_KEY);
	if (!PG_ARGISNULL(ARG_HEADERS))
	{
		Jsonb	   *headers = PG_GETARG_JSONB_P(ARG_HEADERS);

		outbox_check_headers(headers);
		msg.headers = (struct varlena *) headers;
	}
	msg.options = options_argument(fcinfo);
	if (!PG_ARGISNULL(ARG_ID))
		msg.id = *PG_GETARG_UUID_P(ARG_ID);
	outbox_enqueue_message(queue, &msg,
						   outbox_due_argument(fcinfo, ARG_DELAY, ARG_DELIVER_AT));

	id = palloc(sizeof(pg_uuid_t));
	*id = msg.id;
	PG_RETURN_UUID_P(id);
}

Datum
outbox_enqueue_bytea(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, BYTEAOID);
}

Datum
outbox_enqueue_json(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, JSONOID);
}

Datum
outbox_enqueue_jsonb(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, JSONBOID);
}

Datum
outbox_enqueue_text(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, TEXTOID);
}
