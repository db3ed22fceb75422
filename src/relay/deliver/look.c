/*-------------------------------------------------------------------------
 *
 * look.c
 *	  Look at the cursors of idle queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Redis can lose writes without the connection breaking: a restore in place, a
 * FLUSHDB of somebody else, a proxy that changes servers.  A queue that delivers
 * notices with its next batch, which expects another cursor.  An idle queue would
 * notice too late, when what was lost is retained no more.  So the cursors of
 * idle queues are looked at, several times within outbox.retention.
 *
 * A look is the script that moves a cursor, to the same snapshots and number with
 * a newer LSN.  Each round of looks begins with a small WAL record, flushed, as
 * on an idle server the insert position stands still: a copy of the server that
 * was made before has a shorter history than the cursor, and is held (judge.c).
 * The record is marked as unimportant, so that it alone causes no checkpoint and
 * no switch to another WAL file.
 *
 * A queue whose messages wait for the synchronous standby is looked at like an idle
 * one: the standby may have been promoted.  A look itself need not wait.  If its
 * LSN is ahead of the standby, the cursor is clipped after the promotion, and there
 * is nothing beyond to be clipped.
 *
 * A cursor that has moved since half of the interval needs no look.  But rows may
 * be forgotten only if a request that was sent after their retention had passed has
 * found the cursor that was expected: else Redis may have lost what they are needed
 * for.  Whoever forgets rows asks for looks, and comes again.  Of a queue whose
 * server is away nothing is forgotten: all its rows are copied before (upkeep/evacuate.c).
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/look.h"

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "guc.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/script.h"
#include "relay/deliver/sent.h"

#define INTERVAL_MAX_MS		10000
#define INTERVAL_MIN_MS		1000

/* looks within a retention */
#define LOOKS_RETAINED		4

/* looks that are sent at a time */
#define LOOKS_AT_ONCE		128

static OutboxTime looked_at = OUTBOX_LONG_AGO;	/* the last round's begin */
static OutboxTime wanted_since = OUTBOX_LONG_AGO;	/* a look later than this
													 * is */
static int	next = 0;			/* the first queue that it has not come to */
static XLogRecPtr lsn;			/* of the round */

int
outbox_look_interval_ms(void)
{
	int64		interval = outbox_retention * INT64CONST(1000) / LOOKS_RETAINED;

	return (int) Min(Max(interval, INTERVAL_MIN_MS), INTERVAL_MAX_MS);
}

/*
 * Returns a position that a copy which was made before now does not have.
 */
static XLogRecPtr
write_record(void)
{
	char		nothing = 0;
	XLogRecPtr	end;

	XLogBeginInsert();
	XLogRegisterData(&nothing, sizeof(nothing));
	XLogSetRecordFlags(XLOG_MARK_UNIMPORTANT);
	end = XLogInsert(RM_XLOG_ID, XLOG_NOOP);
	XLogFlush(end);
	return end;
}

/*
 * A blocked queue has no looks: its cursor is read at each try.  If the queue is
 * blocked after that, there was nothing to find, or nothing can be known.  If its
 * slot is on its way, that is known later.
 */
bool
outbox_cursor_confirmed(const RelayQueue *queue, OutboxTime since)
{
	const QueueCursor *cursor = queue->cursor;

	return queue->listed->dropped || cursor->confirmed_at >= since ||
		(queue->state->state == QUEUE_BLOCKED && queue->state->slot_waits == 0 &&
		 cursor->asked_at >= since);
}

bool
outbox_cursors_confirmed(Relay *relay, OutboxTime since)
{
	bool		confirmed = true;
	ListCell   *lc;

	foreach(lc, relay->queues)
		confirmed &= outbox_cursor_confirmed(lfirst(lc), since) ||
		outbox_queue_is_away(lfirst(lc));
	if (!confirmed)
		wanted_since = Max(wanted_since, since);
	return confirmed;
}

/*
 * A queue that is paused ignores the answers to what had been sent before: then
 * the cursor is further on than what is acknowledged, and must not be moved back.
 */
static bool
is_where_it_was_left(const RelayQueue *queue)
{
	const QueueCursor *cursor = queue->cursor;

	return cursor->expect_seq == cursor->acked.seq &&
		cursor->expect_count == cursor->applied;
}

/*
 * Is the queue's cursor known, with nothing on its way?
 */
static bool
is_idle(const RelayQueue *queue)
{
	RelayQueueState state = queue->state->state;

	return !queue->listed->dropped && queue->requests->inflight == 0 &&
		queue->cursor->acked.prev != NULL &&
		is_where_it_was_left(queue) &&
		(state == QUEUE_PAUSED ||
		 (state == QUEUE_FLOWING &&
		  (!outbox_standby_has_it() ||
		   (queue->plan->finished && !outbox_has_planned(queue)))));
}

/*
 * A link on which something waits for the synchronous standby may not be up: it
 * has not delivered what there was.
 */
bool
outbox_may_look(const Link *link)
{
	return link->state == LINK_UP ||
		(link->state == LINK_READY && !outbox_standby_has_it());
}

bool
outbox_may_look_somewhere(const Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->links)
	{
		const Link *link = lfirst(lc);

		if (!link->is_own && outbox_may_look(link))
			return true;
	}
	return false;
}

static void
look(RelayQueue *queue)
{
	const OutboxPosition *acked = &queue->cursor->acked;
	Request    *request;
	StringInfoData text;

	initStringInfo(&text);
	outbox_position_print(&text, lsn, acked->prev, acked->cur,
						  queue->link->token);
	outbox_send_call(queue, &(ScriptCall) {
		.mode = SCRIPT_MOVE,
		.to_text = text.data,
		.to_seq = acked->seq
	});
	request = outbox_expect_answer(queue->link, REQUEST_LOOK, queue);
	request->to = *acked;
	request->to.lsn = lsn;
	outbox_snap_ref(acked->prev);
	outbox_snap_ref(acked->cur);
	outbox_expect_cursor(queue, text.data, acked->seq, 0);
}

bool
outbox_look_at_cursors(Relay *relay, OutboxTime now)
{
	int			n = 0;
	int			interval = outbox_look_interval_ms();

	if (next == 0)
	{
		if (now < outbox_in_ms(looked_at, interval) && looked_at >= wanted_since)
			return false;
		looked_at = now;
		lsn = write_record();
	}
	for (; next < list_length(relay->queues) && n < LOOKS_AT_ONCE; next++)
	{
		RelayQueue *queue = list_nth(relay->queues, next);

		if (queue->state->state == QUEUE_PAUSED &&
			queue->requests->inflight == 0 && !is_where_it_was_left(queue))
			outbox_queue_is_unknown(queue);
		if (!outbox_may_look(queue->link) || !is_idle(queue) ||
			(queue->cursor->confirmed_at >= wanted_since &&
			 outbox_in_ms(queue->cursor->confirmed_at, interval / 2) > now))
			continue;
		look(queue);
		n++;
	}
	if (next < list_length(relay->queues))
		return true;
	next = 0;
	return false;
}

void
outbox_look_answer(Relay *relay, const Request *request,
				   const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	RelayQueueState state = queue->state->state;

	if (state != QUEUE_FLOWING && state != QUEUE_PAUSED)
		return;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (outbox_reply_is_array(reply))
		outbox_cursor_differs(relay, queue);
	else
		outbox_cursor_moved(queue, request);
}
