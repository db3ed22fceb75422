/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The monotonic clock, which nobody can set.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: measure how long something takes, and find out when the next
 *	  attempt is due.  Wall clock time (TimestampTz) is for tables and views.
 * Process: all.  Transaction: none needed.  Memory: none.
 * Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLOCK_H
#define OUTBOX_CLOCK_H

#include "outbox.h"

#include "portability/instr_time.h"

/* microseconds since some moment; only differences have a meaning */
typedef int64 OutboxTime;

#define OUTBOX_NEVER	PG_INT64_MAX
#define OUTBOX_LONG_AGO (PG_INT64_MIN / 2)

static inline OutboxTime
outbox_now(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (OutboxTime) INSTR_TIME_GET_MICROSEC(now);
}

/* returns the time that is this many milliseconds after now */
static inline OutboxTime
outbox_in_ms(OutboxTime now, int64 ms)
{
	return now + ms * 1000;
}

/* returns the milliseconds until then, rounded up; 0 if then is past */
static inline long
outbox_ms_until(OutboxTime now, OutboxTime then)
{
	if (then <= now)
		return 0;
	/* nobody waits longer, and it fits into any long */
	if (then - now > USECS_PER_DAY)
		return (long) (USECS_PER_DAY / 1000);
	return (long) ((then - now + 999) / 1000);
}

#endif							/* OUTBOX_CLOCK_H */
