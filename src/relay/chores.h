/*-------------------------------------------------------------------------
 *
 * chores.h
 *	  What the relay does about once a second.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: all that is not the way of a message.
 * Process: relay.
 * Transaction: none may be open.
 * Memory: scratch.
 * Errors: each chore that fails is left for later.
 * Locks: those of the chores, none of which waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_CHORES_H
#define OUTBOX_RELAY_CHORES_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* do them if it is time, which is *at; false if it is not */
extern bool outbox_do_chores(Relay *relay, OutboxTime now, OutboxTime *at);

/* a count of what waits is under way: false if that can't go on now */
extern bool outbox_go_on_counting(Relay *relay, OutboxTime now);

/* say what is in the way; returns true */
extern bool outbox_say_obstacle(Relay *relay, OutboxTime now);

#endif							/* OUTBOX_RELAY_CHORES_H */
