/*-------------------------------------------------------------------------
 *
 * deliver.c
 *	  One turn of delivery: plan, and send what may be sent.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * There are two plans in a millisecond on average, and several at once after a pause: a
 * commit that finds the relay with little to do is delivered at once, and so are some
 * that follow by chance.  Under load the commits of a moment are delivered
 * together, and don't wake the relay meanwhile.  Otherwise each of thousands of
 * commits a second would pay for waking the relay, and the relay for a
 * transaction and a script call for each message.
 *
 * Queues take turns, with a batch each, until the link takes no more.  The queue
 * behind the last one that has sent something is the first in the next turn: else,
 * with more queues than the link takes batches, the last ones would wait until the
 * first ones have nothing more to send.  A queue with skipped messages that are due
 * takes turns between retries and batches, as either may be more than there is time
 * for; the two are never under way together (retry.c).
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

#define TICK_INTERVAL_US	500
#define TICKS_AT_ONCE		8

/* when the next plan is due, if they come evenly */
static OutboxTime plan_due_at = OUTBOX_LONG_AGO;

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
	return outbox_plan_is_wanted() &&
		now >= plan_due_at - (TICKS_AT_ONCE - 1) * TICK_INTERVAL_US;
}

bool
outbox_may_deliver(Relay *relay, OutboxTime now)
{

	outbox_flush_burials();
	if (outbox_is_planning())
		return true;
	if (!outbox_standby_has_it())
		return false;
	if (may_plan(now))
		return true;
	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);

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
		plan_due_at = Max(plan_due_at, now) + TICK_INTERVAL_US;
}

static void
send_retries(Relay *relay, OutboxTime now)
{
	int			first = outbox_first_in_turn();

	for (int turn = 0; turn < outbox_count_awake(); turn++)
	{
		RelayQueue *queue = outbox_awake_queue((first + turn) % outbox_count_awake());

		if (queue->requests->last == REQUEST_RETRY && may_send(queue, now))
			continue;
		if (!outbox_may_retry(queue, now) || !outbox_link_may_send(queue->link))
			continue;
		begin_work(queue);
		outbox_turn_does(OUTBOX_STEP_RETRIES);
		outbox_send_retries(relay, queue);
		at_work = NULL;
		outbox_turn_was_of(first + turn);
	}
}

/*
 * Send the queue's next batch, if it may send one now.
 */
static bool
send_one(Relay *relay, RelayQueue *queue, OutboxStaging *staging,
		 OutboxTime now)
{
	if (!may_send(queue, now) || !outbox_link_may_send(queue->link) ||
		!outbox_has_its_tables(queue, staging))
		return false;
	begin_work(queue);
	if (queue->skipping->on)
		outbox_send_skipping(relay, queue, staging);
	else
	{
		outbox_send_batch(relay, queue, staging);
		outbox_queue_is_at_work(queue, now);
	}
	at_work = NULL;
	/* plans may have been made while the queue had rows of its own */
	if (!outbox_has_planned(queue) && outbox_missed_plan(queue))
		outbox_want_plan(PLAN_MISSED);
	return true;
}

static void
send_batches(Relay *relay, OutboxStaging *staging, OutboxTime now)
{
	bool		any = true;

	outbox_turn_does(OUTBOX_STEP_BATCHES);
	while (any)
	{
		int			first = outbox_first_in_turn();

		any = false;
		for (int turn = 0; turn < outbox_count_awake(); turn++)
		{
			RelayQueue *queue = outbox_awake_queue((first + turn) % outbox_count_awake());

			if (!send_one(relay, queue, staging, now))
				continue;
			any = true;
			outbox_turn_was_of(first + turn);
		}
	}
}

static int
tables_to_read(void)
{
	for (int i = 0; i < outbox_count_awake(); i++)
		if (outbox_awake_queue(i)->plan->ticks_behind > 0)
			return OUTBOX_TABLES;
	return OUTBOX_STAGING_TABLES;
}

bool
outbox_deliver(Relay *relay, OutboxTime now)
{
	OutboxStaging staging;
	int			wanted = tables_to_read();

	/* if another table is locked, those queues wait that may have rows in it */
	if (!outbox_staging_open(&staging, GetActiveSnapshot(), wanted) &&
		!outbox_staging_open(&staging, GetActiveSnapshot(),
							 OUTBOX_STAGING_TABLES))
		return false;
	(void) outbox_check_plan_files(relay, &staging);
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
	OutboxTime	wakes = outbox_next_queue_wakes();
	long		result = wakes == OUTBOX_NEVER ? LONG_MAX : outbox_ms_until(now, wakes);

	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);
		const QueueState *state = queue->state;

		/* an answer that is awaited wakes the relay */
		if (queue->listed->dropped || queue->requests->inflight > 0)
			continue;
		if (state->state == QUEUE_BLOCKED && !outbox_wants_own_link(queue) &&
			!queue->link->is_seed)
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
		if (queue->cursor->settled != outbox_plan_cur(queue))
			outbox_cursor_settled(queue, outbox_plan_cur(queue));
	}
}
