/*-------------------------------------------------------------------------
 *
 * topic_queues.h
 *	  Queues for destination topics that have none.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read the settings of outbox_forward_watermill(), and make queues with
 *	  them.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: scratch in the current context.
 * Errors: INVALID_PARAMETER_VALUE, INSUFFICIENT_PRIVILEGE, those of
 *	  outbox_create_queue().
 * Locks: who makes a queue keeps a lock to the end of the transaction that
 *	  conflicts with itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TOPIC_QUEUES_H
#define OUTBOX_TOPIC_QUEUES_H

#include "outbox.h"

#include "utils/jsonb.h"

/*
 * An error if queues cannot be made with these settings, or not with the rights
 * of these two roles.  The schema is that of outbox_create_queue().
 */
extern void outbox_check_topic_queues(Oid schema, Jsonb *settings, Oid caller, Oid owner);

/*
 * Make a topic's queue, if somebody else does not, as these settings have it.
 * Returns false if they do not say that queues are to be made.
 */
extern bool outbox_make_topic_queue(Oid schema, Jsonb *settings, Oid owner,
									const char *topic);

#endif							/* OUTBOX_TOPIC_QUEUES_H */
