/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Record that a message failed: retry it, let it wait, or give it up.
 *
 * Copyright (c) 2026, the outbox developers
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

/* skip a message that waits behind another message of its key */
extern void outbox_message_behind(RelayQueue *queue, const OutboxMessage *msg);

/*
 * Redis has refused a message; was_held says whether it had been skipped
 * before.  True if it is given up now.
 */
extern bool outbox_message_refused(RelayQueue *queue, OutboxMessage *msg,
								   const char *error, bool was_held,
								   TimestampTz now);

/*
 * Have on disk that messages were given up, before anything else is sent: or the
 * next message of their key might go, and the given-up one after it, if the server
 * crashes and the record is lost.
 */
extern void outbox_flush_burials(void);

/* has one been given up since?  Then nothing more is sent in this step. */
extern bool outbox_has_buried(void);

/* give up a message that is too old to be sent */
extern void outbox_message_expired(RelayQueue *queue, OutboxMessage *msg,
								   TimestampTz now);

/*
 * A consumer has returned a message, for the attempt with the number
 * msg->attempts.  Returns the time at which the message is delivered again, or
 * 0 if it is given up.
 */
extern TimestampTz outbox_message_returned(RelayQueue *queue,
										   OutboxMessage *msg,
										   const char *error, bool is_dead,
										   TimestampTz now);

#endif							/* OUTBOX_RELAY_FAILURE_H */
