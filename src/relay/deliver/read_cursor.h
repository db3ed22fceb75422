/*-------------------------------------------------------------------------
 *
 * read_cursor.h
 *	  Read a queue's cursor from Redis, and continue from there.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: ask for cursors, decide whether this relay may move them, and
 *	  prepare the queue to be delivered from there.
 * Process: relay.
 * Transaction: none may be open; dealing with the answers opens some.
 * Memory: snapshots of the position live in the relay's context.
 * Errors: those of SQL.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_READ_CURSOR_H
#define OUTBOX_RELAY_READ_CURSOR_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* ask for those of the link's cursors that are not known or due again */
extern void outbox_ask_for_cursors(Relay *relay, Link *link, OutboxTime now);

/* deal with the answers to a cursor's request and to a takeover */
extern void outbox_cursor_answer(Relay *relay, const Request *request,
								 const OutboxReply *reply);
extern void outbox_takeover_answer(Relay *relay, const Request *request,
								   const OutboxReply *reply);

/* go on with what was too much for one turn; true if there is more */
extern bool outbox_go_on_reconciling(Relay *relay);

#endif							/* OUTBOX_RELAY_READ_CURSOR_H */
