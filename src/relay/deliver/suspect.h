/*-------------------------------------------------------------------------
 *
 * suspect.h
 *	  Queues that the shared link is better without, and why.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find the message at which Redis, or what stands before it, ends the
 *	  connection; and the cursor that takes long to read.
 * Process: relay.
 * Transaction: none needed.
 * Memory: a part of the queue.
 * Errors: none.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SUSPECT_H
#define OUTBOX_RELAY_SUSPECT_H

#include "outbox.h"

#include "clock.h"
#include "relay/base/link.h"
#include "relay/base/state.h"
#include "relay/deliver/batch_buffer.h"

/* messages at which connections have ended, as many as are remembered */
#define OUTBOX_SUSPECTS		16

typedef struct SuspectMessage
{
	uint64		seq;			/* 0: none */
	int			ends;			/* of connections, while it alone was under
								 * way */
	bool		is_convicted;	/* it is refused, by the queue's policy */
	bool		was_convicted;
} SuspectMessage;

typedef struct QueueSuspect
{
	bool		alone;			/* one message at a time, on a link of its own */
	bool		slow;			/* its cursor is read on a link of its own */
	int			cuts;			/* connections that ended at it, in a row */
	int			clean;			/* messages answered since the last one */

	SuspectMessage messages[OUTBOX_SUSPECTS];
	int			next;			/* the oldest of them */
	bool		is_named;		/* Redis says that what it was sent can't be
								 * read */
	char		why[OUTBOX_QUEUE_TEXT_SIZE];

	/* until it is known whether the server lived on: see suspect.c */
	uint64		asked_for;		/* the message; 0: nothing is to be known */
	uint64		witness;		/* the connection that is asked */
	uint64		answers;		/* ... when it has answered so often */
} QueueSuspect;

extern void outbox_suspect_init(RelayQueue *queue);
extern void outbox_suspect_free(RelayQueue *queue);

/* the queues that are to be served by a link of their own */
extern List *outbox_suspects(void);

static inline bool
outbox_wants_own_link(const RelayQueue *queue)
{
	return queue->suspect->alone || queue->suspect->slow;
}

/* how many messages a batch may have, and how many batches may be under way */
static inline int
outbox_batch_limit(const RelayQueue *queue)
{
	return queue->suspect->alone ? 1 : OUTBOX_BATCH_MESSAGES;
}

static inline int
outbox_inflight_limit(const RelayQueue *queue)
{
	return queue->suspect->alone ? 1 : outbox_link_depth(queue->link);
}

/* its cursor takes long to read */
extern void outbox_cursor_is_slow(RelayQueue *queue);

/* Redis has said of the queue's oldest request that it can't be read */
extern void outbox_suspect_is_named(RelayQueue *queue);

/* the shared link was cut while the queue's request was answered */
extern void outbox_shared_link_was_cut(RelayQueue *queue);

/*
 * The queue's own link was cut, while this message was under way (0: none).  The
 * witness is the shared link, which is asked whether the server lives on.
 */
extern void outbox_own_link_was_cut(RelayQueue *queue, uint64 seq,
									const char *why, Link *witness);

/* the message of a request that is alone under way; 0 if it isn't one */
extern uint64 outbox_message_under_way(const Request *request);

/*
 * Draw the conclusion from the last end of the queue's own link.  False if the
 * witness has not answered yet.
 */
extern bool outbox_judge_suspect(RelayQueue *queue, const Link *witness);

/* Redis has answered a request */
extern void outbox_suspect_is_answered(RelayQueue *queue,
									   const Request *request);

/* has the queue done well enough to go back to the shared link? */
extern bool outbox_is_cleared(const RelayQueue *queue);

/* it goes back */
extern void outbox_suspect_goes_back(RelayQueue *queue);

/* is this message to be refused without being sent, and what is the error? */
extern bool outbox_is_convicted(const RelayQueue *queue, uint64 seq);
extern const char *outbox_conviction(const RelayQueue *queue);

/* it has been refused */
extern void outbox_suspect_is_sentenced(RelayQueue *queue, uint64 seq);

/* has this message ever been convicted?  Then it is sent alone */
extern bool outbox_was_convicted(const RelayQueue *queue, uint64 seq);
extern void outbox_send_alone(RelayQueue *queue);

#endif							/* OUTBOX_RELAY_SUSPECT_H */
