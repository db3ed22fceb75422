/*-------------------------------------------------------------------------
 *
 * link_life.h
 *	  Connect a link, notice that it has failed, and say so.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: connect, greet, take answers, ask for cursors; decide when a link
 *	  has failed and when the next attempt is made.
 * Process: relay.
 * Transaction: none may be open; dealing with an answer may open one.
 * Memory: a part of the link.
 * Errors: none thrown for what Redis does.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LINK_LIFE_H
#define OUTBOX_RELAY_LINK_LIFE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

typedef struct LinkLife
{
	OutboxTime	retry_at;		/* while down: the next attempt */
	OutboxTime	give_up_at;		/* while connecting */
	int			backoff_ms;
	int			ping_ms;		/* how long it may be idle; 0: not known */
	OutboxTime	ask_commands_at;	/* not before: which the server has */
	uint64		refusals;		/* how often Redis has refused who we are, or
								 * that could not be known */
} LinkLife;

extern void outbox_link_life_init(Link *link);

/*
 * One turn of a link that serves all queues of a server: connect, move bytes, deal
 * with answers, ask for cursors.  While the relay is held, or no queue needs it,
 * the link is closed.
 */
extern void outbox_run_link(Relay *relay, Link *link, OutboxTime now);

/* its server has changed: close the link and connect at once */
extern void outbox_link_has_moved(Relay *relay, Link *link);

/* everything is delivered, and nothing is wrong: the link is up */
extern void outbox_link_is_idle(Relay *relay, Link *link);

/*
 * Milliseconds until the next attempt to connect; LONG_MAX if none is to be
 * made, as the link is up or the relay is held.
 */
extern long outbox_ms_until_connect(const Link *link, OutboxTime now);

/* for a link that is down: begin to connect to this host; NULL: it is not known */
extern void outbox_link_connect(Link *link, const OutboxRedisHost *host,
								OutboxTime now);

/* move bytes and take answers; trouble is in link->trouble */
extern void outbox_link_exchange(Relay *relay, Link *link, OutboxTime now);

#endif							/* OUTBOX_RELAY_LINK_LIFE_H */
