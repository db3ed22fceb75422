/*-------------------------------------------------------------------------
 *
 * wanted.c
 *	  What the next turn of the loop has to do, and why.
 *
 * Design notes
 *
 * A plan costs a snapshot and an index scan, so none is made unless somebody
 * has a reason.  Reasons add up; with log_min_messages = debug3 they are in
 * the server's log, to find out who keeps an idle relay busy.
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
