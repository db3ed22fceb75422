/*-------------------------------------------------------------------------
 *
 * task_options.h
 *	  The options of asynq's tasks.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check and complete the options that callers give; read the options
 *	  that were staged.
 * Process: backend; outbox_read_task_options() the relay.  Pure: no catalog, no
 *	  socket.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context, or point into the
 *	  options.
 * Errors: INVALID_PARAMETER_VALUE, and those of the types' input functions.
 *	  outbox_read_task_options() has none: staged options have been checked.
 * Locks: none.
 *
 * Options are an object, or NULL for no options.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TASK_OPTIONS_H
#define OUTBOX_TASK_OPTIONS_H

#include "outbox.h"

#include "convert.h"

/* the options of one task; all times in seconds */
typedef struct OutboxTaskOptions
{
	int64		max_retry;
	int64		timeout;		/* 0: none */
	int64		deadline;		/* since 1970; 0: none */
	int64		retention;
	int64		unique_ttl;		/* 0: not unique */
	int64		process_at;		/* since 1970; 0: now */
	OutboxBytes unique_key;		/* follows the type in the lock's name */
	OutboxBytes group;			/* len 0: none */
	OutboxBytes message_id;		/* the task's id; len 0: that of the message */
} OutboxTaskOptions;

/* an error unless a queue can have these options as its tasks' defaults */
extern void outbox_check_task_defaults(const struct varlena *options);

/*
 * Returns the options that a message is staged with, as jsonb: its own, else
 * the queue's, and the time if it is due later; NULL if all are asynq's
 * defaults.
 */
extern struct varlena *outbox_complete_task_options(const OutboxQueue *queue,
													const OutboxMessage *msg,
													const struct varlena *given,
													TimestampTz due);

/* fill in the options that a message was staged with */
extern void outbox_read_task_options(const struct varlena *options,
									 OutboxTaskOptions *task);

#endif							/* OUTBOX_TASK_OPTIONS_H */
