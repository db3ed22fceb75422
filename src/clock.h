/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  A clock that nobody sets.
 *
 * Purpose: measure how long something takes, and when it is time for the next
 *	  attempt.  Times of the wall clock (TimestampTz) are for what tables
 *	  hold and views show.
 * Process: all.  Transaction: none needed.  Memory: none.
 * Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CLOCK_H
#define OUTBOX_CLOCK_H

#include "outbox.h"

#include "portability/instr_time.h"

/* microseconds since a moment of the past; only differences have a meaning */
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

static inline OutboxTime
outbox_in_ms(OutboxTime now, int64 ms)
{
	return now + ms * 1000;
}

/* milliseconds until then, rounded up; 0 if that is past */
static inline long
outbox_ms_until(OutboxTime now, OutboxTime then)
{
	if (then <= now)
		return 0;
	/* longer than anybody waits */
	if (then - now > USECS_PER_DAY)
		return (long) (USECS_PER_DAY / 1000);
	return (long) ((then - now + 999) / 1000);
}

#endif							/* OUTBOX_CLOCK_H */
