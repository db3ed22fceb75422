/*-------------------------------------------------------------------------
 *
 * cluster_fault.c
 *	  Which queues can be delivered to a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * All keys of a script must be in one slot, so all that a queue has must share the
 * hash tag of its cursor.  A script may touch keys of other slots as long as its node
 * happens to have them: such a queue would work until the first slot moves.  So what
 * can be known before is refused.
 *
 * The workers of Celery, Sidekiq, RQ and Dramatiq name keys of several slots
 * themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/cluster_fault.h"

#include "queue/partition.h"
#include "targets/message_args.h"

/* keys as BullMQ makes them unless it is told otherwise, in a function's source */
#define BULLMQ_KEYS		"\"bull:"

static bool
has_bullmq_keys(const OutboxQueue *queue)
{
	OutboxBytes source = outbox_text_option(queue->options, "function");

	return source.len > 0 &&
		strstr(pnstrdup(source.data, source.len), BULLMQ_KEYS) != NULL;
}

static bool
is_tagged(const OutboxQueue *queue)
{
	const char *tag;
	int			len;

	return outbox_find_tag(queue->redis_key, &tag, &len);
}

/*
 * Are both its keys in one slot?  Its cursor has the key for its tag, which braces
 * can cut short.
 */
static bool
has_one_slot(const OutboxQueue *queue)
{
	const char *key = queue->redis_key;

	if (queue->target == OUTBOX_TARGET_ASYNQ)
		return strpbrk(key, "{}") == NULL;
	return is_tagged(queue) ||
		outbox_slot_of_bytes(psprintf("{%s}", key)) == outbox_slot_of_bytes(key);
}

static const char *
fault_of_target(const OutboxQueue *queue, const char **hint)
{
	*hint = "A server that is one Redis, or one with Sentinels, can have it.";
	switch (queue->target)
	{
		case OUTBOX_TARGET_CELERY:
			return "workers of Celery do not run on one";
		case OUTBOX_TARGET_SIDEKIQ:
			return "workers of Sidekiq do not run on one";
		case OUTBOX_TARGET_RQ:
			return "workers of RQ do not run on one";
		case OUTBOX_TARGET_DRAMATIQ:
			return "workers of Dramatiq do not run on one";
		case OUTBOX_TARGET_FUNCTION:
			*hint = "Give BullMQ, here and in its workers, a prefix with a hash tag, such as \"{bull}\", and the queue a redis_key with the same one.";
			if (has_bullmq_keys(queue))
				return "the keys of BullMQ's jobs are in several slots";
			*hint = "Give it one, such as \"{orders}:function\", and let the function name only keys with the same hash tag.";
			return is_tagged(queue) ? NULL : "the redis_key of a function must have a hash tag";
		default:
			return NULL;
	}
}

const char *
outbox_cluster_fault(const OutboxQueue *queue, const char **hint)
{
	const char *fault = fault_of_target(queue, hint);

	if (fault != NULL || queue->partitions > 1)
		return fault;
	if (!has_one_slot(queue))
	{
		*hint = queue->target == OUTBOX_TARGET_ASYNQ ?
			"Name the queue without braces." :
			"For example \"{orders}\", or a key without braces.";
		return "its redis_key has braces that make its keys be in several slots";
	}
	if (queue->consumer_retry && !is_tagged(queue))
	{
		*hint = "Give it one, such as \"{orders}\": consumers return messages in streams with the same hash tag.";
		return "with consumer_retry its redis_key must have a hash tag";
	}
	return NULL;
}
