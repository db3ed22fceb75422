/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  Whose relay this is: its slot, its settings, its database.
 *
 * Purpose: take the slot, keep the database's settings out, read the source.
 * Process: relay.
 * Transaction: outbox_read_relay_state() in the caller's; the rest none.
 * Memory: the relay's.
 * Errors: none thrown for what others do; the process ends if it isn't wanted.
 * Locks: OutboxShared.lock; the caller has locked outbox.relay_state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ATTACH_H
#define OUTBOX_RELAY_ATTACH_H

#include "outbox.h"

#include "launcher.h"
#include "relay/base/state.h"

/* ends the process if the launcher wants it no more */
extern OutboxSlot *outbox_relay_attach(const OutboxRelayArgs *args);

/* this database hasn't got the extension: end, not to be started again */
extern void outbox_relay_leave(Relay *relay) pg_attribute_noreturn();

extern void outbox_fix_settings(void);

/*
 * Whose messages are these, and may they be delivered from here?  True if the
 * source has changed: cursors are others.
 */
extern bool outbox_read_relay_state(Relay *relay);

#endif							/* OUTBOX_RELAY_ATTACH_H */
