/*-------------------------------------------------------------------------
 *
 * errand.h
 *	  Errands of backends are done: what they ask Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: ask Redis what a backend wants to know of the cursors of others.
 * Process: relay.
 * Transaction: none needed.
 * Memory: none but the link's.
 * Errors: none thrown.
 * Locks: OutboxShared.lock, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ERRAND_H
#define OUTBOX_RELAY_ERRAND_H

#include "outbox.h"

#include "clock.h"
#include "redis/reply.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* what a backend asks: a copy of its OutboxErrand */
typedef struct Errand
{
	uint32		number;
	OutboxErrandKind kind;
	char	   *server;
	char	   *key;
	char	   *arg;
} Errand;

/* is there one to be sent?  Copied in the current context */
extern bool outbox_take_errand(Relay *relay, Errand *errand);

/*
 * Send it, to this node of a cluster or to a server that is none; which node is to
 * be asked then is for the backend.
 */
extern void outbox_send_errand(Link *link, const Errand *errand,
							   const char *node, const char *next);

/* tell the backend why it can't be sent */
extern void outbox_refuse_errand(Relay *relay, const char *error,
								 const char *node, const char *next);

/* ... or that nobody has to be asked */
extern void outbox_forget_errand(Relay *relay);

/* hand the answer to the backend */
extern void outbox_errand_answer(Relay *relay, const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_ERRAND_H */
