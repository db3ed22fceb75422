/*-------------------------------------------------------------------------
 *
 * kept.h
 *	  Who keeps a staging table from being emptied.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: tell an operator why staging grows: in the log and in outbox.status.
 * Process: relay.
 * Transaction: its own.
 * Memory: static, and the relay's slot.
 * Errors: those of SQL.  A WARNING for each transaction that is found.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_KEPT_H
#define OUTBOX_RELAY_KEPT_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/*
 * Look who has a lock on a table that could not be emptied in time; -1: there
 * is none.  Unless it is another table than before, only now and then.
 */
extern void outbox_look_who_keeps(Relay *relay, OutboxTime now, int table);

#endif							/* OUTBOX_RELAY_KEPT_H */
