/*-------------------------------------------------------------------------
 *
 * jobs.h
 *	  Jobs for Celery, Sidekiq, RQ and Dramatiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check the description of a job, and encode it.
 * Process: outbox_check_job() a backend, outbox_encode_job() the relay.  Pure: no
 *	  catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: outbox_check_job() INVALID_PARAMETER_VALUE; none from
 *	  outbox_encode_job().
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JOBS_H
#define OUTBOX_JOBS_H

#include "outbox.h"

#include "targets/message_args.h"

/* has the target messages that are jobs? */
extern bool outbox_has_jobs(OutboxTarget target);

/* an error unless a message, whose payload is not NULL, is a job for its target */
extern void outbox_check_job(OutboxTarget target, const OutboxMessage *msg);

/*
 * Append a message's commands, as targets/commands.h has them; or a number that
 * says that its payload is no job.
 */
extern void outbox_encode_job(OutboxArgs *args, const OutboxQueue *queue,
							  const OutboxMessage *msg);

#endif							/* OUTBOX_JOBS_H */
