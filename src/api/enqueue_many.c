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
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

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
 * outbox_enqueue_many(queue, payloads, types, keys, headers, ids, delay,
 * deliver_at, options)
 */
Datum
outbox_enqueue_many(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");
	Jsonb	   *payloads;
	int			n;
	Column		types;
	Column		keys;
	Column		ids;
	Objects		headers;
	Objects		options;
	TimestampTz due;
	pg_uuid_t  *made;
	Datum	   *result;
	MemoryContext scratch;

	outbox_check_can_enqueue("outbox_enqueue_many()");
	outbox_need_right(outbox_queue_use(name), GetUserId());
	payloads = payloads_argument(fcinfo);
	n = JB_ROOT_COUNT(payloads);
	types = column_argument(fcinfo, ARG_TYPES, "types", TEXTOID, n);
	keys = column_argument(fcinfo, ARG_KEYS, "keys", TEXTOID, n);
	ids = column_argument(fcinfo, ARG_IDS, "ids", UUIDOID, n);
	headers = objects_argument(fcinfo, ARG_HEADERS, "headers", n);
	options = objects_argument(fcinfo, ARG_OPTIONS, "options", n);
	due = outbox_due_argument(fcinfo, ARG_DELAY, ARG_DELIVER_AT);
	made = palloc(n * sizeof(pg_uuid_t));
	result = palloc(n * sizeof(Datum));

	scratch = AllocSetContextCreate(CurrentMemoryContext, "outbox message",
									ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scratch);
		const OutboxQueue *queue = outbox_queue_use(name);
		OutboxMessage msg = {0};
		Jsonb	   *object;

		msg.kind = queue->payload_type;
		msg.payload = payload_of(queue, payloads, i);
		msg.type = text_of(&types, i);
		msg.key = text_of(&keys, i);
		object = object_of(&headers, i);
		if (object != NULL)
			outbox_check_headers(object);
		msg.headers = (struct varlena *) object;
		msg.options = (struct varlena *) object_of(&options, i);
		if (ids.values != NULL && !ids.nulls[i])
			msg.id = *DatumGetUUIDP(ids.values[i]);
		outbox_enqueue_message(queue, &msg, due);
		made[i] = msg.id;
		result[i] = UUIDPGetDatum(&made[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextDelete(scratch);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, n, UUIDOID, UUID_LEN, false,
										  TYPALIGN_CHAR));
}
