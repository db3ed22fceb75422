/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  What becomes of a message that failed: tried again, behind, given up.
 *
 * Purpose: apply the queue's policy to one message, and record it.
 * Process: relay.
 * Transaction: the caller's.  SPI need not be connected.
 * Memory: the message's history is palloc'ed in the current context.
 * Errors: those of SQL; a WARNING for each dead letter.
 * Locks: the caller has locked outbox.deferred and outbox.dead_letter, see
 *	  outbox_lock_failures().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_FAILURE_H
#define OUTBOX_RELAY_FAILURE_H

#include "outbox.h"

#include "relay/base/state.h"

/* a message waits behind another one of its key */
extern void outbox_message_behind(RelayQueue *queue, const OutboxMessage *msg);

/*
 * Redis has refused a message; was_held: it was skipped before.  True if it
 * has been given up.
 */
extern bool outbox_message_refused(RelayQueue *queue, OutboxMessage *msg,
								   const char *error, bool was_held,
								   TimestampTz now);

/* a message is too old to be sent */
extern void outbox_message_expired(RelayQueue *queue, OutboxMessage *msg,
								   TimestampTz now);

/*
 * A consumer returns a message, this time for the attempt in msg->attempts.
 * Returns when it is delivered again, 0 if it has been given up.
 */
extern TimestampTz outbox_message_returned(RelayQueue *queue,
										   OutboxMessage *msg,
										   const char *error, bool is_dead,
										   TimestampTz now);

#endif							/* OUTBOX_RELAY_FAILURE_H */
