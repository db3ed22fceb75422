/*-------------------------------------------------------------------------
 *
 * held.h
 *	  Skipped messages of a queue, and the keys that they hold up.
 *
 * Purpose: know which keys are held; find out what may be tried again.
 * Process: relay.
 * Transaction: functions that say so run SQL in the caller's, SPI connected.
 * Memory: a part of the queue, with a hash table of held keys.
 * Errors: those of SQL.
 * Locks: the caller has locked outbox.deferred, see outbox_lock_failures().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_HELD_H
#define OUTBOX_RELAY_HELD_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"
#include "utils/hsearch.h"

typedef struct QueueHeld
{
	HTAB	   *keys;			/* of HeldKey; NULL: none is held */
	int64		count;			/* messages skipped */
	TimestampTz retry_at;		/* when one is due, as the tables say; 0: look */
	OutboxTime	not_before;		/* ... and not to look before this */
	bool		evacuated;		/* there may be evacuated rows */
} QueueHeld;

extern void outbox_held_init(RelayQueue *queue);

/* the hash of a message's key, as the index of outbox.deferred has it */
extern uint64 outbox_key_hash(const struct varlena *key);

extern bool outbox_key_is_held(const RelayQueue *queue,
							   const OutboxMessage *msg);

/* a message is skipped now; it is no longer, or was given up */
extern void outbox_hold_message(RelayQueue *queue, const OutboxMessage *msg);
extern void outbox_unhold_messages(RelayQueue *queue, int64 n);

/* one of the messages that hold a key is none any more */
extern void outbox_release_key(RelayQueue *queue, uint64 hash);

/* a skipped message is due then */
extern void outbox_retry_is_due(RelayQueue *queue, TimestampTz due);
extern void outbox_retry_not_before(RelayQueue *queue, OutboxTime not_before);

extern void outbox_note_evacuated(RelayQueue *queue, bool evacuated);

/* nothing is held, as far as is known */
extern void outbox_forget_held(RelayQueue *queue);

/* SQL: what is held, and whether anything has been evacuated */
extern void outbox_read_held(RelayQueue *queue);

/* SQL: when the next of the skipped messages is due */
extern void outbox_find_next_retry(RelayQueue *queue);

/* SQL: the first message of each of these keys waits behind nobody any more */
extern void outbox_retry_next_of_keys(RelayQueue *queue, const uint64 *hashes, int n,
							   TimestampTz now);

/* lock what failures are recorded in, if nobody is in the way */
extern bool outbox_lock_failures(void);

/* begin a step with these locks, see outbox_begin_locked_step() */
extern bool outbox_begin_failure_step(void);

#endif							/* OUTBOX_RELAY_HELD_H */
