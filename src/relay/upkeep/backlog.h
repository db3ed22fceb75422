/*-------------------------------------------------------------------------
 *
 * backlog.h
 *	  Count the messages that wait, and publish the state of each queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write to shared memory what outbox.status, outbox.queue_status and
 *	  outbox_drop_queue() read.
 * Process: relay.
 * Transaction: outbox_count_backlog() has its own, the rest needs none.
 * Memory: a part of the queue.
 * Errors: those of reading rows.
 * Locks: AccessShareLock on the tables of messages, if it can be had;
 *	  OutboxShared.lock.
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

typedef struct QueueBacklog
{
	BacklogCount shown;
	BacklogCount anew;			/* while all is counted anew */
	OutboxPosition from;		/* ... what this doesn't cover */
} QueueBacklog;

extern void outbox_backlog_init(RelayQueue *queue);
extern void outbox_backlog_free(RelayQueue *queue);

/* rows of transactions below this one were acknowledged to a former relay */
extern void outbox_count_backlog_from(uint64 xid);

/* begin to count what became visible, unless that is under way */
extern void outbox_want_backlog(void);

/* is it under way? */
extern bool outbox_is_counting_backlog(void);

/* go on with it; false if somebody holds a lock; *done: all has been counted */
extern bool outbox_count_backlog(Relay *relay, bool *done);

/* publish the counts and the state of each queue */
extern void outbox_publish_queues(Relay *relay);

/* subtract what was delivered since then from the published total */
extern void outbox_publish_waiting(Relay *relay);

#endif							/* OUTBOX_RELAY_BACKLOG_H */
