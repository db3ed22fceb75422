/*-------------------------------------------------------------------------
 *
 * hold.c
 *	  Nothing may be delivered until somebody has decided.
 *
 * Design notes
 *
 * A relay is held if the database it finds is a copy, or if a cursor in Redis
 * says that another server has taken over.  The first is read from the
 * database again and again and ends when the database says so.  The second
 * ends with outbox_resume(), which gives the database new cursors.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/hold.h"

static OutboxRelayState hold = OUTBOX_NOT_RUNNING;	/* that is: not held */
static bool found_in_database = false;
static char reason[OUTBOX_TEXT_SIZE];

void
outbox_hold(OutboxRelayState state, HoldFound found, const char *why)
{
	if (hold != state)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox holds all messages: %s", why),
				 errhint("If they shall be delivered from here, call outbox_resume().")));
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
