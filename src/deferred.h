/*-------------------------------------------------------------------------
 *
 * deferred.h
 *	  Messages that can't just wait in staging, and dead letters.
 *
 * Purpose: insert rows into outbox.deferred and outbox.dead_letter.
 * Process: outbox_defer() backend and relay, the rest the relay.
 * Transaction: the caller's; SPI must not be connected.
 * Memory: nothing is kept but a saved plan.
 * Errors: those of SQL.
 * Locks: RowExclusiveLock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DEFERRED_H
#define OUTBOX_DEFERRED_H

#include "outbox.h"

/* OutboxMessage.reason: why a row is in outbox.deferred, by its first letter */
#define OUTBOX_DELAYED		'd'
#define OUTBOX_RETRIED		'r' /* tried again at due_at */
#define OUTBOX_BEHIND		'b' /* behind another one of its key */
#define OUTBOX_EVACUATED	'e' /* its queue stands still, staging was emptied */
#define OUTBOX_APPLIED		'a' /* delivered at due_at, retained */

/*
 * Insert a row with the rights of the table's owner.  If the message is there
 * already, its reason, attempts, history and due_at are set.  What outbox.seq
 * and the transaction give (xid, seq, timeline, enqueued_at) must be filled
 * in.
 */
extern void outbox_defer(const OutboxMessage *msg, char reason,
						 TimestampTz due_at);

/* true while the extension itself inserts: it is not a dump being restored */
extern bool outbox_deferring;

#endif							/* OUTBOX_DEFERRED_H */
