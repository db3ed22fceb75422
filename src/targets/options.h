/*-------------------------------------------------------------------------
 *
 * options.h
 *	  What a target can be told beyond the message itself.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check the options of queues and messages, and complete those of
 *	  messages.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context, or point into the
 *	  options.
 * Errors: INVALID_PARAMETER_VALUE; those of jsonb and of types.
 * Locks: none.
 *
 * Options are one jsonb object, or NULL for no options.  A message's:
 *
 *		asynq		those of its task, see task_options.h
 *		watermill	{"message_id": "..."}
 *
 * A queue's are kept as they were given:
 *
 *		asynq		defaults of its tasks, see task_options.h
 *		commands	{"commands": [[...], ...]}, see commands.h
 *		function	{"function": "source"}, see script.c
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_OPTIONS_H
#define OUTBOX_OPTIONS_H

#include "outbox.h"

#include "convert.h"

/* an error unless a queue with this target can have these options */
extern void outbox_check_queue_options(OutboxTarget target,
									   const struct varlena *options);

/*
 * Returns the options that a message is staged with, or NULL for none.  An
 * error if it cannot have the options that were given, or, whatever they are,
 * if the queue's target cannot take it.  due is 0 for a message of now.
 */
extern struct varlena *outbox_message_options(const OutboxQueue *queue,
											  const OutboxMessage *msg,
											  const struct varlena *given,
											  TimestampTz due);

/* returns options with that id and nothing else */
extern struct varlena *outbox_message_id_option(const char *id);

#endif							/* OUTBOX_OPTIONS_H */
