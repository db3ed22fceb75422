/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Look up a queue's settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the rows of outbox.queue, with a cache.  (The functions in api
 *	  write them.)
 * Process: backend; outbox_queue_list() the relay, too.
 * Transaction: the caller's.
 * Memory: a queue from the cache is valid until the next invalidation, so in the
 *	  calling function only; a list is palloc'ed in the current context.
 * Errors: UNDEFINED_OBJECT; INVALID_PARAMETER_VALUE for a row with an unknown
 *	  target.
 * Locks: outbox_queue_use() takes a lock on the queue, kept to the end of the
 *	  transaction, that conflicts with outbox_drop_queue().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_H
#define OUTBOX_QUEUE_H

#include "outbox.h"

#include "nodes/pg_list.h"

/* a target, and the settings that its queues can have */
typedef struct OutboxTargetInfo
{
	const char *name;
	OutboxTarget target;
	bool		formats;
	bool		maxlen;
	bool		fields;			/* what it sends is outbox's own format */
	bool		partitions;		/* consumers can read several keys */
	const char *payload_type;	/* the default; that of format raw is bytea */
	bool		payload_type_only;	/* it can't have another one */
} OutboxTargetInfo;

/* by OutboxTarget */
extern const OutboxTargetInfo outbox_targets[];

/* returns a target, or NULL if there is none with this name */
extern const OutboxTargetInfo *outbox_target_info(const char *name);

/* returns OUTBOX_PAYLOAD_..., or 0 if there is no type with this name */
extern char outbox_payload_type(const char *name);

/* returns the name of a type, or "" */
extern const char *outbox_payload_name(char letter);

/* returns OUTBOX_FIELD_..., or 0 if there is no field with this name */
extern int	outbox_field(const char *name);

/* returns microseconds; a month has thirty days, and very long is cut off */
extern int64 outbox_interval_us(const Interval *interval);

/* returns a queue, or NULL if there is none with this name */
extern const OutboxQueue *outbox_queue_find(const char *name);

/* the same; an error if there is none */
extern const OutboxQueue *outbox_queue_find_or_error(const char *name);

/* the same; the queue is locked and cannot be dropped in this transaction */
extern const OutboxQueue *outbox_queue_use(const char *name);

/* returns all queues (OutboxQueue *), in no order */
extern List *outbox_queue_list(void);

#endif							/* OUTBOX_QUEUE_H */
