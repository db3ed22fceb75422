/*-------------------------------------------------------------------------
 *
 * link_life.h
 *	  Connect a link, notice that it has failed, and say so.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: connect, greet, take answers, ask for cursors; decide when a link
 *	  has failed and when the next attempt is made; show and log both.
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
#include "relay/base/log_allowance.h"
#include "relay/base/state.h"

/* links for queues that are not served by the shared one */
#define OUTBOX_OWN_LINKS	4

typedef struct LinkLife
{
	OutboxTime	retry_at;		/* while down: the next attempt */
	OutboxTime	give_up_at;		/* while connecting */
	int			backoff_ms;
	int			ping_ms;		/* how long it may be idle; 0: not known */
	OutboxTime	ask_commands_at;	/* not before: which the server has */
	bool		up_is_shown;	/* ... and logged, for this connection */
	OutboxTime	standby_shown_at;	/* that something waits for it; 0: not */
	uint64		refusals;		/* how often Redis has refused who we are */
	LogAllowance allowance;
	char		last_trouble[OUTBOX_TEXT_SIZE]; /* already logged */
} LinkLife;

extern void outbox_link_life_init(Link *link);

/*
 * One turn of the link: connect, move bytes, deal with answers, ask for
 * cursors.  While the relay is held the link is closed.
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

/* milliseconds until a queue may get a link of its own; LONG_MAX if none waits */
extern long outbox_ms_until_own_link(OutboxTime now);

#endif							/* OUTBOX_RELAY_LINK_LIFE_H */
