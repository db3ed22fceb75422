/*-------------------------------------------------------------------------
 *
 * deliver.c
 *	  One turn of delivery: plan, and send what may be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Plans are made at least a millisecond apart.  The first commit after a pause
 * is delivered at once.  Under load the commits of a millisecond are delivered
 * together, and don't wake the relay meanwhile.  Otherwise each of thousands of
 * commits a second would pay for waking the relay, and the relay for a
 * transaction and a script call for each message.
 *
 * Queues take turns, with a batch each, until the link takes no more.  A queue
 * with skipped messages that are due takes turns between retries and batches,
 * as either may be more than there is time for; the two are never under way
 * together (retry.c).
 *
 * While the synchronous standby has not got what the messages that were planned
 * rest on, nothing is sent and no plan begins: what has waited is sent first.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/deliver.h"

#include <limits.h>

#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/deliver/batch.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/plan_scan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/retry.h"
#include "relay/deliver/skip.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "utils/snapmgr.h"

#define TICK_INTERVAL_US	1000

static OutboxTime planned_at = OUTBOX_LONG_AGO;

/* what was planned before has not been sent, because of the standby */
static bool has_waited = false;

/* the queue that is being sent for, and what its link had to send before */
static RelayQueue *at_work = NULL;
static int	unsent_before;

/*
 * May the queue send the next batch of its plan?  A retry that is due gets its
 * turn: batches under way come to an end before it.
 */
static bool
may_send(const RelayQueue *queue, OutboxTime now)
{
	const QueueRequests *requests = queue->requests;

	if (queue->state->state != QUEUE_FLOWING || queue->listed->dropped ||
		!outbox_has_planned(queue) || outbox_has_buried())
		return false;
	if (queue->skipping->on)
		return outbox_may_skip(queue, now);
	return requests->inflight < outbox_inflight_limit(queue) &&
		requests->skip_or_retry == 0 &&
		(requests->last == REQUEST_RETRY || !outbox_wants_retry(queue, now));
}

static bool
may_plan(OutboxTime now)
{
	return outbox_plan_is_wanted() && now - planned_at >= TICK_INTERVAL_US;
}

bool
outbox_may_deliver(Relay *relay, OutboxTime now)
{
	ListCell   *lc;

	outbox_flush_burials();
	if (outbox_is_planning())
		return true;
	if (!outbox_standby_has_it())
		return false;
	if (may_plan(now))
		return true;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (outbox_link_may_send(queue->link) &&
			(may_send(queue, now) || outbox_may_retry(queue, now)))
			return true;
	}
	return false;
}

static void
begin_work(RelayQueue *queue)
{
	at_work = queue;
	unsent_before = outbox_link_out(queue->link)->len;
}

/*
 * After an error.  If a part of a call was written, the link can't be used.
 */
RelayQueue *
outbox_queue_at_work(void)
{
	RelayQueue *queue = at_work;

	at_work = NULL;
	if (queue != NULL && outbox_link_out(queue->link)->len != unsent_before)
		outbox_link_fail(queue->link, "a call could not be made");
	return queue;
}

static void
make_plans(Relay *relay, OutboxStaging *staging, OutboxTime now)
{
	if (may_plan(now) && !has_waited)
		outbox_begin_plans(relay, staging);
	if (outbox_is_planning() && outbox_go_on_planning(relay, staging))
		planned_at = now;
}

static void
send_retries(Relay *relay, OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->requests->last == REQUEST_RETRY && may_send(queue, now))
			continue;
		if (!outbox_may_retry(queue, now) || !outbox_link_may_send(queue->link))
			continue;
		begin_work(queue);
		outbox_turn_does(OUTBOX_STEP_RETRIES);
		outbox_send_retries(relay, queue);
		at_work = NULL;
	}
}

static void
send_batches(Relay *relay, OutboxStaging *staging, OutboxTime now)
{
	bool		any = true;
	ListCell   *lc;

	outbox_turn_does(OUTBOX_STEP_BATCHES);
	while (any)
	{
		any = false;
		foreach(lc, relay->queues)
		{
			RelayQueue *queue = lfirst(lc);

			if (!may_send(queue, now) || !outbox_link_may_send(queue->link) ||
				!outbox_has_its_tables(queue, staging))
				continue;
			begin_work(queue);
			if (queue->skipping->on)
				outbox_send_skipping(relay, queue, staging);
			else
			{
				outbox_send_batch(relay, queue, staging);
				outbox_queue_is_at_work(queue, now);
			}
			at_work = NULL;
			any = true;
			/* plans may have been made while the queue had rows of its own */
			if (!outbox_has_planned(queue) && outbox_missed_plan(queue))
				outbox_want_plan(PLAN_MISSED);
		}
	}
}

static int
tables_to_read(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
		if (((RelayQueue *) lfirst(lc))->plan->ticks_behind > 0)
		return OUTBOX_TABLES;
	return OUTBOX_STAGING_TABLES;
}

bool
outbox_deliver(Relay *relay, OutboxTime now)
{
	OutboxStaging staging;
	int			wanted = tables_to_read(relay);

	/* if another table is locked, those queues wait that may have rows in it */
	if (!outbox_staging_open(&staging, GetActiveSnapshot(), wanted) &&
		!outbox_staging_open(&staging, GetActiveSnapshot(),
							 OUTBOX_STAGING_TABLES))
		return false;
	outbox_check_plan_files(relay, &staging);
	make_plans(relay, &staging, now);
	has_waited = !outbox_standby_has_it();
	if (!has_waited)
	{
		send_retries(relay, now);
		send_batches(relay, &staging, now);
	}
	outbox_flush_links(relay);
	outbox_staging_close(&staging);
	return staging.ntables == wanted;
}

long
outbox_ms_until_delivery(Relay *relay, OutboxTime now)
{
	long		result = LONG_MAX;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		const QueueState *state = queue->state;

		/* an answer that is awaited wakes the relay */
		if (queue->listed->dropped || queue->requests->inflight > 0)
			continue;
		if (state->state == QUEUE_BLOCKED && !outbox_wants_own_link(queue))
			result = Min(result, outbox_ms_until(now, state->retry_at));
		if (state->state != QUEUE_FLOWING || !outbox_link_may_send(queue->link))
			continue;
		if (queue->skipping->on && outbox_has_planned(queue))
			result = Min(result, outbox_ms_until(now, outbox_skip_at(queue)));
		result = Min(result, outbox_ms_until_retry(queue, now));
	}
	return result;
}

bool
outbox_all_is_delivered(Relay *relay, const Link *link)
{
	ListCell   *lc;

	/* the tick that a cursor stands in may be empty, and the next one not */
	if (outbox_plan_is_wanted() || link->inflight > 0)
		return false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		RelayQueueState state = queue->state->state;

		if (queue->link != link ||
			(!link->is_own && outbox_wants_own_link(queue)))
			continue;
		if (state == QUEUE_UNKNOWN || state == QUEUE_ASKED ||
			(state == QUEUE_FLOWING && !queue->plan->finished))
			return false;
	}
	return true;
}

/*
 * If a tick is finished and nothing is under way, all its messages are
 * acknowledged.
 */
void
outbox_settle_idle_queues(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped || queue->state->state != QUEUE_FLOWING ||
			!queue->plan->finished || queue->requests->inflight > 0 ||
			outbox_has_planned(queue))
			continue;
		/* also if the message it stood still for is gone */
		outbox_queue_delivers(queue);
		if (queue->cursor->settled != queue->plan->cur)
			outbox_cursor_settled(queue, queue->plan->cur);
	}
}
