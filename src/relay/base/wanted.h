/*-------------------------------------------------------------------------
 *
 * wanted.h
 *	  What the next turn of the loop has to do, and why.
 *
 * Purpose: ask for a plan from wherever something has come to light.
 * Process: relay.  Transaction: none needed.  Memory: static.
 * Errors: none.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_WANTED_H
#define OUTBOX_RELAY_WANTED_H

#include "outbox.h"

/* why the relay looks for rows to send */
typedef enum PlanReason
{
	PLAN_WOKEN = 1 << 0,		/* a commit, or somebody else, has set the latch */
	PLAN_ROUTINE = 1 << 1,		/* now and then; COMMIT PREPARED wakes nobody */
	PLAN_STAGED = 1 << 2,		/* the relay itself has staged messages */
	PLAN_QUEUES = 1 << 3,		/* the list of queues has changed, or has to */
	PLAN_CURSOR = 1 << 4,		/* a queue goes on from its cursor */
	PLAN_NEXT_TICK = 1 << 5,	/* behind a tick of the past there may be another */
	PLAN_MISSED = 1 << 6,		/* a queue was busy when the last plan was made */
	PLAN_ROW_GONE = 1 << 7,		/* a planned row has been updated or moved */
	PLAN_ANSWER = 1 << 8		/* an answer that held up a queue has arrived */
} PlanReason;

extern void outbox_want_plan(PlanReason reason);
extern bool outbox_plan_is_wanted(void);

/* whatever was asked for is about to be done */
extern void outbox_plan_is_made(void);

#endif							/* OUTBOX_RELAY_WANTED_H */
