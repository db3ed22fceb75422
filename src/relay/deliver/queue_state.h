/*-------------------------------------------------------------------------
 *
 * queue_state.h
 *	  The states of a queue: it flows, stands still, or its cursor is read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the states of a queue, and every change of one.
 * Process: relay.
 * Transaction: none may be open for outbox_block_queue() and
 *	  outbox_queue_error(), which have one of their own; the rest needs none.
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
#include "relay/base/log_allowance.h"
#include "relay/base/state.h"
#include "relay/deliver/plan_rows.h"

/* see the chart in queue_state.c */
typedef enum RelayQueueState
{
	QUEUE_UNKNOWN,				/* its cursor has to be read */
	QUEUE_ASKED,				/* its cursor is being read, or taken over */
	QUEUE_FLOWING,				/* its messages are delivered */
	QUEUE_BLOCKED,				/* it stands still until retry_at */
	QUEUE_PAUSED				/* it stands still until it is resumed */
} RelayQueueState;

typedef struct QueueState
{
	RelayQueueState state;
	OutboxTime	retry_at;		/* while blocked: the next attempt */
	int			failures;		/* in a row */
	int			differed;		/* how often the cursor has, in a row */
	int			redirected;		/* how often another node has been named */
	int			slot_waits;		/* how often it has waited for its slot */
	bool		is_logged;		/* that it stands still */
	LogAllowance allowance;
	TimestampTz still_since;	/* when it began to stand still; 0: it flows */
	OutboxTime	still_seen_at;	/* when this relay noticed that */
	char		why[OUTBOX_QUEUE_TEXT_SIZE];	/* the reason if it is blocked */
} QueueState;

extern void outbox_queue_state_init(RelayQueue *queue);

/* the queue's cursor was asked for, or a takeover was sent */
extern void outbox_queue_is_asked(RelayQueue *queue);

/* the cursor has been read: deliver from there, unless the queue is paused */
extern void outbox_queue_flows(RelayQueue *queue);

/* messages are delivered: forget failures and that the queue stood still */
extern void outbox_queue_delivers(RelayQueue *queue);

/* the cursor has to be read again */
extern void outbox_queue_is_unknown(RelayQueue *queue);

/* ... because settings have changed that may end why the queue stands still */
extern void outbox_queue_is_altered(RelayQueue *queue);

/*
 * ... because a batch found another cursor than it expected: another relay has
 * moved it, or Redis has lost writes.  If that happens again and again, the
 * queue stands still for a while.
 */
extern void outbox_cursor_differs(Relay *relay, RelayQueue *queue);

/* the queue stands still until it is resumed */
extern void outbox_pause_queue_delivery(RelayQueue *queue);

/*
 * The queue stands still for a while, because Redis refuses it, or refuses the
 * message that was planned so (NULL: no certain message).
 */
extern void outbox_block_queue(Relay *relay, RelayQueue *queue,
							   const PlanEntry *entry, const char *error);

/*
 * A node of a cluster names another one for the queue's slot.  True if it is to be
 * asked at once, false if that was told too often in a row.
 */
extern bool outbox_queue_is_redirected(RelayQueue *queue, const char *error);

/* its slot is on its way between nodes, or no node has it */
extern void outbox_queue_waits_for_slot(RelayQueue *queue, const char *why);

/* since when nothing can be known of its cursor; 0: it can */
/* is its slot on its way, or was when the queue was tried last? */
extern bool outbox_queue_lacks_slot(const RelayQueue *queue);
extern OutboxTime outbox_queue_away_since(const RelayQueue *queue);

/*
 * Has the queue's server been away for so long that others need not wait for it?
 * Then nothing is known of what it has, and nothing of the queue may be forgotten.
 */
extern bool outbox_queue_is_away(const RelayQueue *queue);

/* block the queue, or fail its link, depending on the error's class */
extern void outbox_queue_error(Relay *relay, RelayQueue *queue,
							   const char *error);

#endif							/* OUTBOX_RELAY_QUEUE_STATE_H */
