/*-------------------------------------------------------------------------
 *
 * own_link.c
 *	  Links that serve one queue at a time.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue at which its server's link is cut again and again, or whose cursor takes
 * long to read, is served by one of a few others for a while, alone
 * (deliver/suspect.c).  Such a link is connected when that of the server answers.
 * Its trouble is the queue's: that stands still, and the link is free for another
 * one.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/own_link.h"

#include <limits.h>

#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/cluster.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/suspect.h"
#include "relay/link_life.h"
#include "relay/sentinel.h"

/* how soon to look again whether a queue can have a link of its own */
#define OWN_LINK_AGAIN_MS	50

static void
send_guest_back(Link *link)
{
	if (link->guest == NULL)
		return;
	outbox_queue_uses_link(link->guest, link->guest->home);
	link->guest = NULL;
}

/*
 * The link of a queue has failed.  The queue stands still for a while.
 */
static void
own_link_failed(Relay *relay, Link *link)
{
	RelayQueue *queue = link->guest;
	Link	   *shared = queue->home;
	const Request *request = link->is_cut ? outbox_oldest_request(link) : NULL;
	uint64		seq = outbox_message_under_way(request);
	PlanEntry	entry = seq != 0 ? request->entries[0] : (PlanEntry) {0};
	const char *why = seq == 0 ? pstrdup(link->trouble) :
	psprintf("the connection ends when it is sent: %s", link->trouble);
	bool		is_named = queue->suspect->is_named &&
	queue->settings->on_failure != OUTBOX_BLOCK;

	outbox_own_link_was_cut(queue, seq, link->trouble, shared);
	outbox_link_end(link);
	outbox_consumer_is_cut_off(queue);
	if (queue->settings->paused_at != 0 || queue->listed->dropped || is_named ||
		shared->state < LINK_READY)
		outbox_queue_is_unknown(queue);
	else
		outbox_block_queue(relay, queue, seq != 0 ? &entry : NULL, why);
	send_guest_back(link);
}

/*
 * Is this queue waiting for a link of its own, and can it have one?
 */
static bool
waits_for_own_link(const RelayQueue *queue, OutboxTime now)
{
	const QueueState *state = queue->state;

	return outbox_wants_own_link(queue) && !queue->listed->dropped &&
		queue->link->guest != queue && queue->requests->inflight == 0 &&
		queue->requests->consumer_reads == 0 &&
		(state->state == QUEUE_UNKNOWN ||
		 (state->state == QUEUE_BLOCKED && state->retry_at <= now));
}

static bool
take_guest(Link *link, OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, outbox_suspects())
	{
		RelayQueue *queue = lfirst(lc);

		if (!waits_for_own_link(queue, now) ||
			queue->home->state < LINK_READY || queue->home->is_seed ||
			!outbox_judge_suspect(queue, queue->home))
			continue;
		outbox_link_use(link, queue->home->name, queue->home->server);
		link->guest = queue;
		link->followed = queue->home;
		outbox_queue_uses_link(queue, link);
		return true;
	}
	return false;
}

/*
 * A queue that stands still leaves its link to others.  One that has done well
 * goes back to the shared one.
 */
static void
let_guest_go(Link *link)
{
	RelayQueue *queue = link->guest;
	RelayQueueState state = queue->state->state;

	if (link->inflight > 0)
		return;
	if (state == QUEUE_FLOWING && !queue->listed->dropped)
	{
		/*
		 * its home may be away: then the queue would flow on a link that is
		 * down
		 */
		if (!outbox_is_cleared(queue) || queue->home->state < LINK_READY)
			return;
		outbox_suspect_goes_back(queue);
	}
	else if (state != QUEUE_BLOCKED && state != QUEUE_PAUSED &&
			 !queue->listed->dropped)
		return;
	send_guest_back(link);
	outbox_link_end(link);
	outbox_consumer_is_cut_off(queue);
}

void
outbox_own_link_has_moved(Link *link)
{
	RelayQueue *queue = link->guest;

	if (queue == NULL)
		return;
	outbox_link_end(link);
	outbox_queue_is_unknown(queue);
	outbox_consumer_is_cut_off(queue);
	send_guest_back(link);
}

/*
 * Where the link is connected that serves the others.
 */
static const OutboxRedisHost *
where(Link *link)
{
	Link	   *home = link->guest->home;

	return home->seed != NULL ? outbox_cluster_host(home) :
		outbox_follow_master(link, home);
}

void
outbox_run_own_link(Relay *relay, Link *link, OutboxTime now)
{
	if (outbox_is_held())
	{
		outbox_own_link_has_moved(link);
		return;
	}
	if (link->guest == NULL && !take_guest(link, now))
		return;
	if (link->state == LINK_DOWN)
		outbox_link_connect(link, where(link), now);
	else if (!outbox_follows_master(link, link->guest->home))
	{
		outbox_own_link_has_moved(link);
		return;
	}
	if (link->trouble[0] == '\0')
		outbox_link_exchange(relay, link, now);
	if (link->trouble[0] != '\0')
	{
		own_link_failed(relay, link);
		return;
	}
	if (link->state < LINK_READY || outbox_is_held())
		return;
	outbox_ask_for_cursors(relay, link, now);
	let_guest_go(link);
}

long
outbox_ms_until_own_link(OutboxTime now)
{
	long		ms = LONG_MAX;
	ListCell   *lc;

	if (outbox_is_held())
		return ms;
	foreach(lc, outbox_suspects())
	{
		const RelayQueue *queue = lfirst(lc);

		if (waits_for_own_link(queue, now))
			return OWN_LINK_AGAIN_MS;
		if (outbox_wants_own_link(queue) && queue->state->state == QUEUE_BLOCKED)
			ms = Min(ms, outbox_ms_until(now, queue->state->retry_at));
	}
	return ms;
}
