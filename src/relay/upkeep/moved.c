/*-------------------------------------------------------------------------
 *
 * moved.c
 *	  End the moves of queues that have come to their new servers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The new server may lose that a queue's cursor has come, as it may lose every write.
 * What was delivered to the old server would come again then.  So a move ends when the
 * retention has passed and the cursor was seen after that, as it is with rows; with
 * wait_replicas also not before replicas have it (replicas.c).  Until then the old
 * server is needed if the cursor is lost, and for that only.
 *
 * The row of a queue that somebody alters or drops just now is left alone.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/moved.h"

#include "guc.h"
#include "queue/partition.h"
#include "queue/view.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/look.h"
#include "relay/deliver/move.h"
#include "relay/deliver/queue_state.h"
#include "storage/lmgr.h"
#include "store/query.h"

static bool
may_end(const RelayQueue *queue, OutboxTime now)
{
	const QueueMove *move = queue->move;
	OutboxTime	until = outbox_in_ms(move->arrived_at,
									 outbox_retention * INT64CONST(1000));

	if (queue->listed->dropped)
		return false;
	if (move->forced)
		return queue->state->state == QUEUE_FLOWING ||
			queue->state->state == QUEUE_PAUSED;
	return move->phase == MOVE_STAYS && now >= until &&
		outbox_cursor_replicated(queue)->prev != NULL &&
		outbox_cursor_confirmed(queue, until);
}

/*
 * Partitions come to the new server one by one, and the queue has moved when all of
 * them have.
 */
static bool
all_may_end(const Relay *relay, const RelayQueue *first, OutboxTime now)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if (queue->listed->dropped ||
			outbox_queue_of(queue->settings) != first->settings->id)
			continue;
		if (!may_end(queue, now))
			return false;
		n++;
	}
	return n == first->settings->partitions;
}

/*
 * The trigger of outbox.queue looks at the view.
 */
static bool
lock_view(const OutboxQueue *queue)
{
	Oid			view = outbox_view_find(queue->id, queue->name);

	return !OidIsValid(view) || ConditionalLockRelationOid(view, AccessShareLock);
}

static bool
end_move(const RelayQueue *queue)
{
	static const StepLock locks[] = {{OUTBOX_REL_QUEUE, true}};
	const OutboxQueue *settings = queue->settings;
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(settings->id)},
		{"moving_from", TEXTOID, CStringGetTextDatum(settings->moving_from)},
		{"server", TEXTOID, settings->server == NULL ? (Datum) 0 :
		CStringGetTextDatum(settings->server), settings->server == NULL}
	};
	bool		done = false;

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	if (lock_view(settings))
	{
		SPI_connect();
		done = outbox_query("UPDATE outbox.queue SET moving_from = NULL WHERE id ="
							" (SELECT id FROM outbox.queue WHERE id = $queue"
							" AND moving_from = $moving_from"
							" AND server IS NOT DISTINCT FROM $server"
							" FOR UPDATE SKIP LOCKED)",
							params, lengthof(params)) > 0;
		SPI_finish();
	}
	outbox_end_step();
	return done;
}

bool
outbox_end_moves(Relay *relay, OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		const RelayQueue *queue = lfirst(lc);

		if ((queue->move->forced || queue->move->phase != MOVE_NONE) &&
			queue->settings->partition == 0 && all_may_end(relay, queue, now) &&
			end_move(queue))
			return true;
	}
	return false;
}
