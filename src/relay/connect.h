/*-------------------------------------------------------------------------
 *
 * connect.h
 *	  The life of a link: up, down, held.
 *
 * Purpose: connect, greet, take answers, ask for cursors; decide when the link
 *	  goes down and when the next attempt is made; say so.
 * Process: relay.
 * Transaction: none may be open; answers have some of their own.
 * Memory: a part of the link.
 * Errors: none for what Redis does.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_CONNECT_H
#define OUTBOX_RELAY_CONNECT_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

typedef struct LinkLife
{
	OutboxTime	retry_at;		/* while down: the next attempt */
	OutboxTime	give_up_at;		/* while connecting */
	int			backoff_ms;
	bool		up_is_shown;		/* "up" has been shown */
	char		last_trouble[OUTBOX_TEXT_SIZE]; /* already logged */
} LinkLife;

extern void outbox_link_life_init(Link *link);

/* one turn of the link */
extern void outbox_run_link(Relay *relay, Link *link, OutboxTime now);

/* Redis is somewhere else now: go there at once */
extern void outbox_link_has_moved(Relay *relay, Link *link);

/* there is nothing to apply, and nothing wrong: the link is up */
extern void outbox_link_is_idle(Relay *relay, Link *link);

/*
 * Milliseconds until the next attempt to connect; LONG_MAX if none is to be
 * made, as the link is up or the relay is held.
 */
extern long outbox_ms_until_connect(const Link *link, OutboxTime now);

#endif							/* OUTBOX_RELAY_CONNECT_H */
