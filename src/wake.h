/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Wake the relay if, and only if, this transaction commits.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let a commit start the delivery of its messages.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: none.
 * Errors: none thrown at commit.
 * Locks: none at commit, but OutboxShared.lock if queues or the extension have
 *	  changed or the relay has to be started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_WAKE_H
#define OUTBOX_WAKE_H

#include "outbox.h"

/* this transaction has staged messages */
extern void outbox_wake_at_commit(void);

/* this transaction has deferred a message; the time is finite, after 2000 */
extern void outbox_wake_when_due(TimestampTz due_at);

/* something else has changed: wake the relay even while it is deaf */
extern void outbox_tell_at_commit(void);

/* the same; what is in outbox.relay_state or was restored may have changed */
extern void outbox_tell_state_at_commit(void);

/* outbox_tell_at_commit(), without waiting for the commit */
extern void outbox_tell_now(void);

#endif							/* OUTBOX_WAKE_H */
