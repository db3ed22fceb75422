/*-------------------------------------------------------------------------
 *
 * target.c
 *	  How a message becomes arguments of the apply script.
 *
 * Design notes
 *
 * A target is a branch in the script (batch.c) and an encoder that writes the
 * arguments of one message for it:
 *
 *		stream, watermill	values, in runs of messages with the same fields
 *							(stream.c)
 *		list, publish		one argument, the value (json.c, or the
 *							payload)
 *		asynq, commands, function	the number of arguments, then these
 *							(asynq.c, commands.c, here)
 *
 * Encoders are functions of the message alone.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/target.h"

#include "mb/pg_wchar.h"
#include "redis/connection.h"
#include "targets/commands.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* the count of a message's arguments has a fixed width, as it is written over */
#define COUNT_WIDTH 6

const char *
outbox_target_branch(const OutboxQueue *queue)
{
	switch (queue->target)
	{
		case OUTBOX_TARGET_STREAM:
		case OUTBOX_TARGET_WATERMILL:
			return "stream";
		case OUTBOX_TARGET_LIST:
			return "list";
		case OUTBOX_TARGET_PUBLISH:
			return "publish";
		case OUTBOX_TARGET_ASYNQ:
			return "asynq";
		case OUTBOX_TARGET_COMMANDS:
			return "commands";
		case OUTBOX_TARGET_FUNCTION:
			return "function";
	}
	pg_unreachable();
}

static void
encode_value(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg)
{
	if (queue->format == OUTBOX_FORMAT_RAW)
		outbox_add_arg(args, VARDATA_ANY(msg->payload),
					   VARSIZE_ANY_EXHDR(msg->payload));
	else
		outbox_encode_json(args, msg);
}

/*
 * The arguments of a queue's function, see script.c.
 */
static void
encode_function(OutboxArgs *args, const OutboxMessage *msg)
{
	char		id[OUTBOX_UUID_TEXT_LEN + 1];
	OutboxBytes none = {"", 0};
	OutboxBytes parts[] = {
		msg->type != NULL ? outbox_text_bytes(msg->type) : none,
		msg->key != NULL ? outbox_text_bytes(msg->key) : none,
		{VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload)},
		outbox_headers_json(msg)
	};

	outbox_uuid_text(&msg->id, id);
	outbox_add_arg(args, id, OUTBOX_UUID_TEXT_LEN);
	for (int i = 0; i < lengthof(parts); i++)
		outbox_add_arg(args, parts[i].data, parts[i].len);
	outbox_add_number(args, (args->now + ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) *
							 USECS_PER_DAY) / 1000);
	outbox_add_number(args, msg->attempts + 1);
}

/*
 * The number of a message's arguments, then these.
 */
static void
encode_counted(OutboxArgs *args, const OutboxQueue *queue, const OutboxMessage *msg)
{
	int			before;
	int			count_at;
	char		count[COUNT_WIDTH + 1];

	outbox_add_arg(args, "000000", COUNT_WIDTH);
	before = args->count;
	count_at = args->data.len - 2 - COUNT_WIDTH;	/* before the \r\n */
	switch (queue->target)
	{
		case OUTBOX_TARGET_ASYNQ:
			outbox_encode_asynq(args, queue, msg);
			break;
		case OUTBOX_TARGET_COMMANDS:
			outbox_template_expand(args, queue, msg);
			break;
		case OUTBOX_TARGET_FUNCTION:
			encode_function(args, msg);
			break;
		default:
			encode_value(args, queue, msg);
			break;
	}
	snprintf(count, sizeof(count), "%0*d", COUNT_WIDTH, args->count - before);
	memcpy(args->data.data + count_at, count, COUNT_WIDTH);
}

void
outbox_target_encode(OutboxArgs *args, const OutboxQueue *queue,
					 const OutboxMessage *msg)
{
	switch (queue->target)
	{
		case OUTBOX_TARGET_STREAM:
		case OUTBOX_TARGET_WATERMILL:
			outbox_encode_stream(args, queue, msg);
			break;
		case OUTBOX_TARGET_LIST:
		case OUTBOX_TARGET_PUBLISH:
			encode_value(args, queue, msg);
			break;
		default:
			encode_counted(args, queue, msg);
			break;
	}
}

void
outbox_target_encode_alone(OutboxArgs *args, const OutboxQueue *queue,
						   const OutboxMessage *msg)
{
	if (queue->target == OUTBOX_TARGET_STREAM ||
		queue->target == OUTBOX_TARGET_WATERMILL)
		outbox_encode_stream_alone(args, queue, msg);
	else
		encode_counted(args, queue, msg);
}

void
outbox_add_arg(OutboxArgs *args, const char *data, size_t len)
{
	outbox_resp_arg(&args->data, data, len);
	args->count++;
}

void
outbox_add_number(OutboxArgs *args, int64 n)
{
	char		buf[MAXINT8LEN + 1];

	outbox_add_arg(args, buf, pg_lltoa(n, buf));
}

/*
 * Bytes in the server's encoding as UTF-8.  Enqueue has seen to it that this
 * can't fail.
 */
OutboxBytes
outbox_utf8_bytes(const char *data, size_t len)
{
	OutboxBytes bytes = {data, len};

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		bytes.data = pg_server_to_any(data, len, PG_UTF8);
		if (bytes.data != data)
			bytes.len = strlen(bytes.data);
	}
	return bytes;
}

OutboxBytes
outbox_text_bytes(const struct varlena *text)
{
	return outbox_utf8_bytes(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

/*
 * The next of the headers, in UTF-8.  False if there are no more.
 */
bool
outbox_next_header(JsonbIterator **it, OutboxBytes *name, OutboxBytes *value)
{
	JsonbIteratorToken token;
	JsonbValue	v;

	while ((token = JsonbIteratorNext(it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			*name = outbox_utf8_bytes(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE)
			continue;
		*value = outbox_utf8_bytes(v.val.string.val, v.val.string.len);
		return true;
	}
	return false;
}

/*
 * The headers as JSON.
 */
OutboxBytes
outbox_headers_json(const OutboxMessage *msg)
{
	Jsonb	   *jsonb;
	char	   *text;

	if (msg->headers == NULL)
		return (OutboxBytes) {"{}", 2};
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	return outbox_utf8_bytes(text, strlen(text));
}

/*
 * One of the headers, in the server's encoding; NULL if there is none such.
 */
OutboxBytes
outbox_header(const OutboxMessage *msg, OutboxBytes name)
{
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};
	JsonbValue *v;

	if (msg->headers == NULL)
		return (OutboxBytes) {NULL, 0};
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	key.val.string.val = unconstify(char *, name.data);
	key.val.string.len = (int) name.len;
	v = findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key);
	if (v == NULL)
		return (OutboxBytes) {NULL, 0};
	return (OutboxBytes) {v->val.string.val, v->val.string.len};
}

/*
 * A UUID in its usual form; the buffer has OUTBOX_UUID_TEXT_LEN + 1 bytes.
 */
void
outbox_uuid_text(const pg_uuid_t *uuid, char *buf)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*buf++ = '-';
		*buf++ = digits[uuid->data[i] >> 4];
		*buf++ = digits[uuid->data[i] & 0x0f];
	}
	*buf = '\0';
}
