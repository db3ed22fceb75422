/*-------------------------------------------------------------------------
 *
 * enqueue_many.c
 *	  outbox_enqueue_many(): one call for many messages of a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Payloads come as one array of jsonb, which every driver and every ORM can pass.
 * In a queue of text or bytea an element that is a string stands for its text, as
 * if outbox_enqueue() had got it; any other element, and any in a queue of json,
 * is sent as it prints.
 *
 * What may differ from message to message comes as an array with an element for
 * each; headers and options are one object for all messages, or such an array.
 *
 * Messages are staged in chunks, which costs less than one by one.  A chunk has so
 * few, and ends with so many bytes, that memory doesn't grow with their number.
 *
 *-------------------------------------------------------------------------
 */
#include "api/enqueue.h"

#include "api/args.h"
#include "api/payload.h"
#include "catalog/pg_type.h"
#include "convert.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "store/staging.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

/* a chunk ends with this many bytes of payloads */
#define CHUNK_BYTES (256 * 1024)

/* arguments of outbox_enqueue_many() */
enum
{
	ARG_QUEUE,
	ARG_PAYLOADS,
	ARG_TYPES,
	ARG_KEYS,
	ARG_HEADERS,
	ARG_IDS,
	ARG_DELAY,
	ARG_DELIVER_AT,
	ARG_OPTIONS
};

/* one value for each message, or none */
typedef struct Column
{
	Datum	   *values;			/* NULL: no array was given */
	bool	   *nulls;
} Column;

/* one object for all messages, or one for each */
typedef struct Objects
{
	Jsonb	   *all;			/* NULL: none, or one for each */
	Jsonb	   *each;			/* NULL: none, or one for all */
} Objects;

/* the arguments */
typedef struct Arguments
{
	int			n;
	Jsonb	   *payloads;
	Column		types;
	Column		keys;
	Column		ids;
	Objects		headers;
	Objects		options;
	TimestampTz due;
} Arguments;

PG_FUNCTION_INFO_V1(outbox_enqueue_many);

static void
wrong_length(const char *name, int n, int payloads)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must have an element for each payload", name),
			 errdetail("It has %d, and there are %d payloads.", n, payloads)));
}

static Column
column_argument(FunctionCallInfo fcinfo, int arg, const char *name, Oid type, int payloads)
{
	Column		column = {NULL, NULL};
	ArrayType  *array;
	int			n;

	if (PG_ARGISNULL(arg))
		return column;
	array = PG_GETARG_ARRAYTYPE_P(arg);
	if (type == TEXTOID)
		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
						  &column.values, &column.nulls, &n);
	else
		deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
						  &column.values, &column.nulls, &n);
	if (n != payloads)
		wrong_length(name, n, payloads);
	return column;
}

static Objects
objects_argument(FunctionCallInfo fcinfo, int arg, const char *name, int payloads)
{
	Objects		objects = {NULL, NULL};
	Jsonb	   *jsonb;

	if (PG_ARGISNULL(arg))
		return objects;
	jsonb = PG_GETARG_JSONB_P(arg);
	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		objects.all = jsonb;
	else if (JB_ROOT_COUNT(jsonb) != payloads)
		wrong_length(name, JB_ROOT_COUNT(jsonb), payloads);
	else
		objects.each = jsonb;
	return objects;
}

static struct varlena *
text_of(const Column *column, int i)
{
	struct varlena *text;

	if (column->values == NULL || column->nulls[i])
		return NULL;
	text = PG_DETOAST_DATUM_PACKED(column->values[i]);
	(void) outbox_text_to_utf8(text);	/* an error if it has no such form */
	return text;
}

/*
 * Returns the object of a message, or NULL if it has none.
 */
static Jsonb *
object_of(const Objects *objects, int i)
{
	JsonbValue *v;

	if (objects->each == NULL)
		return objects->all;
	v = getIthJsonbValueFromContainer(&objects->each->root, i);
	return v->type == jbvNull ? NULL : JsonbValueToJsonb(v);
}

static struct varlena *
payload_of(const OutboxQueue *queue, Jsonb *payloads, int i)
{
	JsonbValue *v = getIthJsonbValueFromContainer(&payloads->root, i);
	struct varlena *payload = outbox_payload_of_element(queue, v);

	if (payload == NULL && !outbox_takes_null(queue))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("payload must not be null"),
				 errdetail("Payload %d is null.", i + 1)));
	return payload;
}

static Jsonb *
payloads_argument(FunctionCallInfo fcinfo)
{
	Jsonb	   *payloads;

	outbox_need_arg(fcinfo, ARG_PAYLOADS, "payloads");
	payloads = PG_GETARG_JSONB_P(ARG_PAYLOADS);
	if (!JB_ROOT_IS_ARRAY(payloads) || JB_ROOT_IS_SCALAR(payloads))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payloads must be an array"),
				 errhint("For example payloads => '[{\"id\": 1}, {\"id\": 2}]'.")));
	return payloads;
}

/*
 * Fill in one of the messages as it was given.
 */
static void
read_message(const OutboxQueue *queue, const Arguments *given, int i, OutboxMessage *msg)
{
	Jsonb	   *headers = object_of(&given->headers, i);

	memset(msg, 0, sizeof(OutboxMessage));
	msg->kind = queue->payload_type;
	msg->payload = payload_of(queue, given->payloads, i);
	msg->type = text_of(&given->types, i);
	msg->key = text_of(&given->keys, i);
	if (headers != NULL)
		outbox_check_headers(headers);
	msg->headers = (struct varlena *) headers;
	msg->options = (struct varlena *) object_of(&given->options, i);
	if (given->ids.values != NULL && !given->ids.nulls[i])
		msg->id = *DatumGetUUIDP(given->ids.values[i]);
}

/*
 * Enqueue a chunk of messages, from one on; returns how many these are.
 */
static int
enqueue_chunk(const char *name, const Arguments *given, int from, pg_uuid_t *ids)
{
	const OutboxQueue *queue = outbox_queue_use(name);
	OutboxMessage msgs[OUTBOX_STAGING_CHUNK];
	Size		bytes = 0;
	int			n = 0;

	while (n < OUTBOX_STAGING_CHUNK && from + n < given->n && bytes < CHUNK_BYTES)
	{
		read_message(queue, given, from + n, &msgs[n]);
		if (msgs[n].payload != NULL)
			bytes += VARSIZE_ANY(msgs[n].payload);
		n++;
	}
	outbox_enqueue_messages(queue, msgs, n, given->due);
	for (int i = 0; i < n; i++)
		ids[from + i] = msgs[i].id;
	return n;
}

static void
read_arguments(FunctionCallInfo fcinfo, Arguments *given)
{
	int			n;

	given->payloads = payloads_argument(fcinfo);
	given->n = n = JB_ROOT_COUNT(given->payloads);
	given->types = column_argument(fcinfo, ARG_TYPES, "types", TEXTOID, n);
	given->keys = column_argument(fcinfo, ARG_KEYS, "keys", TEXTOID, n);
	given->ids = column_argument(fcinfo, ARG_IDS, "ids", UUIDOID, n);
	given->headers = objects_argument(fcinfo, ARG_HEADERS, "headers", n);
	given->options = objects_argument(fcinfo, ARG_OPTIONS, "options", n);
	given->due = outbox_due_argument(fcinfo, ARG_DELAY, ARG_DELIVER_AT);
}

/*
 * outbox_enqueue_many(queue, payloads, types, keys, headers, ids, delay,
 * deliver_at, options)
 */
Datum
outbox_enqueue_many(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");
	Arguments	given;
	pg_uuid_t  *ids;
	Datum	   *result;
	MemoryContext scratch;

	outbox_check_can_enqueue("outbox_enqueue_many()");
	outbox_need_right(outbox_queue_use(name), GetUserId());
	read_arguments(fcinfo, &given);
	ids = palloc(given.n * sizeof(pg_uuid_t));
	result = palloc(given.n * sizeof(Datum));

	scratch = AllocSetContextCreate(CurrentMemoryContext, "outbox messages",
									ALLOCSET_DEFAULT_SIZES);
	for (int done = 0; done < given.n;)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);

		done += enqueue_chunk(name, &given, done, ids);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(scratch);
	for (int i = 0; i < given.n; i++)
		result[i] = UUIDPGetDatum(&ids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, given.n, UUIDOID, UUID_LEN, false,
										  TYPALIGN_CHAR));
}
