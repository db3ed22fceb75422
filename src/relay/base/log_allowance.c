/*-------------------------------------------------------------------------
 *
 * log_allowance.c
 *	  How much of what happens again and again is logged.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What is repeated without an end in between is logged once, by whoever logs
 * it.  This is for what begins and ends again and again: ten lines may be
 * written at once, and one each ten seconds in the long run.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/log_allowance.h"

#define LINES_AT_ONCE	10
#define LINE_INTERVAL_MS	10000

bool
outbox_may_log(LogAllowance *allowance, OutboxTime now)
{
	while (allowance->used > 0 &&
		   now >= outbox_in_ms(allowance->since, LINE_INTERVAL_MS))
	{
		allowance->used--;
		allowance->since = outbox_in_ms(allowance->since, LINE_INTERVAL_MS);
	}
	if (allowance->used == 0)
		allowance->since = now;
	if (allowance->used == LINES_AT_ONCE)
		return false;
	allowance->used++;
	return true;
}
