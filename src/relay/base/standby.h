/*-------------------------------------------------------------------------
 *
 * standby.h
 *	  How far the synchronous standby has got.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: remember the WAL that what leaves rests on, and know whether the
 *	  synchronous standby has it.
 * Process: relay.
 * Transaction: none needed.
 * Memory: static.
 * Errors: none.
 * Locks: SyncRepLock, shared, while the standby is waited for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_STANDBY_H
#define OUTBOX_RELAY_STANDBY_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "clock.h"

/* what leaves from now on rests on WAL up to this insert position */
extern void outbox_rest_on(XLogRecPtr lsn);

/* has the synchronous standby all that, or is there none to wait for? */
extern bool outbox_standby_has_it(void);

/* the same for what rests on WAL up to this insert position */
extern bool outbox_standby_has(XLogRecPtr lsn);

/* how long the relay may sleep before it asks that again; it has not got it */
extern long outbox_standby_poll_ms(OutboxTime now);

/* what is shown if the wait has lasted for long; NULL: it has not */
extern const char *outbox_standby_trouble(OutboxTime now);

#endif							/* OUTBOX_RELAY_STANDBY_H */
