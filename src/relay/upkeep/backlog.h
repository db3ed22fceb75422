/*-------------------------------------------------------------------------
 *
 * backlog.h
 *	  Count the messages that wait.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: know how many messages of each queue wait, and since when.
 * Process: relay.
 * Transaction: outbox_count_backlog() has its own, the rest needs none.
 * Memory: a part of the queue.
 * Errors: those of reading rows.
 * Locks: AccessShareLock on the tables of messages, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_BACKLOG_H
#define OUTBOX_RELAY_BACKLOG_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"

typedef struct BacklogCount
{
	int64		counted;		/* rows, since the count began */
	uint64		covered_before; /* QueueCursor.covered when it began */
	TimestampTz oldest;			/* enqueued_at, while covered_then is current */
	uint64		covered_then;	/* QueueCursor.covered when oldest was set */
} BacklogCount;

/* what a count does for a queue */
typedef enum BacklogHow
{
	BACKLOG_NOT,				/* nothing, as the queue became known later */
	BACKLOG_NEWER,				/* add what the last count couldn't see */
	BACKLOG_PLANNED,			/* take the rows of its plan, add what that
								 * can't see */
	BACKLOG_ANEW				/* visit all that its cursor doesn't cover */
} BacklogHow;

typedef struct QueueBacklog
{
	BacklogCount shown;
	bool		inexact;		/* shown can't be added to */
	bool		of_plan;		/* shown has rows that were only planned */
	uint64		plan;			/* number of the plan that was counted last */

	/* of the count that is under way */
	BacklogHow	how;
	BacklogCount next;
	OutboxPosition from;		/* what this covers isn't visited; prev NULL:
								 * none */
	bool		next_of_plan;
} QueueBacklog;

extern void outbox_backlog_init(RelayQueue *queue);
extern void outbox_backlog_free(RelayQueue *queue);

/* rows of transactions below this one were acknowledged to a former relay */
extern void outbox_count_backlog_from(uint64 xid);

/*
 * Begin to count what became visible, unless that is under way; with "now", as somebody
 * waits for it.
 */
extern void outbox_want_backlog(bool now);

/* is it under way, or waits for a plan that is made? */
extern bool outbox_is_counting_backlog(void);

/* go on with it; false if somebody holds a lock; *done: all has been counted */
extern bool outbox_count_backlog(Relay *relay, bool *done);

/*
 * How many wait; negative if messages were delivered before they were counted.
 * Since about when, if any do.
 */
extern int64 outbox_backlog_waiting(const RelayQueue *queue);
extern TimestampTz outbox_backlog_oldest(const RelayQueue *queue);

#endif							/* OUTBOX_RELAY_BACKLOG_H */
