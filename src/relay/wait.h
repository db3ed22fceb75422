/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  The relay waits: for a commit, for Redis, for what is due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: one wait for all that the relay may wait for.
 * Process: relay.
 * Transaction: none may be open.
 * Memory: a wait event set for each socket.
 * Errors: those of wait event sets.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_WAIT_H
#define OUTBOX_RELAY_WAIT_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* what is waited for on a socket */
typedef struct SocketWait
{
	uint64		connection;		/* outbox_connection_number() */
	int			events;
	int			pos;			/* in the set */
} SocketWait;

typedef struct LinkWait
{
	SocketWait	server;
	SocketWait	sentinel;		/* that is asked where the server is */
} LinkWait;

extern void outbox_link_wait_init(Link *link);

/* wait for a commit, for Redis or for the first thing that is due */
extern void outbox_wait_for_work(Relay *relay, OutboxTime chores_at);

/* wait for this time or the latch, before there is a link */
extern void outbox_wait_ms(long ms);

#endif							/* OUTBOX_RELAY_WAIT_H */
