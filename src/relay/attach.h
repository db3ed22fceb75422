/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  The relay's slot, and whether its database is a copy.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: take the slot, read the source.
 * Process: relay.
 * Transaction: outbox_read_relay_state() in the caller's; the rest needs none.
 * Memory: nothing is allocated.
 * Errors: those of SQL.  The process ends, without an error, if the launcher
 *	  or the database does not need it any more.
 * Locks: OutboxShared.lock; the caller has locked outbox.relay_state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ATTACH_H
#define OUTBOX_RELAY_ATTACH_H

#include "outbox.h"

#include <signal.h>

#include "launcher.h"
#include "relay/base/state.h"

/* set by SIGTERM */
extern volatile sig_atomic_t outbox_told_to_end;

/* the slot given by the launcher; ends the process if it is another relay's */
extern OutboxSlot *outbox_relay_attach(const OutboxRelayArgs *args);

/* the extension is not in this database: end, and do not start again */
pg_noreturn extern void outbox_relay_leave(Relay *relay);

/*
 * Read the database's source, and hold everything if the database is a copy or
 * was restored.  Restored messages are looked for only if the caller has locked
 * outbox.deferred.  *changed: another source, so all cursors have other names.
 * False if the database has no source yet and can't be given one now.
 */
extern bool outbox_read_relay_state(Relay *relay, bool deferred, bool *changed);

#endif							/* OUTBOX_RELAY_ATTACH_H */
