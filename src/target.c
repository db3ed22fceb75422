/*-------------------------------------------------------------------------
 *
 * target.c
 *	  How a message becomes arguments of the apply script.
 *
 * Design notes
 *
 * A target is a branch in the script (apply.c) and an encoder that writes the
 * arguments of one message for it:
 *
 *		stream		values, in runs of messages with the same fields
 *					(target_stream.c)
 *		list, publish	one argument, the value (target_json.c, or the payload)
 *
 * Encoders are functions of the message alone.
 *
 *-------------------------------------------------------------------------
 */
#include "target.h"

#include "mb/pg_wchar.h"
#include "redis.h"

const char *
outbox_target_branch(const OutboxQueue *queue)
{
	switch (queue->target)
	{
		case OUTBOX_TARGET_STREAM:
			return "stream";
		case OUTBOX_TARGET_LIST:
			return "list";
		case OUTBOX_TARGET_PUBLISH:
			return "publish";
	}
	pg_unreachable();
}

const char *
outbox_target_command(const OutboxQueue *queue)
{
	switch (queue->target)
	{
		case OUTBOX_TARGET_STREAM:
			return "XADD";
		case OUTBOX_TARGET_LIST:
			return "RPUSH";
		case OUTBOX_TARGET_PUBLISH:
			return "PUBLISH";
	}
	pg_unreachable();
}

void
outbox_target_encode(OutboxArgs *args, const OutboxQueue *queue,
					 const OutboxMessage *msg)
{
	if (queue->target == OUTBOX_TARGET_STREAM)
		outbox_encode_stream(args, queue, msg);
	else if (queue->format == OUTBOX_FORMAT_RAW)
		outbox_add_arg(args, VARDATA_ANY(msg->payload),
					   VARSIZE_ANY_EXHDR(msg->payload));
	else
		outbox_encode_json(args, msg);
}

void
outbox_target_encode_alone(OutboxArgs *args, const OutboxQueue *queue,
						   const OutboxMessage *msg)
{
	if (queue->target == OUTBOX_TARGET_STREAM)
		outbox_encode_stream_alone(args, queue, msg);
	else
	{
		outbox_add_arg(args, "1", 1);
		outbox_target_encode(args, queue, msg);
	}
}

void
outbox_add_arg(OutboxArgs *args, const char *data, size_t len)
{
	outbox_resp_arg(&args->data, data, len);
	args->count++;
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
