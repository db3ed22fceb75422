/*-------------------------------------------------------------------------
 *
 * queue_move.h
 *	  A queue gets another server.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: have the relay move the queue's cursor, or begin without it.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: OBJECT_NOT_IN_PREREQUISITE_STATE, OBJECT_IN_USE, those of
 *	  outbox_check_server().
 * Locks: those of UPDATE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_MOVE_H
#define OUTBOX_QUEUE_MOVE_H

#include "outbox.h"

#include "api/settings.h"

typedef struct QueueMove
{
	bool		moves;			/* it gets another server */
	bool		forced;			/* ... and begins there without its cursor */
	const char *server;			/* NULL: the default one */
} QueueMove;

/* what is to be done; an error if it can't be, or the caller may not */
extern QueueMove outbox_check_move(const OutboxQueue *queue,
								   const OutboxSettings *settings);

/*
 * Do it, for the queue that may have got another id.  SPI is connected as the owner
 * of our tables.
 */
extern void outbox_move_queue(const OutboxQueue *queue, int32 id,
							  const QueueMove *move);

#endif							/* OUTBOX_QUEUE_MOVE_H */
