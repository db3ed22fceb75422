/*-------------------------------------------------------------------------
 *
 * rest.h
 *	  Queues rest while there is nothing to do for them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decide which queues rest, and see to it that none rests by mistake.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REST_H
#define OUTBOX_RELAY_REST_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* at the end of a turn: queues that are awake rest if they may */
extern void outbox_rest(OutboxTime now);

/* wake queues that rest though there is something to do for them */
extern void outbox_check_rest(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_REST_H */
