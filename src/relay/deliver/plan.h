/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  A queue's tick, and which rows of it are to be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: begin ticks, find their rows, hand them out in the order of seq.
 * Process: relay.
 * Transaction: outbox_make_plan() and outbox_check_plan_files() in the
 *	  caller's; the rest needs none.
 * Memory: a part of the queue; it holds two snapshots.  Entries of all plans
 *	  together are bounded.
 * Errors: those of index scans.
 * Locks: those of the open OutboxStaging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_PLAN_H
#define OUTBOX_RELAY_PLAN_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "relay/base/state.h"
#include "store/position.h"
#include "store/staging.h"

/* a row to be sent: its number and its place */
typedef struct PlanEntry
{
	uint64		seq;
	BlockNumber block;
	OffsetNumber offset;
	uint16		table;
} PlanEntry;

typedef struct QueuePlan
{
	/*
	 * The tick being delivered: rows visible in cur and not in prev.  Those
	 * up to seq have been handed out.
	 */
	OutboxSnap *prev;
	OutboxSnap *cur;
	XLogRecPtr	lsn;
	uint64		seq;			/* of the last row handed out */
	uint64		sent_seq;		/* of the last that was not rolled back */
	bool		finished;		/* all are handed out: the next may begin */
	char	   *text;			/* outbox_tick_text(); NULL: not made yet */
	int			ticks_behind;	/* the number of ticks, beginning with this
								 * one, that may have rows outside of staging */

	/* rows of the tick still to be handed out, in the order of seq */
	PlanEntry  *entries;
	int			n;
	int			next;
	int			size;
	int			limit;
	bool		cut;			/* the tick has more rows, beyond cut_seq */
	uint64		cut_seq;
	uint64		number;			/* of the last plan the queue took part in */

	/* while a plan is made */
	bool		takes_part;		/* the queue does */
	bool		fresh;			/* ... with a tick up to a new snapshot */
} QueuePlan;

extern void outbox_plan_init(RelayQueue *queue);
extern void outbox_plan_free(RelayQueue *queue);

/* continue from this position, which the cursor in Redis has */
extern void outbox_resume_tick(RelayQueue *queue, const OutboxPosition *pos);

/* forget the planned rows */
extern void outbox_discard_plan(RelayQueue *queue);

/* forget the planned rows, and that the tick had no others */
extern void outbox_stop_plan(RelayQueue *queue);

/* true if the queue has no planned rows left and may send more */
extern bool outbox_needs_plan(const RelayQueue *queue);

/*
 * Make a plan for these queues.  True if there are rows to be sent; then the
 * commits of their transactions are on disk.
 */
extern bool outbox_make_plan(Relay *relay, OutboxStaging *staging,
							 List *queues);

/* true if the last plan was made without this queue */
extern bool outbox_missed_plan(const RelayQueue *queue);

/* forget all planned rows if a table has been rewritten since the plan */
extern void outbox_check_plan_files(Relay *relay, OutboxStaging *staging);

static inline bool
outbox_has_planned(const RelayQueue *queue)
{
	return queue->plan->next < queue->plan->n;
}

static inline const PlanEntry *
outbox_next_planned(const RelayQueue *queue)
{
	return &queue->plan->entries[queue->plan->next];
}

/* fetch a planned row; false if it is not there any more */
extern bool outbox_fetch_planned(OutboxStaging *staging,
								 const PlanEntry *entry, OutboxMessage *msg);

/*
 * The next row was not there.  True if the plan ends before it now, and the
 * next plan finds the row again; false if there is no message.
 */
extern bool outbox_planned_row_is_missing(RelayQueue *queue);

/* go past the next row; is_sent false: there was no message */
extern void outbox_advance_plan(RelayQueue *queue, bool is_sent);

/* a batch has been made: the tick is finished if that was the plan's end */
extern void outbox_check_end_of_plan(RelayQueue *queue);

/* the position that the tick's batches move the cursor to, without the seq */
extern const char *outbox_tick_text(RelayQueue *queue);

#endif							/* OUTBOX_RELAY_PLAN_H */
