/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Keep the relay's list of queues as outbox.queue has it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The list is read again when a cache invalidation has arrived or somebody who
 * changed queues has woken the relay, and when a row is found whose queue is
 * not in the list: commits become visible before their invalidations arrive.
 *
 * A queue that was purged, or has got another name or place in Redis, has a new
 * id (api/queue_taken.c), and what it was is dropped.  It is known by when it was
 * created.  Nothing of it is sent before all is answered that was sent under its old
 * id: that might come on another connection.  The old cursor is left in Redis, and
 * so are its consumers' streams.
 *
 * A queue consists of parts (base/state.h).  Their owners' functions to make
 * and to free them are called here, and nowhere else.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/refresh.h"

#include "access/xlog.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "relay/attach.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/held.h"
#include "relay/deliver/lost_messages.h"
#include "relay/deliver/move.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/reconcile.h"
#include "relay/deliver/script.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "relay/servers.h"
#include "relay/upkeep/backlog.h"
#include "relay/upkeep/evacuate.h"
#include "relay/upkeep/purge.h"
#include "relay/upkeep/totals.h"
#include "store/query.h"
#include "store/tables.h"

/* the state must be read before anything is delivered; it was read before */
static bool state_is_stale = true;
static bool state_was_read = false;
static bool queues_were_read = false;

/* queues that are added in one turn, and removed */
#define ADD_QUEUES		50
#define REMOVE_QUEUES	50

static RelayQueue *
add_queue(Relay *relay, const OutboxQueue *settings)
{
	const char *place = settings->moving_from != NULL &&
	settings->moving_from[0] != '\0' ? settings->moving_from : settings->server;
	RelayQueue *queue = outbox_add_queue(relay, settings,
										 outbox_link_to(relay, place));

	outbox_requests_init(queue);
	outbox_cursor_init(queue);
	outbox_totals_init(queue);
	outbox_scripts_init(queue);
	outbox_loss_init(queue);
	outbox_move_init(queue);
	outbox_reconcile_init(queue);
	outbox_plan_init(queue);
	outbox_queue_state_init(queue);
	outbox_held_init(queue);
	outbox_skipping_init(queue);
	outbox_suspect_init(queue);
	outbox_consumer_init(queue);
	outbox_backlog_init(queue);
	outbox_evacuation_init(queue);
	outbox_purge_init(queue);
	return queue;
}

static void
free_queue(RelayQueue *queue)
{
	outbox_plan_free(queue);
	outbox_cursor_free(queue);
	outbox_loss_free(queue);
	outbox_reconcile_end(queue);
	outbox_evacuation_free(queue);
	outbox_backlog_free(queue);
	outbox_purge_free(queue);
	outbox_suspect_free(queue);
	outbox_free_queue(queue);
}

static void
drop_queue(RelayQueue *queue)
{
	outbox_queue_is_dropped(queue);
	outbox_discard_plan(queue);
}

void
outbox_remove_dropped_queues(Relay *relay)
{
	int			n = 0;
	ListCell   *lc;

	/* what takes a queue's place may not be there yet, and takes its totals */
	if (!outbox_any_queue_is_dropped(relay) || outbox_queues_to_be_read())
		return;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped && queue->requests->inflight == 0 &&
			queue->requests->consumer_reads == 0 && queue->link->guest != queue)
		{
			relay->queues = foreach_delete_current(relay->queues, lc);
			free_queue(queue);
			if (++n == REMOVE_QUEUES)
				break;
		}
	}
	/* the last queue of a server takes the server with it */
	if (n > 0)
		outbox_find_servers_in_use(relay);
}

/*
 * Drop all queues, so that they are read again with other cursors.
 */
static void
drop_queues(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (!queue->listed->dropped)
			drop_queue(queue);
	}
	outbox_queues_are_stale();
}

/*
 * Remove the cursor of a queue that doesn't exist any more, and what its
 * consumers have returned.
 */
static void
send_remove(RelayQueue *queue)
{
	if (!outbox_connection_is_open(queue->link->connection))
		return;
	/* with the queue a crash would bring back what is retained of it */
	outbox_flush_wal(GetXLogInsertRecPtr());
	outbox_send_command(queue->link, REQUEST_IGNORED, NULL, 2,
						(const char *const[]) {"DEL", queue->cursor_key});
	outbox_send_remove_streams(queue);
}

/*
 * Whoever dropped the queue has deleted what it had, but the relay may have
 * added to it until it noticed.  There are indexes for these; delayed messages
 * that a consumer has returned just then are staged when they are due, and
 * belong to no queue.
 */
static void
delete_orphans(const OutboxQueue *queue, int partitions)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->id)},
		{"last", INT4OID, Int32GetDatum(queue->id + partitions - 1)}
	};

	if (!outbox_lock_failures() ||
		!outbox_lock_to_write(OUTBOX_REL_QUEUE_TOTAL) ||
		!outbox_queue_is_free(outbox_queue_of(queue)))
		return;
	SPI_connect();
	outbox_query("DELETE FROM outbox.deferred WHERE queue BETWEEN $queue AND $last"
				 " AND reason IN " OUTBOX_REASONS_NUMBERED,
				 params, lengthof(params));
	outbox_query("DELETE FROM outbox.dead_letter WHERE queue BETWEEN $queue AND $last"
				 " AND " OUTBOX_DEAD_NUMBERED,
				 params, lengthof(params));
	outbox_query("DELETE FROM outbox.dead_letter WHERE queue BETWEEN $queue AND $last"
				 " AND gone_at IS NULL",
				 params, lengthof(params));
	outbox_query("DELETE FROM outbox.queue_total WHERE queue BETWEEN $queue AND $last",
				 params, lengthof(params));
	SPI_finish();
}

/*
 * Take a queue's settings from its row.  If they may have removed the reason
 * why the queue stands still, the queue continues from its cursor.
 */
static void
take_settings(Relay *relay, RelayQueue *queue, const OutboxQueue *settings)
{
	RelayQueueState state = queue->state->state;
	SettingsChange change = outbox_take_settings(queue, settings);
	bool		paused = settings->paused_at != 0;

	/* an answer to a look that is under way does not find the queue */
	if (change.returns)
		outbox_consumer_is_cut_off(queue);
	outbox_move_settings(queue);
	outbox_queue_goes_to(queue, outbox_home_of(relay, queue));

	if (paused && state == QUEUE_FLOWING)
		outbox_pause_queue_delivery(queue);
	else if ((!paused && state == QUEUE_PAUSED) ||
			 (change.policy && state == QUEUE_BLOCKED) ||
			 (change.options && state != QUEUE_PAUSED))
		outbox_queue_is_altered(queue);
}

/*
 * Has a queue that is gone got a new id?
 */
static bool
has_new_id(const RelayQueue *queue, const List *fresh)
{
	ListCell   *lc;

	foreach(lc, fresh)
	{
		const OutboxQueue *settings = lfirst(lc);

		if (settings->created_at == queue->settings->created_at &&
			settings->partition == queue->settings->partition &&
			outbox_known_queue(settings->id) == NULL)
			return true;
	}
	return false;
}

/*
 * What a queue was under other ids, as far as it is not forgotten: the last one,
 * or NULL.  There may be several, as dropped queues go one at a time.
 */
static const RelayQueue *
last_former_queue(const Relay *relay, const OutboxQueue *settings, bool *busy)
{
	const RelayQueue *last = NULL;
	ListCell   *lc;

	*busy = false;
	if (!outbox_any_queue_is_dropped(relay))
		return NULL;
	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (!queue->listed->dropped || queue->settings->id == settings->id ||
			queue->settings->created_at != settings->created_at ||
			queue->settings->partition != settings->partition)
			continue;
		*busy |= queue->requests->inflight > 0;
		if (last == NULL || queue->settings->id > last->settings->id)
			last = queue;
	}
	return last;
}

/*
 * Drop the queues that are not in the fresh list.
 */
static void
drop_gone_queues(Relay *relay, const List *fresh)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
		outbox_queue_seen(lfirst(lc), false);
	foreach(lc, fresh)
	{
		const OutboxQueue *settings = lfirst(lc);
		RelayQueue *queue = outbox_known_queue(settings->id);

		/* edited by hand: with another redis_key it has another cursor */
		if (queue != NULL && !outbox_same_redis_key(queue, settings))
			drop_queue(queue);
		else if (queue != NULL)
			outbox_queue_seen(queue, true);
	}
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->listed->seen || queue->listed->dropped)
			continue;
		drop_queue(queue);
		if (!has_new_id(queue, fresh))
			send_remove(queue);
		/* all that a queue has at once, unless one partition alone is gone */
		if (queue->settings->partition == 0)
			delete_orphans(queue->settings, queue->settings->partitions);
		else if (outbox_known_queue(outbox_queue_of(queue->settings)) != NULL)
			delete_orphans(queue->settings, 1);
	}
}

/*
 * Returns the new queue; NULL if it has to wait for what it was before.
 */
static RelayQueue *
add_fresh_queue(Relay *relay, const OutboxQueue *settings)
{
	bool		busy;
	const RelayQueue *former = last_former_queue(relay, settings, &busy);
	RelayQueue *queue;

	if (busy)
		return NULL;
	queue = add_queue(relay, settings);
	if (former != NULL)
		outbox_totals_go_on(queue, former);
	return queue;
}

/*
 * Bring the list of queues up to date.
 */
static void
refresh_queues(Relay *relay)
{
	ListCell   *lc;
	List	   *fresh;
	int			added = 0;

	outbox_queues_were_read();
	fresh = outbox_partition_list(outbox_queue_list());
	drop_gone_queues(relay, fresh);
	foreach(lc, fresh)
	{
		OutboxQueue *settings = lfirst(lc);
		RelayQueue *queue = outbox_known_queue(settings->id);

		if (queue == NULL && ++added > ADD_QUEUES)
		{
			/* the others on the next turn */
			outbox_queues_are_stale();
			outbox_want_plan(PLAN_QUEUES);
			continue;
		}
		if (queue == NULL)
			queue = add_fresh_queue(relay, settings);
		if (queue == NULL)
		{
			/* an answer wakes the relay, and the chores look again */
			outbox_queues_are_stale();
			continue;
		}
		take_settings(relay, queue, settings);
	}
	outbox_find_servers_in_use(relay);
}

void
outbox_state_may_have_changed(void)
{
	state_is_stale = true;
}

/*
 * False if the state can't be read now and what was read last may not be true
 * any more.
 */
static bool
read_state(Relay *relay)
{
	bool		deferred = outbox_lock_relation(OUTBOX_REL_DEFERRED);
	bool		source_changed;

	if (!outbox_lock_relation(OUTBOX_REL_RELAY_STATE) ||
		!outbox_lock_relation(OUTBOX_REL_DELIVERY) ||
		(!deferred && (outbox_is_held() || !state_was_read)))
		return !state_is_stale && !outbox_is_held();
	if (!outbox_read_relay_state(relay, deferred, &source_changed))
		return false;
	if (source_changed)
		drop_queues(relay);
	state_is_stale = false;
	state_was_read = true;
	return true;
}

/*
 * False if nothing may be delivered.  If only outbox.queue is locked, the queues
 * stay as they were: what has been changed since is read when that lock is
 * released.
 */
static bool
read_again(Relay *relay)
{
	if (!read_state(relay))
		return false;
	if (!outbox_queues_to_be_read())
		return true;
	if (!outbox_lock_relation(OUTBOX_REL_QUEUE))
		return queues_were_read;
	refresh_queues(relay);
	queues_were_read = true;
	return true;
}

bool
outbox_begin_refreshed_step(Relay *relay)
{
	MemoryContext old;
	bool		ok;

	outbox_begin_step();
	if (!outbox_catalog_load())
	{
		outbox_end_step();
		outbox_relay_leave(relay);
	}
	if (!outbox_queues_to_be_read() && !outbox_is_held())
		return true;
	outbox_turn_does(OUTBOX_STEP_QUEUES);
	old = MemoryContextSwitchTo(relay->scratch);
	ok = read_again(relay);
	MemoryContextSwitchTo(old);
	if (ok)
		return true;
	outbox_end_step();
	outbox_catalog_forget();
	return false;
}

bool
outbox_refresh(Relay *relay)
{
	if (!outbox_begin_refreshed_step(relay))
		return false;
	outbox_end_step();
	return true;
}
