/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  A queue's tick, and which rows of it are to be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: begin ticks, find their rows, hand them out in the order of seq.
 * Process: relay.
 * Transaction: outbox_plan_row() in the caller's; the rest needs none.
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
#include "relay/deliver/plan_rows.h"
#include "store/position.h"
#include "store/staging.h"

/* the scan that looks for a queue's rows, see plan_scan.c */
typedef enum PlanScanKind
{
	SCAN_NONE,
	SCAN_NEAR,					/* of the last moments */
	SCAN_FAR					/* of more, in pieces */
} PlanScanKind;

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

	PlanRows	rows;			/* rows of the tick still to be handed out */
	uint64		number;			/* of the last plan the queue took part in */
	bool		many;			/* the tick has too many rows for a near scan */
	bool		shares_tick;	/* finished, up to outbox_shared_tick() */

	/* while a plan is made */
	PlanScanKind scan;			/* the queue takes part in this scan */
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

/*
 * True if those tables are open in which the queue may have rows: outside of
 * staging only if its cursor was just read, see plan.c.
 */
extern bool outbox_has_its_tables(const RelayQueue *queue,
								  const OutboxStaging *staging);

/* true if the queue takes part in no scan, has no planned rows left and may send more */
extern bool outbox_needs_plan(const RelayQueue *queue);

/*
 * Rows of the queue were copied to outbox.deferred: as long as it looks there, the tick
 * that comes next looks there, too.
 */
extern void outbox_rows_left_staging(RelayQueue *queue);

/*
 * True if all rows that outbox_plan_cur() sees are planned or handed out.  Those of
 * transactions that rolled back are among them.
 */
extern bool outbox_plan_is_whole(const RelayQueue *queue);

/* how many rows are planned and not handed out */
static inline int
outbox_count_planned(const RelayQueue *queue)
{
	return queue->plan->rows.n - queue->plan->rows.next;
}

/* how many entries the queue's plan has room for */
static inline int
outbox_plan_size(const RelayQueue *queue)
{
	return queue->plan->rows.size;
}

/*
 * Queues that have all they are to have share the end of their ticks; how many do?
 * All rows that it sees are planned.  NULL: there is none.
 */
extern OutboxSnap *outbox_shared_tick(void);
extern int	outbox_count_sharing(void);

/* a scan for all of them has ended: they share this snapshot from now on */
extern void outbox_share_tick(OutboxSnap *cur);

/* the end of the queue's tick */
static inline OutboxSnap *
outbox_plan_cur(const RelayQueue *queue)
{
	return queue->plan->shares_tick ? outbox_shared_tick() : queue->plan->cur;
}

/* the snapshot up to which rows of the next scan are known already */
static inline OutboxSnap *
outbox_planned_up_to(const RelayQueue *queue)
{
	return queue->plan->finished ? outbox_plan_cur(queue) : queue->plan->prev;
}

/*
 * Take part in a scan up to this snapshot, with this many rows at most.  If the
 * tick is not finished yet, take part with that.
 */
extern void outbox_plan_begin(RelayQueue *queue, PlanScanKind scan,
							  uint64 number, OutboxSnap *now, int limit);

/* the scan has found a row; how does it go on?  *found: it is to be sent */
extern OutboxWalk outbox_plan_row(RelayQueue *queue,
								  OutboxStaging *staging,
								  const OutboxStagedEntry *entry,
								  OutboxStagedKey *key, bool *found);

/* the tick has more rows than a near scan takes: leave that */
extern void outbox_plan_has_many(RelayQueue *queue);

/*
 * The scan is done; the rows that it has found rest on WAL up to this position.  No
 * scan that serves queues which share a tick is under way?
 */
extern void outbox_plan_end(RelayQueue *queue, XLogRecPtr lsn, bool may_share);

static inline bool
outbox_has_planned(const RelayQueue *queue)
{
	return queue->plan->scan == SCAN_NONE &&
		outbox_rows_left(&queue->plan->rows);
}

/* the next planned row; there must be one */
extern const PlanEntry *outbox_next_planned(RelayQueue *queue);

/* fetch a planned row; false if it is not there any more */
extern bool outbox_fetch_planned(OutboxStaging *staging,
								 const PlanEntry *entry, OutboxMessage *msg);

/* get the time of its message; false as above */
extern bool outbox_planned_time(OutboxStaging *staging, const PlanEntry *entry,
								TimestampTz *enqueued_at);

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
