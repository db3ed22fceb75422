/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  What the relay knows of a queue's cursor in Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep the expected position and the acknowledged one.
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

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "store/position.h"

/* a state of the cursor */
typedef struct CursorState
{
	OutboxPosition pos;			/* prev NULL: there is none */
	OutboxSnap *settled;
	uint64		moves;
} CursorState;

typedef struct QueueCursor
{
	/* the position when all batches under way have been applied */
	char	   *expect_text;	/* without seq */
	uint64		expect_seq;
	uint64		expect_count;	/* messages applied until then */

	/* the position that Redis has acknowledged */
	OutboxPosition acked;		/* prev NULL: not known */
	uint64		applied;		/* messages, as the cursor in Redis counts */

	/* the same as an earlier relay knew it; until the cursor is read */
	OutboxPosition before;
	uint64		applied_before;

	/* a request that was sent then has found the cursor where it was expected */
	OutboxTime	confirmed_at;
	OutboxTime	mark_at;		/* when it is to be marked, see
								 * upkeep/errand.c */
	OutboxTime	asked_at;		/* when it was to be read last, if it could be */
	OutboxSnap *settled;		/* what it sees is acknowledged; NULL: not
								 * known */

	/* with wait_replicas, see upkeep/replicas.c */
	uint64		moves;			/* how often the cursor has changed */
	uint64		connection;		/* on which it was read or moved last */
	CursorState offered;		/* what a round asks of replicas */
	CursorState replicated;		/* what they have told to have */

	uint64		reads;			/* how often the cursor has been read */
	uint64		covered;		/* messages that the cursor has moved past */
	TimestampTz newest;			/* enqueued_at of the last of them */
} QueueCursor;

extern void outbox_cursor_init(RelayQueue *queue);
extern void outbox_cursor_free(RelayQueue *queue);

/* its mark is good until then */
extern void outbox_cursor_is_marked(RelayQueue *queue, OutboxTime until);

/* an earlier relay knew the cursor to be here, with this count of messages */
extern void outbox_cursor_was_known(RelayQueue *queue,
									const OutboxPosition *pos, uint64 applied);

/* what is known of the cursor before it is read; false: nothing */
extern bool outbox_cursor_known(const RelayQueue *queue, OutboxPosition *pos,
								uint64 *applied);

/* the cursor is asked for now, or would be if the queue had no fault */
extern void outbox_cursor_is_asked_for(RelayQueue *queue);

/* the cursor is ours: it has the request's position and count of messages */
extern void outbox_cursor_was_read(RelayQueue *queue, const Request *request);

/*
 * A batch was sent that moves the cursor to this position and applies this number
 * of messages, or one of which that is not known yet: 0.
 */
extern void outbox_expect_cursor(RelayQueue *queue, const char *text,
								 uint64 seq, int count);

/* Redis has answered that it has moved the cursor to the request's position */
extern void outbox_cursor_moved(RelayQueue *queue, const Request *request);

/* Redis has answered that it has applied this number of messages */
extern void outbox_cursor_applied(RelayQueue *queue, int count);

/* all messages that the snapshot sees are acknowledged */
extern void outbox_cursor_settled(RelayQueue *queue, OutboxSnap *snap);

/*
 * What may be forgotten: the acknowledged position, and its settled snapshot; with
 * wait_replicas what replicas have of them.  prev is NULL, the snapshot is NULL if
 * that is not known.
 */
extern const OutboxPosition *outbox_cursor_replicated(const RelayQueue *queue);
extern OutboxSnap *outbox_cursor_replicated_snapshot(const RelayQueue *queue);

/* does what may be forgotten cover what this position does? */
extern bool outbox_replicated_cursor_is_at(const RelayQueue *queue,
										   const OutboxPosition *pos);

/* has the cursor not moved beyond that? */
extern bool outbox_cursor_is_replicated(const RelayQueue *queue);

/*
 * Ask of replicas the cursor as it is, which has been answered on this connection.
 * False if there is nothing to ask.  Later: they have it.
 */
extern bool outbox_offer_cursor(RelayQueue *queue, uint64 connection);
extern void outbox_cursor_has_replicas(RelayQueue *queue);
extern void outbox_withdraw_cursor(RelayQueue *queue);

/* how often the cursors of all queues have changed, or have been read */
extern uint64 outbox_cursor_moves(void);

/* how many messages the cursors of all queues have moved past */
extern uint64 outbox_covered_in_all(void);

/*
 * How often a cursor was not where its last answer had left it: then Redis has
 * more or less than outbox_covered_in_all() says.
 */
extern uint64 outbox_cursor_jumps(void);

/* the queue is on another link: what replicas have is not known there */
extern void outbox_cursor_has_left(RelayQueue *queue);

/* how often a cursor covered less than its last answer had said: Redis has lost it */
extern uint64 outbox_cursors_set_back(void);

#endif							/* OUTBOX_RELAY_CURSOR_H */
