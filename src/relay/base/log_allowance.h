/*-------------------------------------------------------------------------
 *
 * log_allowance.h
 *	  How much of what happens again and again is logged.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let trouble that comes and goes write a bounded number of lines.
 * Process: relay; pure.
 * Transaction: none needed.
 * Memory: a LogAllowance is its owner's; it begins with zeroes.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_LOG_ALLOWANCE_H
#define OUTBOX_RELAY_LOG_ALLOWANCE_H

#include "outbox.h"

#include "clock.h"

typedef struct LogAllowance
{
	int			used;
	OutboxTime	since;			/* one is given back at each interval from
								 * here */
} LogAllowance;

/* take one, if there is one left */
extern bool outbox_may_log(LogAllowance *allowance, OutboxTime now);

#endif							/* OUTBOX_RELAY_LOG_ALLOWANCE_H */
