/*-------------------------------------------------------------------------
 *
 * queue_policy.h
 *	  What creating and altering a queue have in common.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the arguments for a queue's policy, and what consumers may return.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: scratch in the current context.
 * Errors: INVALID_PARAMETER_VALUE, DUPLICATE_OBJECT.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_POLICY_H
#define OUTBOX_QUEUE_POLICY_H

#include "queue/queue.h"

#include "fmgr.h"

/* arguments that create and alter have in common, in this order */
enum
{
	POLICY_ON_FAILURE,
	POLICY_MAX_ATTEMPTS,
	POLICY_RETRY_DELAY,
	POLICY_RETRY_BACKOFF,
	POLICY_RETRY_MAX_DELAY,
	POLICY_EXPIRES_AFTER,
	POLICY_ARGS
};

/* their names and types */
extern const char *const outbox_policy_names[POLICY_ARGS];
extern const Oid outbox_policy_types[POLICY_ARGS];

/* check the arguments that are not null; "first" is the first */
extern void outbox_check_policy(FunctionCallInfo fcinfo, int first);

/* may consumers of a queue with these settings return messages? */
extern void outbox_check_consumer_retry(const char *name, const OutboxTargetInfo *target,
										const char *redis_key, int partitions, bool block);

/* returns an argument that is jsonb, or NULL if it is null */
extern struct varlena *outbox_jsonb_arg(FunctionCallInfo fcinfo, int n);

#endif							/* OUTBOX_QUEUE_POLICY_H */
