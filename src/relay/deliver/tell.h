/*-------------------------------------------------------------------------
 *
 * tell.h
 *	  Tell who listens that messages were given up.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: NOTIFY, after what it tells of is durable.
 * Process: relay.
 * Transaction: outbox_tell_later() in the caller's; telling has its own.
 * Memory: what is to be told, up to a limit.
 * Errors: one that telling meets is caught.
 * Locks: PostgreSQL's lock on the order of notifications, for which the relay
 *	  waits no longer than lock_timeout.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_TELL_H
#define OUTBOX_RELAY_TELL_H

#include "outbox.h"

#include "clock.h"

/* tell of this message if the open transaction commits */
extern void outbox_tell_later(const char *queue, const char *id);

/* tell what there is to tell */
extern void outbox_tell_dead_letters(OutboxTime now);

#endif							/* OUTBOX_RELAY_TELL_H */
