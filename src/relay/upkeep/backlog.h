/*-------------------------------------------------------------------------
 *
 * backlog.h
 *	  Count what waits, and publish how each queue is.
 *
 * Purpose: what status, queue_status and outbox_drop_queue() ask for.
 * Process: relay.
 * Transaction: outbox_count_backlog() its own, the rest needs none.
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

typedef struct QueueBacklog
{
	int64		counted;		/* rows, since the count began */
	uint64		covered_before; /* QueueCursor.covered when it began */
	TimestampTz oldest;			/* of those counted, while none was covered */
	uint64		covered_then;	/* QueueCursor.covered when oldest was set */
} QueueBacklog;

extern void outbox_backlog_init(RelayQueue *queue);

/* rows of transactions below this one were acknowledged by a former relay */
extern void outbox_count_backlog_from(uint64 xid);

/* count what became visible; false if somebody's lock is in the way */
extern bool outbox_count_backlog(Relay *relay);

/* what status shows of the relay and its queues */
extern void outbox_publish_queues(Relay *relay);

/* between the times at which it is published: what was delivered since */
extern void outbox_publish_waiting(Relay *relay);

#endif							/* OUTBOX_RELAY_BACKLOG_H */
