/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  A queue's settings: look up.
 *
 * Purpose: the rows of outbox.queue, cached.  They are written by
 *	  queue_settings.c and queue_drop.c, which nobody calls but SQL.
 * Process: backend; outbox_queue_list() the relay.
 * Transaction: the caller's.
 * Memory: looked-up queues live until the next invalidation, so for the
 *	  calling function; a list is palloc'ed in the current context.
 * Errors: UNDEFINED_OBJECT, INVALID_PARAMETER_VALUE for a row that can't be.
 * Locks: outbox_queue_use() takes a lock on the queue, held to the end of the
 *	  transaction, that outbox_drop_queue() conflicts with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_H
#define OUTBOX_QUEUE_H

#include "outbox.h"

#include "nodes/pg_list.h"

/* what queues with a target can have */
typedef struct OutboxTargetInfo
{
	const char *name;
	OutboxTarget target;
	bool		formats;
	bool		maxlen;
} OutboxTargetInfo;

/* by OutboxTarget */
extern const OutboxTargetInfo outbox_targets[];

extern const OutboxTargetInfo *outbox_target_info(const char *name);
extern int64 outbox_interval_us(const Interval *interval);

extern const OutboxQueue *outbox_queue_find(const char *name);
extern const OutboxQueue *outbox_queue_find_or_error(const char *name);
extern const OutboxQueue *outbox_queue_use(const char *name);
extern List *outbox_queue_list(void);

#endif							/* OUTBOX_QUEUE_H */
