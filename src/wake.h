/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Wake the relay if, and only if, this transaction commits.
 *
 * Purpose: the commit itself starts the delivery.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none.
 * Errors: none thrown at commit.
 * Locks: none at commit, but OutboxShared.lock where queues or the extension
 *	  have changed or the relay has to be started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_WAKE_H
#define OUTBOX_WAKE_H

#include "outbox.h"

/* there is something to deliver */
extern void outbox_wake_at_commit(void);

/* there is something to deliver then; not before 2000, nor infinite */
extern void outbox_wake_when_due(TimestampTz due_at);

/* something else has changed: wake the relay also while Redis is away */
extern void outbox_tell_at_commit(void);

/* wake it now */
extern void outbox_tell_now(void);

#endif							/* OUTBOX_WAKE_H */
