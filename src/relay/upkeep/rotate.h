/*-------------------------------------------------------------------------
 *
 * rotate.h
 *	  Empty staging tables in turn.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: free the space of messages that Redis has acknowledged and that were
 *	  retained long enough.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: those of SQL.
 * Locks: AccessExclusiveLock on a staging table, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ROTATE_H
#define OUTBOX_RELAY_ROTATE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* empty or switch tables if that can be done; true if there is more to do */
extern bool outbox_rotate(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_ROTATE_H */
