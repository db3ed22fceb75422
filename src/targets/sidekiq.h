/*-------------------------------------------------------------------------
 *
 * sidekiq.h
 *	  A message as a job of Sidekiq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: what describes a job of Sidekiq, and its encoding.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: appends to the caller's arguments; scratch in the current context.
 * Errors: none of its own; what cannot be sent was refused at enqueue.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SIDEKIQ_H
#define OUTBOX_SIDEKIQ_H

#include "outbox.h"

#include "targets/job_system.h"

extern const OutboxJobSystem outbox_sidekiq_system;

#endif							/* OUTBOX_SIDEKIQ_H */
