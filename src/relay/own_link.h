/*-------------------------------------------------------------------------
 *
 * own_link.h
 *	  Links that serve one queue at a time.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: serve a queue that its server's link is better without.
 * Process: relay.
 * Transaction: none may be open; dealing with an answer may open one.
 * Memory: none of its own.
 * Errors: none thrown for what Redis does.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_OWN_LINK_H
#define OUTBOX_RELAY_OWN_LINK_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* how many there are, for all servers together */
#define OUTBOX_OWN_LINKS	4

/* one turn of such a link: find a queue, and serve it */
extern void outbox_run_own_link(Relay *relay, Link *link, OutboxTime now);

/* the server of its queue has changed: close it, the queue goes back */
extern void outbox_own_link_has_moved(Link *link);

/* milliseconds until a queue may get a link of its own; LONG_MAX if none waits */
extern long outbox_ms_until_own_link(OutboxTime now);

#endif							/* OUTBOX_RELAY_OWN_LINK_H */
