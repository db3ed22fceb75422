/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Nothing may be delivered until somebody has decided.
 *
 * Purpose: hold the relay for a reason, and let it go on.
 * Process: relay.  Transaction: none needed.  Memory: static.
 * Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_HOLD_H
#define OUTBOX_RELAY_HOLD_H

#include "outbox.h"

#include "shmem.h"

/* where the reason was found: it goes when it is no longer found there */
typedef enum HoldFound
{
	HOLD_FOUND_IN_DATABASE,
	HOLD_FOUND_IN_REDIS
} HoldFound;

/* state is OUTBOX_HELD or OUTBOX_FENCED */
extern void outbox_hold(OutboxRelayState state, HoldFound found,
						const char *why);

/* the database gives no reason any more; with "all", nor does Redis */
extern void outbox_stop_holding(bool all);

extern bool outbox_is_held(void);

/* the state to be shown, and its reason */
extern OutboxRelayState outbox_hold_state(void);
extern const char *outbox_hold_reason(void);

#endif							/* OUTBOX_RELAY_HOLD_H */
