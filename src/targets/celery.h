/*-------------------------------------------------------------------------
 *
 * celery.h
 *	  A message as a task of Celery.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what describes a task of Celery, and its encoding.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CELERY_H
#define OUTBOX_CELERY_H

#include "outbox.h"

#include "targets/job_system.h"

extern const OutboxJobSystem outbox_celery_system;

#endif							/* OUTBOX_CELERY_H */
