/*-------------------------------------------------------------------------
 *
 * cursor.c
 *	  What the relay knows of a queue's cursor in Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Two positions of a cursor are kept.  The expected position is the one that
 * the cursor will have when all batches under way have been applied: the next
 * batch names it and is refused if the cursor has another one.  The
 * acknowledged position is the last one that Redis has told.
 *
 * "settled" is a snapshot all of whose messages are acknowledged.  It is at most
 * a tick behind the acknowledged position, and says what may be removed from
 * staging.
 *
 * With wait_replicas nothing is removed before replicas have the cursor that covers
 * it.  A round (upkeep/replicas.c) asks for the cursor as it is then, the offered
 * state, and later that is the replicated one.  The cursor has gone on meanwhile.
 * If it is read and has been set back, what replicas have told is worth nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/cursor.h"

#include "redis_server.h"
#include "utils/memutils.h"

static uint64 covered_in_all = 0;
static uint64 jumps_in_all = 0;
static uint64 set_back_in_all = 0;
static uint64 moves_in_all = 0;

static QueueCursor *
mine(const RelayQueue *queue)
{
	return unconstify(QueueCursor *, queue->cursor);
}

void
outbox_cursor_init(RelayQueue *queue)
{
	queue->cursor = outbox_make_part(queue, sizeof(QueueCursor));
}

static void
set_position(OutboxPosition *which, const OutboxPosition *pos)
{
	OutboxPosition old = *which;

	*which = *pos;
	if (pos->prev != NULL)
	{
		outbox_snap_ref(pos->prev);
		outbox_snap_ref(pos->cur);
	}
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
}

static void
set_snap(OutboxSnap **which, OutboxSnap *snap)
{
	OutboxSnap *old = *which;

	*which = snap == NULL ? NULL : outbox_snap_ref(snap);
	outbox_snap_unref(old);
}

static void
set_state(CursorState *which, const CursorState *state)
{
	set_position(&which->pos, &state->pos);
	set_snap(&which->settled, state->settled);
	which->moves = state->moves;
}

static void
forget_state(CursorState *which)
{
	static const CursorState none = {0};

	set_state(which, &none);
}

void
outbox_cursor_free(RelayQueue *queue)
{
	forget_state(&mine(queue)->offered);
	forget_state(&mine(queue)->replicated);
	outbox_snap_unref(queue->cursor->acked.prev);
	outbox_snap_unref(queue->cursor->acked.cur);
	outbox_snap_unref(queue->cursor->before.prev);
	outbox_snap_unref(queue->cursor->before.cur);
	outbox_snap_unref(queue->cursor->settled);
}

void
outbox_cursor_is_marked(RelayQueue *queue, OutboxTime until)
{
	mine(queue)->mark_at = until;
}

void
outbox_cursor_was_known(RelayQueue *queue, const OutboxPosition *pos,
						uint64 applied)
{
	set_position(&mine(queue)->before, pos);
	mine(queue)->applied_before = applied;
}

bool
outbox_cursor_known(const RelayQueue *queue, OutboxPosition *pos,
					uint64 *applied)
{
	const QueueCursor *cursor = queue->cursor;
	bool		by_us = cursor->acked.prev != NULL;

	*pos = by_us ? cursor->acked : cursor->before;
	*applied = by_us ? cursor->applied : cursor->applied_before;
	return pos->prev != NULL;
}

void
outbox_cursor_settled(RelayQueue *queue, OutboxSnap *snap)
{
	QueueCursor *cursor = mine(queue);

	set_snap(&cursor->settled, snap);
	/* if replicas have the cursor, they have what it covers */
	if (cursor->replicated.pos.prev != NULL &&
		cursor->replicated.moves == cursor->moves)
		set_snap(&cursor->replicated.settled, snap);
}

void
outbox_expect_cursor(RelayQueue *queue, const char *text, uint64 seq,
					 int count)
{
	QueueCursor *cursor = mine(queue);

	if (cursor->expect_text == NULL || strcmp(cursor->expect_text, text) != 0)
	{
		if (cursor->expect_text != NULL)
			pfree(cursor->expect_text);
		cursor->expect_text = MemoryContextStrdup(queue->context, text);
	}
	cursor->expect_seq = seq;
	cursor->expect_count += count;
}

static bool
is_same_snap(const OutboxSnap *a, const OutboxSnap *b)
{
	return a->xmax == b->xmax && a->nxip == b->nxip &&
		memcmp(a->xip, b->xip, a->nxip * sizeof(uint64)) == 0;
}

static bool
is_same_position(const OutboxPosition *a, const OutboxPosition *b)
{
	return a->seq == b->seq && is_same_snap(a->prev, b->prev) &&
		is_same_snap(a->cur, b->cur);
}

void
outbox_cursor_is_asked_for(RelayQueue *queue)
{
	mine(queue)->asked_at = outbox_now();
}

/*
 * The cursor has changed, as an answer on this connection of its link says.
 */
static void
has_moved(RelayQueue *queue)
{
	mine(queue)->moves++;
	moves_in_all++;
}

void
outbox_cursor_has_left(RelayQueue *queue)
{
	forget_state(&mine(queue)->offered);
	forget_state(&mine(queue)->replicated);
	has_moved(queue);
}

static void
was_answered(RelayQueue *queue)
{
	uint64		connection = outbox_connection_number(queue->link->connection);

	/*
	 * before, it may have been a link of the queue's own, which does not
	 * count
	 */
	if (mine(queue)->connection != connection)
		moves_in_all++;
	mine(queue)->connection = connection;
}

/*
 * The cursor has been read.  What was replicated may be more than it covers now.
 */
static void
compare_with_replicated(RelayQueue *queue, const Request *request)
{
	QueueCursor *cursor = mine(queue);
	CursorState *states[] = {&cursor->offered, &cursor->replicated};

	if (cursor->acked.prev == NULL || cursor->applied != request->applied ||
		!is_same_position(&cursor->acked, &request->to))
		has_moved(queue);
	for (int i = 0; i < lengthof(states); i++)
		if (states[i]->pos.prev != NULL &&
			!outbox_position_contains(&request->to, &states[i]->pos))
			forget_state(states[i]);
	was_answered(queue);
}

void
outbox_cursor_was_read(RelayQueue *queue, const Request *request)
{
	const OutboxPosition *pos = &request->to;
	QueueCursor *cursor = mine(queue);
	StringInfoData text;

	compare_with_replicated(queue, request);
	if (cursor->acked.prev == NULL || !is_same_position(&cursor->acked, pos))
		jumps_in_all++;
	if (cursor->acked.prev != NULL &&
		!outbox_position_contains(pos, &cursor->acked))
		set_back_in_all++;
	set_position(&cursor->acked, pos);
	cursor->confirmed_at = request->sent_at;
	cursor->applied = request->applied;
	cursor->reads++;
	cursor->mark_at = 0;
	outbox_cursor_settled(queue, pos->prev);

	initStringInfo(&text);
	outbox_position_print(&text, pos->lsn, pos->prev, pos->cur,
						  queue->link->token);
	cursor->expect_count = request->applied;
	outbox_expect_cursor(queue, text.data, pos->seq, 0);
	pfree(text.data);
}

void
outbox_cursor_moved(RelayQueue *queue, const Request *request)
{
	QueueCursor *cursor = mine(queue);
	int			covered = request->count + request->skipped;

	was_answered(queue);
	if (covered > 0 || !is_same_position(&cursor->acked, &request->to))
		has_moved(queue);
	set_position(&cursor->acked, &request->to);
	cursor->confirmed_at = request->sent_at;
	if (request->finishes)
		outbox_cursor_settled(queue, request->to.cur);
	cursor->covered += covered;
	if (covered > 0)
		cursor->newest = request->newest;
	covered_in_all += covered;
}

void
outbox_cursor_applied(RelayQueue *queue, int count)
{
	QueueCursor *cursor = mine(queue);

	was_answered(queue);
	if (count > 0)
		has_moved(queue);
	cursor->applied += count;
	/* of a batch with messages that may fail it was not known before */
	cursor->expect_count = Max(cursor->expect_count, cursor->applied);
}

static bool
waits_for_replicas(const RelayQueue *queue)
{
	return outbox_waits_for_replicas(queue->link->server);
}

const OutboxPosition *
outbox_cursor_replicated(const RelayQueue *queue)
{
	return waits_for_replicas(queue) ? &queue->cursor->replicated.pos :
		&queue->cursor->acked;
}

OutboxSnap *
outbox_cursor_replicated_snapshot(const RelayQueue *queue)
{
	return waits_for_replicas(queue) ? queue->cursor->replicated.settled :
		queue->cursor->settled;
}

bool
outbox_replicated_cursor_is_at(const RelayQueue *queue,
							   const OutboxPosition *pos)
{
	const OutboxPosition *have = outbox_cursor_replicated(queue);

	return have->prev != NULL && is_same_position(have, pos);
}

bool
outbox_cursor_is_replicated(const RelayQueue *queue)
{
	const QueueCursor *cursor = queue->cursor;

	return !waits_for_replicas(queue) ||
		(cursor->replicated.pos.prev != NULL &&
		 cursor->replicated.moves == cursor->moves);
}

bool
outbox_offer_cursor(RelayQueue *queue, uint64 connection)
{
	QueueCursor *cursor = mine(queue);

	if (cursor->connection != connection || cursor->acked.prev == NULL ||
		outbox_cursor_is_replicated(queue))
		return false;
	set_state(&cursor->offered, &(CursorState) {
		.pos = cursor->acked,.settled = cursor->settled,.moves = cursor->moves
	});
	return true;
}

void
outbox_cursor_has_replicas(RelayQueue *queue)
{
	QueueCursor *cursor = mine(queue);

	set_state(&cursor->replicated, &cursor->offered);
	forget_state(&cursor->offered);
	/* the snapshot may have gone on, and the cursor not */
	if (cursor->replicated.moves == cursor->moves)
		set_snap(&cursor->replicated.settled, cursor->settled);
}

void
outbox_withdraw_cursor(RelayQueue *queue)
{
	forget_state(&mine(queue)->offered);
}

uint64
outbox_cursor_moves(void)
{
	return moves_in_all;
}

uint64
outbox_covered_in_all(void)
{
	return covered_in_all;
}

uint64
outbox_cursor_jumps(void)
{
	return jumps_in_all;
}

uint64
outbox_cursors_set_back(void)
{
	return set_back_in_all;
}
