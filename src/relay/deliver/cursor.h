/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  What Redis has of a queue, as far as the relay knows.
 *
 * Purpose: keep what the cursor is expected to be, and what was acknowledged.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue; it holds snapshots.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_CURSOR_H
#define OUTBOX_RELAY_CURSOR_H

#include "outbox.h"

#include "relay/base/link.h"
#include "relay/base/state.h"
#include "store/position.h"

typedef struct QueueCursor
{
	/* what Redis will have when all that is under way is applied */
	char	   *expect_text;	/* without seq */
	uint64		expect_seq;

	/* what Redis has acknowledged */
	OutboxPosition acked;		/* prev NULL: nothing is known */
	uint64		applied;		/* messages, as the cursor in Redis counts */
	OutboxSnap *settled;		/* all that is visible in it; NULL: unknown */

	uint64		reads;			/* how often the cursor has been read */
	uint64		covered;		/* messages that the cursor has moved past */
	TimestampTz newest;			/* enqueued_at of the last of them */
} QueueCursor;

extern void outbox_cursor_init(RelayQueue *queue);
extern void outbox_cursor_free(RelayQueue *queue);

/* Redis has this position, and has applied this number of messages */
extern void outbox_cursor_was_read(RelayQueue *queue,
								   const OutboxPosition *pos, uint64 applied);

/* a batch was sent that moves the cursor there */
extern void outbox_expect_cursor(RelayQueue *queue, const char *text,
								 uint64 seq);

/* the batch of a request has moved the cursor */
extern void outbox_cursor_moved(RelayQueue *queue, const Request *request);

/* Redis has applied messages */
extern void outbox_cursor_applied(RelayQueue *queue, int count);

/* all that is visible in the snapshot is acknowledged */
extern void outbox_cursor_settled(RelayQueue *queue, OutboxSnap *snap);

/* messages that the cursors of all queues have moved past */
extern uint64 outbox_covered_in_all(void);

/*
 * How often a cursor was not where its last answer had left it: then Redis has
 * more or less than outbox_covered_in_all() says.
 */
extern uint64 outbox_cursor_jumps(void);

#endif							/* OUTBOX_RELAY_CURSOR_H */
