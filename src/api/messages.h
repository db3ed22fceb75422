/*-------------------------------------------------------------------------
 *
 * messages.h
 *	  The messages that the calling role may see, and their states.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find messages for outbox.messages and outbox_preview().
 * Process: backend.
 * Transaction: the caller's.
 * Memory: what a visit gets is good until it returns; it is called in a context
 *	  that is reset then.
 * Errors: those of SQL and of table access; OBJECT_NOT_IN_PREREQUISITE_STATE if
 *	  a table was changed by hand.
 * Locks: AccessShareLock on the staging tables, let go of at the end; on the
 *	  others to the transaction's end.  They are waited for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MESSAGES_H
#define OUTBOX_MESSAGES_H

#include "outbox.h"

typedef struct OutboxFound
{
	const OutboxQueue *queue;
	const OutboxMessage *msg;
	const char *state;
	TimestampTz due_at;			/* 0: none */
	TimestampTz as_of;			/* 0: not known */
	bool		hidden;			/* the caller may not see what is in it */
} OutboxFound;

typedef void (*OutboxFoundVisit) (void *arg, const OutboxFound *found);

/* visit all messages, or if id is not NULL those with this id */
extern void outbox_find_messages(const pg_uuid_t *id, OutboxFoundVisit visit,
								 void *arg);

#endif							/* OUTBOX_MESSAGES_H */
