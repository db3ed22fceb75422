/*-------------------------------------------------------------------------
 *
 * queue_state.h
 *	  Whether a queue flows, stands still, or is to be read from its cursor.
 *
 * Purpose: the states of a queue, and every change of one.
 * Process: relay.
 * Transaction: none may be open; outbox_block_queue() has one of its own.
 * Memory: a part of the queue.
 * Errors: a WARNING when a queue begins to stand still.
 * Locks: AccessShareLock on the tables of messages, if it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_QUEUE_STATE_H
#define OUTBOX_RELAY_QUEUE_STATE_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/state.h"

/* see the chart in queue_state.c */
typedef enum RelayQueueState
{
	QUEUE_UNKNOWN,				/* its cursor has to be read */
	QUEUE_ASKED,				/* it is being read, or taken over */
	QUEUE_FLOWING,
	QUEUE_BLOCKED,				/* it stands still until retry_at */
	QUEUE_PAUSED				/* it stands still until it is resumed */
} RelayQueueState;

typedef struct QueueState
{
	RelayQueueState state;
	OutboxTime	retry_at;
	int			failures;		/* in a row */
	TimestampTz still_since;	/* when it began to stand still; 0: it doesn't */
	OutboxTime	still_seen_at;		/* the same, or when this relay saw it */
	char		why[OUTBOX_QUEUE_TEXT_SIZE];	/* it is blocked */
} QueueState;

extern void outbox_queue_state_init(RelayQueue *queue);

/* its cursor is being read, or written back */
extern void outbox_queue_is_asked(RelayQueue *queue);

/* its cursor has been read, and it is delivered from there */
extern void outbox_queue_flows(RelayQueue *queue);

/* it delivers what it is given: what it stood still for is over */
extern void outbox_queue_delivers(RelayQueue *queue);

/* its cursor has to be read again */
extern void outbox_queue_is_unknown(RelayQueue *queue);

/* ... as its settings say otherwise now: what it stood still for may be over */
extern void outbox_queue_is_altered(RelayQueue *queue);

/* ... as the cursor isn't where it was expected */
extern void outbox_cursor_differs(RelayQueue *queue);

/* it stands still until it is resumed */
extern void outbox_pause_queue_delivery(RelayQueue *queue);

/*
 * It stands still for a while: Redis refuses it, or the message with this
 * number (0: none in particular).
 */
extern void outbox_block_queue(Relay *relay, RelayQueue *queue, uint64 seq,
							   const char *error);

/* an error reply: the queue's trouble, or the link's */
extern void outbox_queue_error(Relay *relay, RelayQueue *queue,
							   const char *error);

#endif							/* OUTBOX_RELAY_QUEUE_STATE_H */
