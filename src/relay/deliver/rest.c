/*-------------------------------------------------------------------------
 *
 * rest.c
 *	  Queues rest while there is nothing to do for them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A turn of the loop goes through the queues that are awake (base/queues.c), so
 * what it costs is in proportion to these, and not to all queues.  A queue rests
 *
 *		if it flows, all it had was delivered, and near scans serve it as one of
 *			those that share a tick (plan_scan.c): until the next message that
 *			was refused is due; a row that is found wakes it before
 *		if it is blocked: until its next attempt
 *		if it is paused or dropped, or its link is not ready: until it is woken
 *
 * and never while it has requests under way or takes part in a scan.
 *
 * Nobody has to think of waking a queue.  What is looked at here is in parts of the
 * queue, and whoever writes to one of them gets at it by the mine() of its owner, which
 * wakes the queue: state, plan, held, skipping, suspect and requests.  Which link the
 * queue has is set by one function (base/queues.c), and that a link is ready by another
 * (base/link.c).  What is looked at here must be among these.  To wake a queue too often
 * costs a look at it.
 *
 * Two things come by themselves.  Times are those until which a queue rests; but refused
 * messages are due by the wall clock, which may be set, so once a second all queues are
 * looked at.  Builds with assertions end then if there is something to do for one that
 * rests, others wake it.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/rest.h"

#include <limits.h>

#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/deliver/held.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/retry.h"
#include "relay/deliver/suspect.h"

/*
 * A flowing queue about which nothing is left to be found out or sent.
 */
static bool
has_delivered(const RelayQueue *queue)
{
	const QueuePlan *plan = queue->plan;

	return plan->shares_tick && !outbox_has_planned(queue) &&
		plan->ticks_behind == 0 && !outbox_wants_own_link(queue);
}

/*
 * Is there something to do for the queue, whatever the time is?
 */
static bool
has_work(const RelayQueue *queue)
{
	if (queue->requests->inflight > 0 || queue->plan->scan != SCAN_NONE)
		return true;
	if (queue->listed->dropped || queue->link->state < LINK_READY)
		return false;
	switch (queue->state->state)
	{
		case QUEUE_FLOWING:
			return !has_delivered(queue);
		case QUEUE_BLOCKED:
		case QUEUE_PAUSED:
			return false;
		default:
			return true;
	}
}

/*
 * When there is something to do for the queue, if not before.
 */
static OutboxTime
rests_until(const RelayQueue *queue, OutboxTime now)
{
	if (has_work(queue))
		return now;
	if (queue->listed->dropped || queue->link->state < LINK_READY)
		return OUTBOX_NEVER;
	if (queue->state->state == QUEUE_BLOCKED)
		return queue->state->retry_at;
	if (queue->state->state == QUEUE_FLOWING)
	{
		long		ms = outbox_ms_until_retry(queue, now);

		return ms == LONG_MAX ? OUTBOX_NEVER : outbox_in_ms(now, ms);
	}
	return OUTBOX_NEVER;
}

void
outbox_rest(OutboxTime now)
{
	outbox_let_queues_rest(rests_until, now);
}

/*
 * The wall clock, by which refused messages are due, may have been set.
 */
void
outbox_check_rest(Relay *relay, OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->awake)
			continue;
		Assert(!has_work(queue));
		if (rests_until(queue, now) < queue->listed->rests_until)
			outbox_wake_queue(queue);
	}
}
