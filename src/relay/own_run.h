/*-------------------------------------------------------------------------
 *
 * own_run.h
 *	  Record this server's run before anything is delivered.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: add the run to the database's history; hold the messages of a
 *	  restored backup.
 * Process: relay.
 * Transaction: its own.
 * Memory: the history lives as long as the relay.
 * Errors: those of SQL.
 * Locks: on outbox.run and outbox.relay_state, if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_OWN_RUN_H
#define OUTBOX_RELAY_OWN_RUN_H

#include "outbox.h"

#include "relay/base/state.h"

/*
 * Record the run, unless that is done or everything is held.  False if it could
 * not be recorded yet: then no cursor may be read or moved.
 */
extern bool outbox_record_own_run(Relay *relay);

#endif							/* OUTBOX_RELAY_OWN_RUN_H */
