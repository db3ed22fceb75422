/*-------------------------------------------------------------------------
 *
 * queue_view.h
 *	  Make, rename and drop queues' views.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the views in schema outbox_queues follow the rows of outbox.queue.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: the current context.
 * Errors: those of the commands.
 * Locks: AccessExclusiveLock on a view that is renamed, made anew or dropped;
 *	  it is not waited for for long.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_QUEUE_VIEW_H
#define OUTBOX_QUEUE_VIEW_H

#include "outbox.h"

#include "commands/trigger.h"

/* to be called for each row of outbox.queue that has changed, and for TRUNCATE */
extern void outbox_views_follow(const TriggerData *trigger);

#endif							/* OUTBOX_QUEUE_VIEW_H */
