/*-------------------------------------------------------------------------
 *
 * hold.h
 *	  Hold all messages until an operator has decided.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: remember that nothing may be delivered, and why.
 * Process: relay.
 * Transaction: none needed.
 * Memory: static.
 * Errors: a WARNING when the relay begins to be held.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_HOLD_H
#define OUTBOX_RELAY_HOLD_H

#include "outbox.h"

#include "shmem.h"

/* where the reason was found, and has to be gone before the hold ends */
typedef enum HoldFound
{
	HOLD_FOUND_IN_DATABASE,
	HOLD_FOUND_IN_REDIS
} HoldFound;

/* deliver nothing, for this reason; state is OUTBOX_HELD or OUTBOX_FENCED */
extern void outbox_hold(OutboxRelayState state, HoldFound found,
						const char *why);

/* the reason in the database is gone; with "all", a reason in Redis, too */
extern void outbox_stop_holding(bool all);

extern bool outbox_is_held(void);

/* what is shown while the relay is held */
extern OutboxRelayState outbox_hold_state(void);
extern const char *outbox_hold_reason(void);

#endif							/* OUTBOX_RELAY_HOLD_H */
