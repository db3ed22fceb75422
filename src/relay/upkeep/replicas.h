/*-------------------------------------------------------------------------
 *
 * replicas.h
 *	  With wait_replicas: what have the replicas of Redis?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: ask Redis by WAIT, on a connection of its own, which moves of cursors
 *	  enough replicas have; say what is wrong if they don't.
 * Process: relay.
 * Transaction: none may be open.
 * Memory: a part of the link.
 * Errors: none thrown for what Redis does.
 * Locks: OutboxShared.lock, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_REPLICAS_H
#define OUTBOX_RELAY_REPLICAS_H

#include "outbox.h"

#include "clock.h"
#include "redis/reply.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/upkeep/replicas_shown.h"

extern void outbox_link_replicas_init(Link *link);

/* one turn: connect, begin a round, take answers */
extern void outbox_run_replicas(Relay *relay, Link *link, OutboxTime now);

/* the answer on the link that delivers to what was sent there */
extern void outbox_marker_answer(Link *link, const OutboxReply *reply);

/* milliseconds until there is something to do; LONG_MAX if nothing is */
extern long outbox_ms_until_replicas(const Link *link, OutboxTime now);

/*
 * Has everything had replicas, from then on, not later than this many milliseconds
 * after Redis had it?
 */
extern bool outbox_replicas_kept_up(const RelayQueue *queue, OutboxTime since,
									int64 ms, OutboxTime now);

#endif							/* OUTBOX_RELAY_REPLICAS_H */
