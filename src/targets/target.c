/*-------------------------------------------------------------------------
 *
 * target.c
 *	  How a message becomes arguments of the apply script.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A target is a branch of the apply script and an encoder, which writes the
 * arguments of one message for this branch:
 *
 *		stream, watermill	values, in runs of messages with the same fields
 *							(stream.c)
 *		list, publish		one argument, the value: the payload, or an object
 *							(json.c)
 *		asynq, commands, function	the number of arguments, then these
 *							(asynq.c, commands.c, here)
 *		celery, sidekiq, rq, dramatiq	the same, for the branch of commands (jobs.c)
 *
 * Encoders are pure: what they write depends on the queue's settings, the
 * message and the batch's time only.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/target.h"

#include "targets/asynq.h"
#include "targets/commands.h"
#include "targets/jobs.h"
#include "targets/json.h"
#include "targets/stream.h"

/* the number of a message's arguments is filled in later, so its width is fixed */
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
		case OUTBOX_TARGET_CELERY:
		case OUTBOX_TARGET_SIDEKIQ:
		case OUTBOX_TARGET_RQ:
		case OUTBOX_TARGET_DRAMATIQ:
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
		outbox_encode_json(args, queue, msg);
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
	outbox_add_number(args, outbox_unix_us(args->now) / 1000);
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
		case OUTBOX_TARGET_CELERY:
		case OUTBOX_TARGET_SIDEKIQ:
		case OUTBOX_TARGET_RQ:
		case OUTBOX_TARGET_DRAMATIQ:
			outbox_encode_job(args, queue, msg);
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
