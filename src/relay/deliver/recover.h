/*-------------------------------------------------------------------------
 *
 * recover.h
 *	  A queue's cursor, as Redis has it.
 *
 * Purpose: read the cursors of queues that need it, and go on from there.
 * Process: relay.
 * Transaction: none may be open; the answers have some of their own.
 * Memory: snapshots of the position live in the relay's context.
 * Errors: those of SQL.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RECOVER_H
#define OUTBOX_RELAY_RECOVER_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"

/* ask for the cursors of queues that need it */
extern void outbox_ask_for_cursors(Relay *relay, OutboxTime now);

extern void outbox_cursor_answer(Relay *relay, const Request *request,
								 const OutboxReply *reply);
extern void outbox_takeover_answer(Relay *relay, const Request *request,
								   const OutboxReply *reply);

#endif							/* OUTBOX_RELAY_RECOVER_H */
