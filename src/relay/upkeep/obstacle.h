/*-------------------------------------------------------------------------
 *
 * obstacle.h
 *	  Show what is in the way of the relay, and who holds it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: outbox.status says why something is not done.
 * Process: relay.
 * Transaction: its own.
 * Memory: static.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_OBSTACLE_H
#define OUTBOX_RELAY_OBSTACLE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* show what has been in the way for some seconds; to be called about once a second */
extern void outbox_publish_obstacle(Relay *relay, OutboxTime now);

/* returns what is shown; empty if nothing is in the way */
extern const char *outbox_shown_obstacle(void);

#endif							/* OUTBOX_RELAY_OBSTACLE_H */
