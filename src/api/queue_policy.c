/*-------------------------------------------------------------------------
 *
 * queue_policy.c
 *	  What creating and altering a queue have in common.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_policy.h"

#include "api/args.h"
#include "api/queue_checks.h"
#include "catalog/pg_type.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

const char *const outbox_policy_names[POLICY_ARGS] = {
	[POLICY_ON_FAILURE] = "on_failure",
	[POLICY_MAX_ATTEMPTS] = "max_attempts",
	[POLICY_RETRY_DELAY] = "retry_delay",
	[POLICY_RETRY_BACKOFF] = "retry_backoff",
	[POLICY_RETRY_MAX_DELAY] = "retry_max_delay",
	[POLICY_EXPIRES_AFTER] = "expires_after"
};

const Oid	outbox_policy_types[POLICY_ARGS] = {
	[POLICY_ON_FAILURE] = TEXTOID,
	[POLICY_MAX_ATTEMPTS] = INT4OID,
	[POLICY_RETRY_DELAY] = INTERVALOID,
	[POLICY_RETRY_BACKOFF] = FLOAT8OID,
	[POLICY_RETRY_MAX_DELAY] = INTERVALOID,
	[POLICY_EXPIRES_AFTER] = INTERVALOID
};

struct varlena *
outbox_jsonb_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (struct varlena *) PG_GETARG_JSONB_P(n);
}

void
outbox_check_policy(FunctionCallInfo fcinfo, int first)
{
	for (int i = 0; i < POLICY_ARGS; i++)
	{
		if (PG_ARGISNULL(first + i))
			continue;
		switch (i)
		{
			case POLICY_ON_FAILURE:
				outbox_check_on_failure(outbox_text_arg(fcinfo, first + i));
				break;
			case POLICY_MAX_ATTEMPTS:
				outbox_check_max_attempts(PG_GETARG_INT32(first + i));
				break;
			case POLICY_RETRY_BACKOFF:
				outbox_check_backoff(PG_GETARG_FLOAT8(first + i));
				break;
			default:
				outbox_check_delay(outbox_policy_names[i], PG_GETARG_INTERVAL_P(first + i));
				break;
		}
	}
}

/*
 * Do two queues have a stream in common?
 */
static bool
share_a_stream(const OutboxQueue *a, const OutboxQueue *b)
{
	for (int i = 0; i < a->partitions; i++)
	{
		char	   *stream = outbox_partition_redis_key(a, i);

		for (int j = 0; j < b->partitions; j++)
		{
			char	   *other = outbox_partition_redis_key(b, j);
			bool		same = strcmp(stream, other) == 0;

			pfree(other);
			if (same)
				return true;
		}
		pfree(stream);
	}
	return false;
}

static bool
consumers_return_elsewhere(const char *name, const OutboxQueue *queue)
{
	ListCell   *lc;

	foreach(lc, outbox_queue_list())
	{
		const OutboxQueue *other = lfirst(lc);

		if (other->consumer_retry && strcmp(other->name, name) != 0 &&
			share_a_stream(queue, other))
			return true;
	}
	return false;
}

void
outbox_check_consumer_retry(const char *name, const OutboxTargetInfo *target,
							const char *redis_key, int partitions, bool block)
{
	OutboxQueue queue = {.redis_key = unconstify(char *, redis_key),.partitions = partitions};

	if (target->target != OUTBOX_TARGET_STREAM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no consumer_retry", target->name),
				 errhint("Only consumers of a stream can return messages.")));
	if (block)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("consumer_retry needs on_failure \"retry\" or \"dead_letter\""),
				 errdetail("A queue does not stand still for what a consumer returns.")));
	if (consumers_return_elsewhere(name, &queue))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("consumers of stream \"%s\" return messages to another queue",
						queue.redis_key)));
}
