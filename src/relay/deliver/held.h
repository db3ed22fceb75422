/*-------------------------------------------------------------------------
 *
 * held.h
 *	  Skipped messages of a queue, and the keys that wait for them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: know which keys are held, and when a retry is due.
 * Process: relay.
 * Transaction: functions marked "SQL" run in the caller's, with SPI connected;
 *	  the rest needs none.
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
	int64		count;			/* skipped messages */
	TimestampTz retry_at;		/* when the first is due; 0: not known */
	OutboxTime	not_before;		/* no look at the table before this */
	bool		evacuated;		/* outbox.deferred may have evacuated rows */
} QueueHeld;

extern void outbox_held_init(RelayQueue *queue);

/* the hash of a message's key, as the index of outbox.deferred has it */
extern uint64 outbox_key_hash(const struct varlena *key);

/* false for a message without a key */
extern bool outbox_key_is_held(const RelayQueue *queue,
							   const OutboxMessage *msg);

/* a message is skipped now, and holds its key */
extern void outbox_hold_message(RelayQueue *queue, const OutboxMessage *msg);

/* n messages were delivered or given up; see outbox_release_key() */
extern void outbox_unhold_messages(RelayQueue *queue, int64 n);

/* one message less holds the key with this hash */
extern void outbox_release_key(RelayQueue *queue, uint64 hash);

/* a skipped message is due at this time */
extern void outbox_retry_is_due(RelayQueue *queue, TimestampTz due);

/* whatever is due, don't look for it before this */
extern void outbox_retry_not_before(RelayQueue *queue, OutboxTime not_before);

/* set QueueHeld.evacuated */
extern void outbox_note_evacuated(RelayQueue *queue, bool evacuated);

/* forget which messages and keys are held: the tables have to be read */
extern void outbox_forget_held(RelayQueue *queue);

/* a skipped message whose key has this hash; skipped messages without a key */
extern void outbox_hold_hash(RelayQueue *queue, uint64 hash);
extern void outbox_hold_keyless(RelayQueue *queue, int64 n);

/* SQL: all that is held was told by these two; read whether rows are evacuated */
extern void outbox_held_was_read(RelayQueue *queue);

/* SQL: read when the next skipped message is due */
extern void outbox_find_next_retry(RelayQueue *queue);

/* SQL: the first message of each of these keys is due, and waits no longer */
extern void outbox_retry_next_of_keys(RelayQueue *queue, const uint64 *hashes, int n,
									  TimestampTz now);

/*
 * Lock the tables that failures are recorded in; false if a lock can't be had
 * now.
 */
extern bool outbox_lock_failures(void);

/* begin a step with these locks, see outbox_begin_locked_step() */
extern bool outbox_begin_failure_step(void);

/* the same; also false if an open transaction drops the queue */
extern bool outbox_begin_failure_step_of(const RelayQueue *queue);

#endif							/* OUTBOX_RELAY_HELD_H */
