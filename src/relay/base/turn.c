/*-------------------------------------------------------------------------
 *
 * turn.c
 *	  How long a turn of the relay's loop takes, and what takes it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * One process serves all queues of a database, so whatever takes it long
 * delays all of them.  No step of a turn may therefore do work in proportion
 * to how much stands in tables or in Redis: it does a piece, and goes on in
 * the next turn.  docs/faults.md lists the steps and their pieces.
 *
 * A piece is bounded by the monotonic clock: that bounds CPU time as well as
 * the time for which disks are waited for.  Whoever goes through many rows asks
 * about every few dozen, so that a piece gets somewhere however slow the
 * machine is.
 *
 * For each step the longest turns are kept in which it took most of the time.
 * Reading the thread's CPU time is a call of the kernel, about ten times as
 * dear as reading the monotonic clock.  So at the beginning of a turn it is
 * read only if that was not done within the last millisecond, and at the end
 * only if the turn was longer than that: it is told to a millisecond, and costs
 * nothing that could be measured.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/turn.h"

#include <time.h>

#include "utils/timestamp.h"

/* shorter turns are not looked at */
#define LONG_US			1000

static OutboxTime began;		/* the turn */
static OutboxTime step_began;	/* its present step */
static OutboxStep step = OUTBOX_STEP_OTHER;
static int32 queue;				/* what the step works for, and how much */
static int64 rows;

/* the step that took longest in this turn */
static OutboxStep longest;
static OutboxTime longest_us;
static int32 longest_queue;
static int64 longest_rows;

/* CPU time at the beginning of the turn, or up to LONG_US before */
static OutboxTime cpu = 0;
static OutboxTime cpu_read_at = OUTBOX_LONG_AGO;

static OutboxTime
cpu_time(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
		return 0;
	return t.tv_sec * INT64CONST(1000000) + t.tv_nsec / 1000;
}

void
outbox_turn_begins(OutboxTime now)
{
	began = step_began = now;
	step = longest = OUTBOX_STEP_OTHER;
	longest_us = 0;
	longest_queue = queue = 0;
	longest_rows = rows = 0;
	if (now - cpu_read_at < LONG_US)
		return;
	cpu = cpu_time();
	cpu_read_at = now;
}

static void
step_ends(OutboxTime now)
{
	if (now - step_began < longest_us)
		return;
	longest = step;
	longest_us = now - step_began;
	longest_queue = queue;
	longest_rows = rows;
}

void
outbox_turn_does(OutboxStep next)
{
	OutboxTime	now = outbox_now();

	step_ends(now);
	step = next;
	step_began = now;
	queue = 0;
	rows = 0;
}

void
outbox_turn_worked(int32 for_queue, int64 n)
{
	queue = for_queue;
	rows += n;
}

bool
outbox_piece_is_done(void)
{
	return outbox_now() - step_began >= OUTBOX_PIECE_US;
}

static void
note(OutboxTurn *turn, OutboxTime us)
{
	if (us <= turn->us)
		return;
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	turn->us = us;
	turn->at = GetCurrentTimestamp();
	turn->queue = longest_queue;
	turn->rows = longest_rows;
	LWLockRelease(outbox_shared->lock);
}

void
outbox_turn_ends(OutboxSlot *slot)
{
	OutboxTime	now = outbox_now();
	OutboxTime	spent;

	if (now - began < LONG_US)
		return;
	step_ends(now);
	spent = cpu_time() - cpu;
	note(&slot->longest[longest].cpu, spent);
	note(&slot->longest[longest].wall, now - began);
	cpu += spent;
	cpu_read_at = now;
}
