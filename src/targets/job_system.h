/*-------------------------------------------------------------------------
 *
 * job_system.h
 *	  What a system for background jobs has to say of itself.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one type for celery.c, dramatiq.c, rq.c and sidekiq.c.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JOB_SYSTEM_H
#define OUTBOX_JOB_SYSTEM_H

#include "outbox.h"

#include "targets/description.h"
#include "targets/message_args.h"

typedef struct OutboxJobSystem
{
	const char *what;			/* "a task of Celery" */
	const char *hint;			/* what a description looks like */
	const OutboxDescription *description;

	/*
	 * Names that headers may not have besides those of the description, up to
	 * a NULL.  If NULL, there is no place for headers, and headers_hint says
	 * what is instead.
	 */
	const char *const *reserved_headers;
	const char *headers_hint;

	/*
	 * Append a message's commands: for each the number of its arguments, then
	 * these.  The values are those of the description, in its order.
	 */
	void		(*encode) (OutboxArgs *args, const OutboxQueue *queue,
						   const OutboxMessage *msg, const OutboxBytes *values);
} OutboxJobSystem;

#endif							/* OUTBOX_JOB_SYSTEM_H */
