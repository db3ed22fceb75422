/*-------------------------------------------------------------------------
 *
 * moved.h
 *	  End the moves of queues that have come to their new servers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: record that nobody needs the old server any more.
 * Process: relay.
 * Transaction: its own.
 * Memory: none.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock on outbox.queue, the queue's row and AccessShareLock on its
 *	  view, if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_MOVED_H
#define OUTBOX_RELAY_MOVED_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* end one that can be ended, if there is one; true if it was */
extern bool outbox_end_moves(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_MOVED_H */
