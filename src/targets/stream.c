/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A message as an entry of a stream.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Fields in this order, absent ones left out:
 *
 *		id			the message's UUID
 *		type
 *		key
 *		payload		the bytes
 *		attempt		if consumers may return messages: 1 for the first attempt
 *		error		... why the attempt before has failed
 *		enqueued_at	on request: milliseconds since 1970
 *		queue		on request: the queue's name
 *		h:<name>	one for each header
 *
 * For Watermill (watermill-redisstream 1.4, its default marshaller) the fields
 * are _watermill_message_uuid, metadata (the headers as a msgpack map) and
 * payload, and none may be absent.
 *
 * The script gets runs of messages with the same fields: the run's shape, its
 * number of messages, then their values.  The names of the fields are in the
 * script.  The shape has a letter for each field but the id: "p", "tp", "kp",
 * "tkp"; "w" is Watermill's.  Entries with headers or attempts, and those that
 * trim the stream, have the shape "g": for each entry the number of arguments,
 * then everything that follows the key in its XADD.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/stream.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

enum
{
	SHAPE_TYPE = 1,
	SHAPE_KEY = 2,
	SHAPE_PLAIN = 4,			/* no shape is 0, which stands for no run */
	SHAPE_WATERMILL = 8,
	SHAPE_GENERAL = 16
};

static const char *const shape_names[] = {
	[SHAPE_PLAIN] = "p",
	[SHAPE_PLAIN | SHAPE_TYPE] = "tp",
	[SHAPE_PLAIN | SHAPE_KEY] = "kp",
	[SHAPE_PLAIN | SHAPE_TYPE | SHAPE_KEY] = "tkp",
	[SHAPE_WATERMILL] = "w",
	[SHAPE_GENERAL] = "g"
};

/* the count of a run is written over with each message, so its width is fixed */
#define RUN_COUNT_WIDTH 4

static int
find_shape(const OutboxQueue *queue, const OutboxMessage *msg)
{
	if (queue->maxlen > 0)
		return SHAPE_GENERAL;
	if (queue->target == OUTBOX_TARGET_WATERMILL)
		return SHAPE_WATERMILL;
	if (msg->headers != NULL || queue->consumer_retry || queue->fields != 0)
		return SHAPE_GENERAL;
	return SHAPE_PLAIN | (msg->type != NULL ? SHAPE_TYPE : 0) |
		(msg->key != NULL ? SHAPE_KEY : 0);
}

/*
 * Count the message in the current run, or begin a new one.
 */
static void
count_in_run(OutboxArgs *args, int shape)
{
	char	   *digit;

	if (args->run_shape != shape)
	{
		args->run_shape = shape;
		outbox_add_arg(args, shape_names[shape], strlen(shape_names[shape]));
		outbox_add_arg(args, "0000", RUN_COUNT_WIDTH);
		/* before the \r\n */
		args->run_count_at = args->data.len - 2 - RUN_COUNT_WIDTH;
	}

	digit = args->data.data + args->run_count_at + RUN_COUNT_WIDTH - 1;
	for (; *digit == '9'; digit--)
		*digit = '0';
	(*digit)++;
}

static void
add_bytes(OutboxArgs *args, OutboxBytes bytes)
{
	outbox_add_arg(args, bytes.data, bytes.len);
}

/* append a value, and in the general shape the field's name before it */
static void
add_value(OutboxArgs *args, int shape, const char *name, OutboxBytes value)
{
	if (shape == SHAPE_GENERAL)
		outbox_add_arg(args, name, strlen(name));
	add_bytes(args, value);
}

static void
add_headers(OutboxArgs *args, Jsonb *headers)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	OutboxBytes name;
	OutboxBytes value;
	StringInfoData field;

	initStringInfo(&field);
	while (outbox_next_header(&it, &name, &value))
	{
		resetStringInfo(&field);
		appendStringInfoString(&field, "h:");
		appendBinaryStringInfo(&field, name.data, name.len);
		outbox_add_arg(args, field.data, field.len);
		add_bytes(args, value);
	}
}

/*
 * Append the number of arguments of a general XADD, and the arguments between
 * its key and its fields.
 */
static void
begin_general(OutboxArgs *args, const OutboxQueue *queue,
			  const OutboxMessage *msg, Jsonb *headers, bool has_error)
{
	int			fields = queue->target == OUTBOX_TARGET_WATERMILL ? 3 :
	2 + (msg->type != NULL) + (msg->key != NULL) +
	queue->consumer_retry + has_error +
	((queue->fields & OUTBOX_FIELD_ENQUEUED_AT) != 0) +
	((queue->fields & OUTBOX_FIELD_QUEUE) != 0) +
	(headers != NULL ? JB_ROOT_COUNT(headers) : 0);

	outbox_add_number(args, (queue->maxlen > 0 ? 3 : 0) + 1 + 2 * fields);
	if (queue->maxlen > 0)
	{
		outbox_add_arg(args, "MAXLEN", 6);
		outbox_add_arg(args, "~", 1);
		outbox_add_number(args, queue->maxlen);
	}
	outbox_add_arg(args, "*", 1);
}

/*
 * Append the length of a map or a string in msgpack: one byte if it is short,
 * else a byte that says how wide the length is, and the length.
 */
static void
append_length(StringInfo out, uint32 n, uint32 below, int prefix,
			  const int *longer)
{
	if (n < below)
		appendStringInfoChar(out, (char) (prefix | n));
	else if (n <= 0xff && longer[0] != 0)
	{
		appendStringInfoChar(out, (char) longer[0]);
		appendStringInfoChar(out, (char) n);
	}
	else
	{
		appendStringInfoChar(out, (char) (n <= 0xffff ? longer[1] : longer[2]));
		for (int shift = n <= 0xffff ? 8 : 24; shift >= 0; shift -= 8)
			appendStringInfoChar(out, (char) (n >> shift));
	}
}

/*
 * Returns the headers as a msgpack map of strings; nothing if there are none.
 */
static OutboxBytes
encode_metadata(Jsonb *headers)
{
	static const int longer_map[] = {0, 0xde, 0xdf};
	static const int longer_string[] = {0xd9, 0xda, 0xdb};
	JsonbIterator *it;
	OutboxBytes text[2];		/* name and value */
	StringInfoData out;

	if (headers == NULL || JB_ROOT_COUNT(headers) == 0)
		return (OutboxBytes) {"", 0};
	initStringInfo(&out);
	append_length(&out, JB_ROOT_COUNT(headers), 16, 0x80, longer_map);
	it = JsonbIteratorInit(&headers->root);
	while (outbox_next_header(&it, &text[0], &text[1]))
		for (int i = 0; i < lengthof(text); i++)
		{
			append_length(&out, text[i].len, 32, 0xa0, longer_string);
			appendBinaryStringInfo(&out, text[i].data, text[i].len);
		}
	return (OutboxBytes) {out.data, out.len};
}

/*
 * Get the error of the last attempt.  Returns false if there was none.
 */
static bool
last_error(const OutboxMessage *msg, OutboxBytes *error)
{
	Jsonb	   *history;
	JsonbValue *event;
	JsonbValue	value;

	if (msg->attempts == 0 || msg->history == NULL)
		return false;
	history = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->history));
	if (!JB_ROOT_IS_ARRAY(history) || JB_ROOT_COUNT(history) == 0)
		return false;
	event = getIthJsonbValueFromContainer(&history->root,
										  JB_ROOT_COUNT(history) - 1);
	if (event == NULL || event->type != jbvBinary ||
		!JsonContainerIsObject(event->val.binary.data) ||
		getKeyJsonValueFromContainer(event->val.binary.data, "error",
									 strlen("error"), &value) == NULL ||
		value.type != jbvString)
		return false;
	*error = outbox_utf8_bytes(value.val.string.val, value.val.string.len);
	return true;
}

static void
encode_entry(OutboxArgs *args, const OutboxQueue *queue,
			 const OutboxMessage *msg, int shape)
{
	Jsonb	   *headers = msg->headers == NULL ? NULL : (Jsonb *)
	PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	char		id[OUTBOX_UUID_TEXT_LEN + 1];
	OutboxBytes payload = {
		VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload)
	};
	OutboxBytes error;
	bool		has_error = queue->consumer_retry && last_error(msg, &error);

	if (shape == SHAPE_GENERAL)
		begin_general(args, queue, msg, headers, has_error);

	outbox_uuid_text(&msg->id, id);
	if (queue->target == OUTBOX_TARGET_WATERMILL)
	{
		OutboxBytes given = outbox_text_option(msg->options, OUTBOX_OPTION_MESSAGE_ID);

		add_value(args, shape, OUTBOX_WATERMILL_UUID, given.len > 0 ?
				  outbox_utf8_bytes(given.data, given.len) :
				  (OutboxBytes) {id, OUTBOX_UUID_TEXT_LEN});
		add_value(args, shape, "metadata", encode_metadata(headers));
		add_value(args, shape, "payload", payload);
		return;
	}
	add_value(args, shape, "id", (OutboxBytes) {id, OUTBOX_UUID_TEXT_LEN});
	if (msg->type != NULL)
		add_value(args, shape, "type", outbox_text_bytes(msg->type));
	if (msg->key != NULL)
		add_value(args, shape, "key", outbox_text_bytes(msg->key));
	add_value(args, shape, "payload", payload);
	if (queue->consumer_retry)
	{
		outbox_add_arg(args, "attempt", strlen("attempt"));
		outbox_add_number(args, msg->attempts + 1);
	}
	if (has_error)
		add_value(args, shape, "error", error);
	if ((queue->fields & OUTBOX_FIELD_ENQUEUED_AT) != 0)
	{
		outbox_add_arg(args, "enqueued_at", strlen("enqueued_at"));
		outbox_add_number(args, outbox_unix_us(msg->enqueued_at) / 1000);
	}
	if ((queue->fields & OUTBOX_FIELD_QUEUE) != 0)
		add_value(args, shape, "queue", outbox_utf8_bytes(queue->name, strlen(queue->name)));
	if (headers != NULL)
		add_headers(args, headers);
}

void
outbox_encode_stream(OutboxArgs *args, const OutboxQueue *queue,
					 const OutboxMessage *msg)
{
	int			shape = find_shape(queue, msg);

	count_in_run(args, shape);
	encode_entry(args, queue, msg, shape);
}

void
outbox_encode_stream_alone(OutboxArgs *args, const OutboxQueue *queue,
						   const OutboxMessage *msg)
{
	encode_entry(args, queue, msg, SHAPE_GENERAL);
}
