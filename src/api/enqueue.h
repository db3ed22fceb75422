/*-------------------------------------------------------------------------
 *
 * enqueue.h
 *	  Enqueueing from C, for outbox_enqueue() and for triggers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check a message and stage it.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: PROGRAM_LIMIT_EXCEEDED, INVALID_PARAMETER_VALUE, those of encoding
 *	  conversion and of staging.
 * Locks: those of staging.  The caller has locked the queue, see
 *	  outbox_queue_use().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ENQUEUE_H
#define OUTBOX_ENQUEUE_H

#include "outbox.h"

#include "utils/jsonb.h"

/* an error unless this is an object of strings that have a form in UTF-8 */
extern void outbox_check_headers(Jsonb *headers);

/*
 * Complete the message's options and check its size, give it an id if it has
 * none (the nil UUID), stage it and have the relay woken at commit.  The caller
 * has filled in kind, payload, type, key and headers, whose text must have a
 * form in UTF-8, and the options as they were given.
 */
extern void outbox_enqueue_message(const OutboxQueue *queue, OutboxMessage *msg);

#endif							/* OUTBOX_ENQUEUE_H */
