/*-------------------------------------------------------------------------
 *
 * queue_status.h
 *	  What the relay has published about queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one reader of shared memory for the views.
 * Process: backend.  Transaction: none needed.
 * Memory: palloc'ed in the current context.
 * Errors: none thrown.
 * Locks: that of shared memory, while it is copied.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_STATUS_H
#define OUTBOX_QUEUE_STATUS_H

#include "outbox.h"

#include "shmem.h"

/*
 * Returns a copy for n queues, and when the relay has published it; n is 0 if no
 * relay runs or it has published nothing.
 */
extern OutboxPublished *outbox_copy_published(int *n, TimestampTz *at);

#endif							/* OUTBOX_QUEUE_STATUS_H */
