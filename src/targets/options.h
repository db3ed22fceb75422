/*-------------------------------------------------------------------------
 *
 * options.h
 *	  What a target can be told beyond the message itself.
 *
 * Purpose: options of queues and messages: check, complete, read.
 * Process: backend; outbox_read_task_options() the relay.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: INVALID_PARAMETER_VALUE; those of jsonb and of types.  None from
 *	  outbox_read_task_options(): what is staged has been checked.
 * Locks: none.
 *
 * Options are one jsonb object.  Of a queue they are kept as they were given:
 *
 *		asynq		defaults of its tasks, see OutboxTaskOptions
 *		commands	{"commands": [[...], ...]}, see commands.h
 *		function	{"function": "source"}, see script.c
 *
 * and of a message complete: the queue's are in it, times are seconds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_OPTIONS_H
#define OUTBOX_OPTIONS_H

#include "outbox.h"

#include "convert.h"

/* what a task of asynq has; all times in seconds */
typedef struct OutboxTaskOptions
{
	int64		max_retry;
	int64		timeout;		/* 0: none */
	int64		deadline;		/* since 1970; 0: none */
	int64		retention;
	int64		unique_ttl;		/* 0: not unique */
	int64		process_at;		/* since 1970; 0: now */
	OutboxBytes unique_key;		/* what follows the type in the lock's name */
	OutboxBytes group;			/* len 0: none */
} OutboxTaskOptions;

/* NULL stands for no options, here and there */
extern void outbox_check_queue_options(OutboxTarget target,
									   const struct varlena *options);
extern struct varlena *outbox_message_options(const OutboxQueue *queue,
											  const OutboxMessage *msg,
											  const struct varlena *given,
											  TimestampTz due);
extern void outbox_read_task_options(const struct varlena *options,
									 OutboxTaskOptions *task);

/* a member that is a string; len 0 if there is none such */
extern OutboxBytes outbox_text_option(const struct varlena *options,
									  const char *name);

#endif							/* OUTBOX_OPTIONS_H */
