/*-------------------------------------------------------------------------
 *
 * turn.h
 *	  How long a turn of the relay's loop takes, and what takes it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: measure turns, publish the longest, and tell a step of a turn when
 *	  it has done enough: what is left goes on in the next turn.
 * Process: relay.
 * Transaction: none needed.
 * Memory: static.
 * Errors: none.
 * Locks: OutboxShared.lock, when a turn was longer than any before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_TURN_H
#define OUTBOX_RELAY_TURN_H

#include "outbox.h"

#include "clock.h"
#include "shmem.h"

/* a turn begins; it ends */
extern void outbox_turn_begins(OutboxTime now);
extern void outbox_turn_ends(OutboxSlot *slot);

/* from here on the turn does this */
extern void outbox_turn_does(OutboxStep step);

/* the step has gone through this many rows, for a queue or (0) for several */
extern void outbox_turn_worked(int32 queue, int64 rows);

/* how long a step may work in one turn, in microseconds */
#define OUTBOX_PIECE_US		3000

/* has this step been at work for long enough, for one turn? */
extern bool outbox_piece_is_done(void);

#endif							/* OUTBOX_RELAY_TURN_H */
