/*-------------------------------------------------------------------------
 *
 * move.c
 *	  A queue goes from one server to another.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		leaves		the queue is delivered to its old server until the new one
 *					answers.  Then its cursor is read and taken over there, as in
 *					every recovery, and sealed: a mark says by which move it has
 *					gone and where to, and its position gets a token that nobody
 *					expects.  So nothing that was sent before can be applied, and
 *					who reads it later, as an old primary may, stops there.
 *		arrives		what was sealed is written to the new server, in the place of
 *					what was read there (nothing, or what is left of an earlier stay),
 *					with the id of the move.
 *		stays		the cursor has come.  If it is lost within the retention, what
 *					was sealed is written again (upkeep/moved.c ends that).
 *
 * Each step is a compare-and-set, and each begins with what Redis says: if the relay
 * dies, the next one reads the old cursor, finds the seal, reads the new one, and finds
 * whether the cursor has come.  outbox.queue says from where the queue moves, so that
 * a failover that loses the call of outbox_alter_queue() finds a seal it does not know
 * of.  Then the queue stands still and says which call is to be made again.
 *
 * A queue that is forced to another server takes what is there.  If that is a seal, as
 * it has been there before, it goes on from it.
 *
 * test/model has all of this as rules "move: ...".
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/move.h"

#include "redis_server.h"
#include "relay/base/queues.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/script.h"
#include "server_run.h"
#include "utils/memutils.h"

/* a place may have changed */
static bool changed = false;

static QueueMove *
mine(const RelayQueue *queue)
{
	return unconstify(QueueMove *, queue->move);
}

void
outbox_move_init(RelayQueue *queue)
{
	queue->move = outbox_make_part(queue, sizeof(QueueMove));
}

static const char *
name_of(const char *server)
{
	return server != NULL ? server : OUTBOX_DEFAULT_SERVER;
}

static void
forget(QueueMove *move)
{
	if (move->context != NULL)
		MemoryContextDelete(move->context);
	memset(move, 0, sizeof(QueueMove));
}

static void
set_phase(RelayQueue *queue, MovePhase phase)
{
	mine(queue)->phase = phase;
	changed = true;
}

void
outbox_move_settings(RelayQueue *queue)
{
	QueueMove  *move = mine(queue);
	const char *from = queue->settings->moving_from;

	if (from == NULL || from[0] == '\0')
	{
		forget(move);
		move->forced = from != NULL;
	}
	else if (move->phase == MOVE_NONE)
	{
		forget(move);
		set_phase(queue, MOVE_LEAVES);
	}
}

const char *
outbox_move_place(const RelayQueue *queue)
{
	return queue->move->phase == MOVE_LEAVES ? queue->settings->moving_from :
		queue->settings->server;
}

bool
outbox_moves_have_changed(void)
{
	bool		result = changed;

	changed = false;
	return result;
}

bool
outbox_move_waits(const RelayQueue *queue)
{
	return queue->move->phase == MOVE_LEAVES && !queue->move->begun;
}

void
outbox_move_begins(RelayQueue *queue)
{
	mine(queue)->begun = true;
	outbox_queue_is_unknown(queue);
}

/*
 * The next step begins with reading the cursor.
 */
static void
read_again(RelayQueue *queue, MovePhase phase)
{
	set_phase(queue, phase);
	outbox_queue_is_unknown(queue);
}

/*
 * Keep what was sealed.
 */
static void
keep(RelayQueue *queue, const StoredCursor *cursor, const char *id)
{
	QueueMove  *move = mine(queue);
	MemoryContext old;

	forget(move);
	move->context = AllocSetContextCreate(queue->context, "outbox move",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(move->context);
	move->id = pstrdup(id);
	move->sealed = *cursor;
	move->sealed.text = pstrdup(cursor->text);
	move->sealed.seq = pstrdup(cursor->seq);
	move->sealed.line = pstrdup(cursor->line);
	move->sealed.moved = move->sealed.arrived = "";
	move->sealed.skips = outbox_copy_skips(cursor->skips, cursor->nskips);
	MemoryContextSwitchTo(old);
}

static char *
number(uint64 n)
{
	return psprintf(UINT64_FORMAT, n);
}

/*
 * The position with the token of this connection, or with another one.
 */
static char *
position_with(const StoredCursor *cursor, const char *token)
{
	OutboxPosition pos = {0};
	StringInfoData text;

	initStringInfo(&text);
	if (!outbox_position_parse(cursor->text, cursor->seq, &pos))
		return text.data;		/* it was parsed before */
	outbox_position_print(&text, pos.lsn, pos.prev, pos.cur, token);
	outbox_snap_unref(pos.prev);
	outbox_snap_unref(pos.cur);
	return text.data;
}

/*
 * Write a cursor here, in the place of what was read.
 */
static void
settle(RelayQueue *queue, const StoredCursor *there, const StoredCursor *cursor,
	   const char *id)
{
	const char **argv = MemoryContextAllocHuge(CurrentMemoryContext,
											   (9 + 2 * (Size) cursor->nskips) * sizeof(char *));
	int			n = 0;

	argv[n++] = "settle";
	argv[n++] = there->text;
	argv[n++] = there->seq;
	argv[n++] = number(there->applied);
	argv[n++] = position_with(cursor, queue->link->token);
	argv[n++] = cursor->seq;
	argv[n++] = number(cursor->applied);
	argv[n++] = cursor->line;
	argv[n++] = id;
	for (int i = 0; i < cursor->nskips; i++)
	{
		argv[n++] = number(cursor->skips[i].seq);
		argv[n++] = cursor->skips[i].error;
	}
	outbox_send_move(queue, n, argv);
	outbox_queue_is_asked(queue);
	pfree(argv);
}

/*
 * The queue has gone from here, and nothing is delivered here before somebody says
 * what is to be done.
 */
static void
has_gone(Relay *relay, RelayQueue *queue, const char *where)
{
	outbox_block_queue(relay, queue, NULL,
					   psprintf("its cursor was moved to server \"%s\", and this database does not know of that; if it is to be delivered there, set \"server\" of the queue to that",
								where));
}

/*
 * The old server has sealed it.
 */
static bool
leaves(Relay *relay, RelayQueue *queue, const StoredCursor *cursor,
	   const char *id, const char *where)
{
	if (strcmp(where, name_of(queue->settings->server)) != 0)
		has_gone(relay, queue, where);
	else
	{
		keep(queue, cursor, id);
		read_again(queue, MOVE_ARRIVES);
	}
	return true;
}

/*
 * Has it come?
 */
static bool
arrives(Relay *relay, RelayQueue *queue, const StoredCursor *cursor,
		const char *where)
{
	QueueMove  *move = mine(queue);

	if (strcmp(cursor->arrived, move->id) == 0)
	{
		if (where != NULL)
		{
			has_gone(relay, queue, where);
			return true;
		}
		if (move->phase == MOVE_ARRIVES)
		{
			ereport(LOG,
					(errmsg("queue \"%s\" is delivered to server \"%s\" from now on",
							queue->settings->name, name_of(queue->settings->server))));
			move->arrived_at = outbox_now();
			set_phase(queue, MOVE_STAYS);
		}
		return false;
	}
	if (move->phase == MOVE_STAYS)
	{
		/* the new server has lost it: once more from the seal */
		read_again(queue, MOVE_LEAVES);
		move->begun = true;
		return true;
	}
	settle(queue, cursor, &move->sealed, move->id);
	return true;
}

bool
outbox_move_takes(Relay *relay, RelayQueue *queue, const StoredCursor *cursor)
{
	char	   *id = pstrdup(cursor->moved);
	char	   *where = strchr(id, ' ');

	if (where != NULL)
		*where++ = '\0';
	switch (queue->move->phase)
	{
		case MOVE_NONE:
			if (where == NULL)
				return false;
			if (queue->move->forced)
				settle(queue, cursor, cursor, "");
			else
				has_gone(relay, queue, where);
			return true;
		case MOVE_LEAVES:
			return where != NULL && leaves(relay, queue, cursor, id, where);
		default:
			return arrives(relay, queue, cursor, where);
	}
}

bool
outbox_move_refuses(Relay *relay, RelayQueue *queue, const StoredCursor *cursor)
{
	const QueueMove *move = queue->move;

	if (move->phase != MOVE_ARRIVES || strcmp(cursor->arrived, move->id) == 0)
		return false;
	outbox_block_queue(relay, queue, NULL,
					   psprintf("server \"%s\" has a cursor %s that is not this database's",
								name_of(queue->settings->server),
								queue->cursor_key));
	return true;
}

bool
outbox_move_seals(RelayQueue *queue)
{
	const QueueCursor *cursor = queue->cursor;
	const OutboxPosition *pos = &cursor->acked;
	char		token[OUTBOX_TOKEN_SIZE];
	char		id[OUTBOX_TOKEN_SIZE];
	StringInfoData text;

	if (queue->move->phase != MOVE_LEAVES || !queue->move->begun)
		return false;
	outbox_run_token(&outbox_shared->run, token);
	outbox_run_token(&outbox_shared->run, id);
	initStringInfo(&text);
	outbox_position_print(&text, pos->lsn, pos->prev, pos->cur, token);
	outbox_send_move(queue, 6, (const char *const[]) {
		"seal", cursor->expect_text, number(cursor->expect_seq),
			number(cursor->expect_count), text.data,
			psprintf("%s %s", id, name_of(queue->settings->server))
	});
	outbox_queue_is_asked(queue);
	return true;
}

void
outbox_move_answer(Relay *relay, const Request *request,
				   const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;

	if (queue->state->state != QUEUE_ASKED)
		return;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (outbox_reply_is_array(reply))
		outbox_cursor_differs(relay, queue);
	else
		outbox_queue_is_unknown(queue);
}
