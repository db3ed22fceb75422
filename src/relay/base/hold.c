/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Hold all messages until an operator has decided.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A relay is held if its database is a copy, or if a cursor in Redis says that
 * another server has taken over.  A reason in the database is read again and
 * again, and ends when it is not there any more.  A reason in Redis ends with
 * outbox_resume(), which gives the database other cursors.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/hold.h"

/* OUTBOX_NOT_RUNNING: not held */
static OutboxRelayState hold = OUTBOX_NOT_RUNNING;
static bool found_in_database = false;
static char reason[OUTBOX_TEXT_SIZE];

void
outbox_hold(OutboxRelayState state, HoldFound found, const char *why)
{
	if (hold != state)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox holds all messages: %s", why),
				 errhint("To deliver them from here, call outbox_resume().")));
	hold = state;
	found_in_database = found == HOLD_FOUND_IN_DATABASE;
	snprintf(reason, sizeof(reason), "%s; outbox_resume() delivers from here",
			 why);
}

void
outbox_stop_holding(bool all)
{
	if (all || found_in_database)
		hold = OUTBOX_NOT_RUNNING;
	found_in_database = false;
}

bool
outbox_is_held(void)
{
	return hold != OUTBOX_NOT_RUNNING;
}

OutboxRelayState
outbox_hold_state(void)
{
	return hold;
}

const char *
outbox_hold_reason(void)
{
	return reason;
}
