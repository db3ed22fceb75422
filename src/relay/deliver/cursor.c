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
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/cursor.h"

#include "utils/memutils.h"

static uint64 covered_in_all = 0;
static uint64 jumps_in_all = 0;

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

void
outbox_cursor_free(RelayQueue *queue)
{
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

static void
set_position(OutboxPosition *which, const OutboxPosition *pos)
{
	OutboxPosition old = *which;

	*which = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
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
	OutboxSnap *old = cursor->settled;

	cursor->settled = outbox_snap_ref(snap);
	outbox_snap_unref(old);
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

bool
outbox_cursor_is_at(const RelayQueue *queue, const OutboxPosition *pos)
{
	return is_same_position(&queue->cursor->acked, pos);
}

void
outbox_cursor_is_asked_for(RelayQueue *queue)
{
	mine(queue)->asked_at = outbox_now();
}

void
outbox_cursor_was_read(RelayQueue *queue, const Request *request)
{
	const OutboxPosition *pos = &request->to;
	QueueCursor *cursor = mine(queue);
	StringInfoData text;

	if (cursor->acked.prev == NULL || !is_same_position(&cursor->acked, pos))
		jumps_in_all++;
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

	cursor->applied += count;
	/* of a batch with messages that may fail it was not known before */
	cursor->expect_count = Max(cursor->expect_count, cursor->applied);
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
