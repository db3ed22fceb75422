/*-------------------------------------------------------------------------
 *
 * queue_checks.h
 *	  What the settings of a queue may be.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: an error for each setting that a queue cannot have.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: scratch in the current context.
 * Errors: INVALID_PARAMETER_VALUE; those of options.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_CHECKS_H
#define OUTBOX_QUEUE_CHECKS_H

#include "queue/queue.h"

/* "what" is what the value is called in the message */
extern void outbox_check_name(const char *what, const char *value);
extern void outbox_check_redis_key(const char *redis_key);

/* returns the target; format may be NULL */
extern const OutboxTargetInfo *outbox_check_target(const char *target, const char *format);

extern void outbox_check_maxlen(const OutboxTargetInfo *target, int64 maxlen);

/* options is jsonb, or NULL for none */
extern void outbox_check_new_options(OutboxTarget target, const struct varlena *options,
									 const char *server);

extern void outbox_check_on_failure(const char *on_failure);
extern void outbox_check_max_attempts(int max_attempts);
extern void outbox_check_backoff(double backoff);
extern void outbox_check_delay(const char *name, const Interval *delay);

/* payload_type is one of the settings, or NULL */
extern void outbox_check_payload_type(const OutboxTargetInfo *target,
									  const char *payload_type);

/* raw: the queue's format is raw; fields are OUTBOX_FIELD_..., added up */
extern void outbox_check_fields(const OutboxTargetInfo *target, bool raw, int fields);

/* redis_key is the queue's */
extern void outbox_check_partitions(const OutboxTargetInfo *target, int partitions,
									const char *redis_key);

#endif							/* OUTBOX_QUEUE_CHECKS_H */
