/*-------------------------------------------------------------------------
 *
 * link_shown.h
 *	  What is shown and logged of links, one for each server.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: say which servers answer, and why another one does not.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the link.
 * Errors: none thrown; a log message when something has changed.
 * Locks: OutboxShared.lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LINK_SHOWN_H
#define OUTBOX_RELAY_LINK_SHOWN_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/log_allowance.h"
#include "relay/base/state.h"

typedef struct LinkShown
{
	OutboxRelayState state;
	TimestampTz since;
	char		why[OUTBOX_TEXT_SIZE];
	char		last_error[OUTBOX_TEXT_SIZE];
	TimestampTz last_error_at;

	bool		is_up;			/* that is shown and logged, for this
								 * connection */
	OutboxTime	standby_at;		/* that something waits for the standby; 0:
								 * not */
	LogAllowance allowance;
	char		last_trouble[OUTBOX_TEXT_SIZE]; /* already logged */
	char		address[OUTBOX_TEXT_SIZE];	/* if it is not the server's as
											 * written */

	int			queues;			/* that the server has */
	int64		waiting;		/* messages of these */
	uint64		delivered;
	TimestampTz last_success;
} LinkShown;

extern void outbox_link_shown_init(Link *link);

/* the connection is closed */
extern void outbox_show_link_ends(Link *link);

/* its server has changed: forget what was logged */
extern void outbox_show_link_anew(Link *link);

/* it has failed, and waits for its server */
extern void outbox_show_trouble(Relay *relay, Link *link, const char *error,
								OutboxTime now);

/* where it is connected, if Sentinels have said that */
extern void outbox_show_link_address(const Link *link, const char *address);

/* once for each connection: the link is up */
extern void outbox_show_up(Relay *relay, Link *link);

/* that messages wait for the synchronous standby, if they do */
extern void outbox_show_standby(Relay *relay, Link *link, OutboxTime now);

/* everything is held */
extern void outbox_show_hold(Relay *relay);

/* does the link wait for its server, which others need not? */
extern bool outbox_is_shown_waiting(const Link *link);

/*
 * Count queues: none are counted; add one to its server's; show the counts, with
 * OutboxShared.lock held.
 */
extern void outbox_count_at_servers(const Relay *relay);
extern void outbox_add_to_server(const RelayQueue *queue, int64 waiting,
								 uint64 delivered, TimestampTz last_success);
extern void outbox_publish_servers(const Relay *relay);

#endif							/* OUTBOX_RELAY_LINK_SHOWN_H */
