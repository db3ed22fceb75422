/*-------------------------------------------------------------------------
 *
 * look.h
 *	  Look at the cursors of idle queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: notice what Redis has lost without the connection breaking; move
 *	  idle cursors, so that a copy of this server is told from it.
 * Process: relay.
 * Transaction: none may be open.
 * Memory: static; requests.
 * Errors: those of writing WAL.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LOOK_H
#define OUTBOX_RELAY_LOOK_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/*
 * Has a request that was sent since then found the queue's cursor where it was
 * expected?  True as well if the queue is blocked and its cursor was asked for since.
 */
extern bool outbox_cursor_confirmed(const RelayQueue *queue, OutboxTime since);

/* the same of all queues whose servers are not away; if it isn't so, looks are sent soon */
extern bool outbox_cursors_confirmed(Relay *relay, OutboxTime since);

/* how often an idle cursor is looked at */
extern int	outbox_look_interval_ms(void);

/* may cursors be looked at on this link? */
extern bool outbox_may_look(const Link *link);

/* ... on any link of a server? */
extern bool outbox_may_look_somewhere(const Relay *relay);

/* look at some of those that it is time for; true if there are more */
extern bool outbox_look_at_cursors(Relay *relay, OutboxTime now);

/* the answer to such a look */
extern void outbox_look_answer(Relay *relay, const Request *request,
							   const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_LOOK_H */
