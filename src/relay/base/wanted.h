/*-------------------------------------------------------------------------
 *
 * wanted.h
 *	  Whether a plan is to be made, and why.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: let every file ask for a plan, with its reason.
 * Process: relay.
 * Transaction: none needed.
 * Memory: static.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_WANTED_H
#define OUTBOX_RELAY_WANTED_H

#include "outbox.h"

/* why the relay has to look for rows to send */
typedef enum PlanReason
{
	PLAN_WOKEN = 1 << 0,		/* a commit, or another process, set the latch */
	PLAN_ROUTINE = 1 << 1,		/* once a second; COMMIT PREPARED does not
								 * wake */
	PLAN_STAGED = 1 << 2,		/* the relay itself has staged messages */
	PLAN_QUEUES = 1 << 3,		/* the list of queues has changed, or has to */
	PLAN_CURSOR = 1 << 4,		/* a queue's cursor has been read */
	PLAN_NEXT_TICK = 1 << 5,	/* behind a tick of the past there may be
								 * another */
	PLAN_MISSED = 1 << 6,		/* a queue was busy when the last plan was
								 * made */
	PLAN_ROW_GONE = 1 << 7,		/* a planned row has been updated or moved */
	PLAN_ANSWER = 1 << 8		/* an answer that held up a queue has arrived */
} PlanReason;

extern void outbox_want_plan(PlanReason reason);
extern bool outbox_plan_is_wanted(void);

/* a plan is about to be made: forget the reasons */
extern void outbox_plan_is_made(void);

#endif							/* OUTBOX_RELAY_WANTED_H */
