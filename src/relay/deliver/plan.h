/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  A queue's tick, and which rows of it are sent next.
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
	 * The tick being delivered: rows visible in cur and not in prev, of which
	 * those up to seq have been handed out.  When it is finished, the next
	 * one may begin.
	 */
	OutboxSnap *prev;
	OutboxSnap *cur;
	XLogRecPtr	lsn;
	uint64		seq;			/* handed out up to here */
	uint64		sent_seq;		/* ... without rows that rolled back */
	bool		finished;
	char	   *text;			/* the position's, without seq; or NULL */
	int			ticks_behind;	/* this tick and the next ones, as many as this
								 * says, may have rows outside of staging */

	/* rows of the tick still to be handed out, in the order of seq */
	PlanEntry  *entries;
	int			n;
	int			next;
	int			size;
	int			limit;
	bool		cut;			/* there are more, beyond cut_seq */
	uint64		cut_seq;
	uint64		number;			/* of the plan that the entries are from */

	/* while a plan is made */
	bool		takes_part;
	bool		fresh;			/* with a tick up to the present */
} QueuePlan;

extern void outbox_plan_init(RelayQueue *queue);
extern void outbox_plan_free(RelayQueue *queue);

/* the queue stands at this position, which its cursor in Redis has */
extern void outbox_resume_tick(RelayQueue *queue, const OutboxPosition *pos);

/* forget the rows; with "stop" the tick's other rows as well */
extern void outbox_discard_plan(RelayQueue *queue);
extern void outbox_stop_plan(RelayQueue *queue);

/* is it time for the queue to take part in a plan? */
extern bool outbox_needs_plan(const RelayQueue *queue);

/*
 * Make a plan for these queues.  True if there is something to send; all that
 * it refers to is flushed then.
 */
extern bool outbox_make_plan(Relay *relay, OutboxStaging *staging,
							 List *queues);

/* has a plan been made without this queue since its own? */
extern bool outbox_missed_plan(const RelayQueue *queue);

/* forget rows that have moved: plans refer to other files */
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

/* fetch a planned row; false if it isn't there */
extern bool outbox_fetch_planned(OutboxStaging *staging,
								 const PlanEntry *entry, OutboxMessage *msg);

/*
 * The next row isn't there.  True if the plan ends before it: it is found
 * again by the next plan.
 */
extern bool outbox_planned_row_is_missing(RelayQueue *queue);

/* the next row has been handed out; or it was none, with is_sent false */
extern void outbox_advance_plan(RelayQueue *queue, bool is_sent);

/* a batch has been made of what was handed out */
extern void outbox_check_end_of_plan(RelayQueue *queue);

/* the position that batches of the tick move to, as text without the seq */
extern const char *outbox_tick_text(const Relay *relay, RelayQueue *queue);

#endif							/* OUTBOX_RELAY_PLAN_H */
