/*-------------------------------------------------------------------------
 *
 * rotate.h
 *	  Empty staging tables in turn.
 *
 * Purpose: give back what Redis has acknowledged and was retained long enough.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: those of SQL.
 * Locks: AccessExclusiveLock on a staging table, if nobody holds any.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ROTATE_H
#define OUTBOX_RELAY_ROTATE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* as far as may be; true if there is more to do at once */
extern bool outbox_rotate(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_ROTATE_H */
