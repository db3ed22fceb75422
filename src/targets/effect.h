/*-------------------------------------------------------------------------
 *
 * effect.h
 *	  The commands that one message is for Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say what the script would do with a message, without a Redis.
 * Process: backend.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: results are palloc'ed in the current context; arguments point into
 *	  what the encoder has written, which stays there as well.
 * Errors: INVALID_PARAMETER_VALUE for a message that the script refuses; those
 *	  of encoding conversion.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EFFECT_H
#define OUTBOX_EFFECT_H

#include "outbox.h"

#include "convert.h"
#include "nodes/pg_list.h"

typedef struct OutboxCommand
{
	int			nargs;
	OutboxBytes *args;			/* as Redis gets them, the command's name
								 * first */
} OutboxCommand;

/*
 * Returns the commands (OutboxCommand *), in their order, of a message that is
 * delivered at this time.  The queue's settings are as they are in outbox.queue.
 */
extern List *outbox_target_effect(const OutboxQueue *queue,
								  const OutboxMessage *msg, TimestampTz now);

#endif							/* OUTBOX_EFFECT_H */
