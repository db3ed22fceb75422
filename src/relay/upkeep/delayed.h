/*-------------------------------------------------------------------------
 *
 * delayed.h
 *	  Stage delayed messages when they are due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: know when the next delayed message is due, and stage it then.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: those of SQL and of staging.
 * Locks: RowExclusiveLock on outbox.deferred and staging, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_DELAYED_H
#define OUTBOX_RELAY_DELAYED_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* read from the table when the next message is due */
extern void outbox_look_for_delayed(void);

/* stage messages that are due, unless the relay is held */
extern void outbox_stage_delayed(Relay *relay, OutboxTime now);

/* milliseconds until the next message is due; LONG_MAX: none, or held */
extern long outbox_ms_until_delayed(OutboxTime now);

#endif							/* OUTBOX_RELAY_DELAYED_H */
