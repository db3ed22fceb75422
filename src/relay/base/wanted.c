/*-------------------------------------------------------------------------
 *
 * wanted.c
 *	  Whether a plan is to be made, and why.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A plan costs a snapshot and an index scan, so none is made without a reason.
 * Reasons are collected until the next plan.  With log_min_messages = debug3
 * they are written to the server's log, which shows what keeps an idle relay
 * busy.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/wanted.h"

static int	reasons = 0;

void
outbox_want_plan(PlanReason reason)
{
	reasons |= reason;
}

bool
outbox_plan_is_wanted(void)
{
	return reasons != 0;
}

void
outbox_plan_is_made(void)
{
	elog(DEBUG3, "outbox makes a plan, reasons 0x%x", reasons);
	reasons = 0;
}
