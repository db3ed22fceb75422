/*-------------------------------------------------------------------------
 *
 * queue_settings.h
 *	  Make queues with the arguments of outbox_create_queue().
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let others than SQL make a queue.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: scratch in the current context.
 * Errors: those of outbox_create_queue().
 * Locks: RowExclusiveLock on outbox.queue; a transaction that makes a queue of
 *	  the same name is waited for.
 *
 * The arguments are those of a call of outbox_create_queue(), which need not have
 * come from fmgr.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_SETTINGS_H
#define OUTBOX_QUEUE_SETTINGS_H

#include "outbox.h"

#include "fmgr.h"

/*
 * An error if these arguments are not those of a queue.  Returns the payload type
 * that it would have.
 */
extern const char *outbox_check_new_queue(FunctionCallInfo fcinfo);

/* make the queue; returns false if there is one of this name */
extern bool outbox_make_queue(FunctionCallInfo fcinfo);

#endif							/* OUTBOX_QUEUE_SETTINGS_H */
