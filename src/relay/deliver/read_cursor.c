/*-------------------------------------------------------------------------
 *
 * read_cursor.c
 *	  Read a queue's cursor from Redis, and continue from there.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The cursor of each queue is read after every connect, when a batch has found
 * another cursor than it expected, and when a queue that stood still is tried
 * again.  What Redis says is right: messages that it has lost are not covered
 * by its cursor any more, and are sent again if they are still retained.
 *
 *		no cursor				nothing is covered
 *		ours, or of our history	continue
 *		we were promoted since	transaction ids and numbers that the lost primary
 *								used for rows that did not reach us will be given
 *								out again, so the snapshots are clipped to the
 *								rows that did
 *		of another history		stop: fenced, or held for good (judge.c)
 *
 * Before anything else is sent, the position is written back with our runs and
 * the connection's token (a takeover).  It is a compare-and-set; if another relay
 * was faster, the cursor is read again.  From then on nothing that an earlier
 * connection has sent, and that arrives late, finds the cursor that it expects;
 * and another server with the same history finds that we have taken over.
 *
 * Who would continue at another place than the cursor's run may be a copy of a
 * server that is at work.  It waits first for longer than that server takes to
 * move an idle cursor (look.c), and reads again.
 *
 * A cursor is moved only if the synchronous standby has what that rests on, as it
 * had when the cursor was asked for: the record of our run, or nobody would know
 * the run that the cursor names; and what was given up.  While it has not, cursors
 * are read all the same, now and then, to see whether the standby was promoted.
 *
 * A queue that gets another server has its cursor moved, see move.c.
 *
 * If the queue's target needs more than the scripts that all queues share, that
 * is sent before the cursor is asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/read_cursor.h"

#include "access/xlog.h"
#include "redis/resp.h"
#include "relay/base/hold.h"
#include "relay/base/mishap.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/held.h"
#include "relay/deliver/judge.h"
#include "relay/deliver/look.h"
#include "relay/deliver/lost_messages.h"
#include "relay/deliver/move.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/reconcile.h"
#include "relay/deliver/reused.h"
#include "relay/deliver/script.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "relay/deliver/tick.h"
#include "targets/cluster_fault.h"
#include "targets/function_source.h"
#include "targets/message_args.h"
#include "utils/memutils.h"

/*
 * Why the queue's options can't be used, if its row was edited by hand; NULL if
 * they can.
 */
static const char *
option_fault(const OutboxQueue *settings)
{
	OutboxBytes source = outbox_text_option(settings->options, "function");

	if (settings->target == OUTBOX_TARGET_COMMANDS &&
		settings->template == NULL)
		return "outbox.queue.options has no commands";
	if (settings->target != OUTBOX_TARGET_FUNCTION)
		return NULL;
	return source.len == 0 ? "outbox.queue.options has no function" :
		outbox_function_fault(source);
}

/*
 * Send what the queue's target needs, then ask for the cursor.
 */
static void
ask_for_cursor(Relay *relay, RelayQueue *queue, bool may_move)
{
	const OutboxQueue *settings = queue->settings;
	const char *fault = option_fault(settings);
	const char *hint;
	Request    *request;

	if (fault == NULL && outbox_is_in_cluster(queue->link))
		fault = outbox_cluster_fault(settings, &hint);
	outbox_cursor_is_asked_for(queue);
	if (fault != NULL)
	{
		outbox_block_queue(relay, queue, NULL, fault);
		return;
	}
	if (settings->target == OUTBOX_TARGET_FUNCTION)
		outbox_send_scripts(queue->link, queue);

	/*
	 * Asynq's client does the same: its tools list the queues of this set.
	 * For clusters see nodes.c.
	 */
	if (settings->target == OUTBOX_TARGET_ASYNQ &&
		!outbox_is_in_cluster(queue->link))
		outbox_send_command(queue->link, REQUEST_IGNORED, NULL, 3,
							(const char *const[]) {"SADD", "asynq:queues",
								settings->redis_key});
	request = outbox_send_command(queue->link, REQUEST_CURSOR, queue, 2,
								  (const char *const[]) {"HGETALL", queue->cursor_key});
	request->may_move = may_move;
	outbox_queue_is_asked(queue);
}

/*
 * May cursors be asked for?  And may they be moved then?
 */
static bool
may_ask(OutboxTime now, bool *may_move)
{
	static OutboxTime again_at = OUTBOX_LONG_AGO;
	static OutboxTime asked_at = OUTBOX_LONG_AGO;

	outbox_flush_burials();
	*may_move = outbox_standby_has_it();
	if (*may_move)
	{
		again_at = now;
		return true;
	}
	/* in one turn, on all links or on none */
	if (now < again_at && now != asked_at)
		return false;
	asked_at = now;
	again_at = outbox_in_ms(now, outbox_look_interval_ms());
	return true;
}

void
outbox_ask_for_cursors(Relay *relay, Link *link, OutboxTime now)
{
	bool		may_move;

	/* most of them would have to be read again */
	if (link->is_seed || outbox_reused_is_wanted() || !may_ask(now, &may_move))
		return;
	outbox_turn_does(OUTBOX_STEP_CURSORS);
	for (int i = 0; i < outbox_count_awake(); i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);
		const QueueState *state = queue->state;

		if (queue->link != link || queue->requests->inflight > 0 ||
			queue->listed->dropped ||
			(!link->is_own &&
			 (outbox_wants_own_link(queue) || outbox_queue_leaves(queue))))
			continue;
		if (state->state == QUEUE_UNKNOWN ||
			(state->state == QUEUE_BLOCKED && state->retry_at <= now))
			ask_for_cursor(relay, queue, may_move);
	}
}

/*
 * Write the position back as ours, and take seqs out of the skip list, provided
 * that the cursor is still as it was read.
 */
static void
send_takeover(const Relay *relay, RelayQueue *queue,
			  const ReconcileResult *result, const OutboxPosition *pos)
{
	const StoredCursor *cursor = &result->cursor;
	StringInfoData text;
	StringInfoData seqs;
	Request    *request;

	initStringInfo(&text);
	initStringInfo(&seqs);
	outbox_position_print(&text, pos->lsn, pos->prev, pos->cur,
						  queue->link->token);
	for (int i = 0; i < result->ndrop; i++)
		outbox_resp_number(&seqs, result->drop[i]);
	outbox_call_script(queue, &(ScriptCall) {
		.mode = SCRIPT_MOVE,
		.expect_text = cursor->text,
		.expect_seq = cursor->seq,
		.expect_count = cursor->applied,
		.to_text = text.data,
		.to_seq = pos->seq,
		.line = relay->line,
		.nargs = result->ndrop,
		.args = &seqs
	});
	request = outbox_expect_answer(queue->link, REQUEST_TAKEOVER, queue);
	request->to = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	request->applied = cursor->applied;
	outbox_queue_is_asked(queue);
}

/*
 * Deliver the queue from the position that its cursor has.
 */
static void
go_on_from(Relay *relay, const Request *request)
{
	RelayQueue *queue = request->queue;
	uint64		applied = request->applied;
	OutboxPosition known;
	uint64		known_applied;

	if (outbox_cursor_known(queue, &known, &known_applied))
	{
		if (known_applied > applied)
			outbox_note_loss(queue, known_applied - applied, &known);
		else
			outbox_show_recovered(relay, queue, applied - known_applied);
	}
	outbox_cursor_was_read(queue, request);
	if (outbox_move_seals(queue))
		return;
	outbox_resume_tick(queue, &request->to);
	if (queue->held->keys != NULL)
		outbox_set_skipping(queue, true);
	outbox_queue_flows(queue);
}

void
outbox_takeover_answer(Relay *relay, const Request *request,
					   const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;

	if (queue->state->state != QUEUE_ASKED)
		return;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (!outbox_reply_is_array(reply))
		go_on_from(relay, request);
	else
		outbox_cursor_differs(relay, queue);
}

/*
 * The position covers what this server had when its history left the cursor's:
 * no transaction id that it has given out since, and none that was in progress
 * here, as a prepared transaction may have been that has ended elsewhere.
 */
static void
clip_position(Relay *relay, OutboxPosition *pos, uint64 first,
			  const OutboxSnap *then)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	OutboxSnap *prev = outbox_snap_clip(pos->prev, first, then);
	OutboxSnap *cur = outbox_snap_clip(pos->cur, first, then);

	MemoryContextSwitchTo(old);
	outbox_snap_unref(pos->prev);
	outbox_snap_unref(pos->cur);
	pos->prev = prev;
	pos->cur = cur;
}

/*
 * Read the position of a cursor.  Its snapshots are allocated in the relay's
 * context, as queues keep them.
 */
static bool
read_position(Relay *relay, const StoredCursor *cursor, OutboxPosition *pos)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	bool		ok = true;

	memset(pos, 0, sizeof(OutboxPosition));
	if (cursor->text[0] == '\0')
	{
		pos->prev = outbox_snap_make(0, 0, NULL);
		pos->cur = outbox_snap_make(0, 0, NULL);
	}
	else
		ok = outbox_position_parse(cursor->text, cursor->seq, pos);
	MemoryContextSwitchTo(old);
	return ok;
}

/*
 * Make the tables agree with the cursor; when they do, continue from its position
 * after a takeover.
 */
static void
reconcile(Relay *relay, RelayQueue *queue)
{
	const ReconcileResult *result;
	OutboxPosition pos;

	if (!outbox_reconcile_some(queue, &result))
	{
		outbox_reconcile_end(queue);
		outbox_block_queue(relay, queue, NULL,
						   "outbox.deferred or outbox.dead_letter is locked");
		return;
	}
	if (result == NULL)
		return;
	pos = result->pos;
	pos.lsn = GetXLogInsertRecPtr();
	outbox_flush_wal(pos.lsn);
	outbox_rest_on(pos.lsn);
	send_takeover(relay, queue, result, &pos);
	outbox_reconcile_end(queue);
}

static void
reconcile_or_block(Relay *relay, RelayQueue *queue)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		reconcile(relay, queue);
	}
	PG_CATCH();
	{
		outbox_block_queue(relay, queue, NULL, outbox_end_error(context));
		outbox_reconcile_end(queue);
	}
	PG_END_TRY();
}

/*
 * The cursor is asked for again when the queue has left that state meanwhile.
 */
bool
outbox_go_on_reconciling(Relay *relay)
{
	ListCell   *lc;

	if (outbox_is_held())
		return false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->reconcile->rec == NULL)
			continue;
		if (queue->state->state != QUEUE_ASKED || queue->requests->inflight > 0 ||
			queue->listed->dropped)
		{
			outbox_reconcile_end(queue);
			continue;
		}
		outbox_turn_does(OUTBOX_STEP_RECONCILE);
		reconcile_or_block(relay, queue);
		break;
	}
	return outbox_any_reconciled();
}

/*
 * Make the tables agree with the cursor, and continue from its position after a
 * takeover.  left: where our history left the cursor's; 0: nowhere.
 */
static void
go_on(Relay *relay, RelayQueue *queue, const StoredCursor *cursor,
	  OutboxPosition *pos, XLogRecPtr left)
{
	if (!cursor->may_move)
	{
		outbox_queue_is_unknown(queue);
		return;
	}
	if (outbox_move_takes(relay, queue, cursor))
		return;
	if (left != InvalidXLogRecPtr)
	{
		uint64		first;
		const OutboxSnap *then;

		/* until that is known, which takes a moment, the queue waits */
		if (!outbox_reused_from(left, &first, &then))
		{
			outbox_queue_is_unknown(queue);
			return;
		}
		clip_position(relay, pos, first, then);
	}
	outbox_reconcile_begin(queue, cursor, pos, left);
	reconcile(relay, queue);
}

/*
 * Nothing may be delivered from here.  If the database can't be made to say so
 * now, the cursors are read again.
 */
static void
stop_for_good(RelayQueue *queue, const char *reason, const char *why)
{
	if (!outbox_hold_for_good(reason, why))
		outbox_link_fail(queue->link, "outbox.relay_state is locked");
}

/*
 * Deal with a cursor by what is known of its history.
 */
static void
follow_verdict(Relay *relay, RelayQueue *queue, const StoredCursor *cursor,
			   OutboxPosition *pos)
{
	OutboxHistory line;
	Verdict		verdict;

	if (!outbox_line_parse(cursor->line, &line))
	{
		outbox_block_queue(relay, queue, NULL,
						   psprintf("cursor key %s in Redis does not say whose it is",
									queue->cursor_key));
		return;
	}
	verdict = outbox_judge(&line, pos->lsn, relay->history);
	if (verdict.kind != VERDICT_GO_ON && verdict.kind != VERDICT_OURS &&
		verdict.kind != VERDICT_CLIP && outbox_move_refuses(relay, queue, cursor))
		return;
	if (verdict.moved &&
		outbox_watch_until(outbox_in_ms(outbox_now(),
										outbox_look_interval_ms() * 3 / 2),
						   "this server runs at another place than the one that delivered before; does that one still?"))
		return;
	switch (verdict.kind)
	{
		case VERDICT_GO_ON:
		case VERDICT_OURS:
			go_on(relay, queue, cursor, pos, InvalidXLogRecPtr);
			break;
		case VERDICT_CLIP:
			go_on(relay, queue, cursor, pos, verdict.left);
			break;
		case VERDICT_FENCED:
			outbox_fence(psprintf("a server on timeline %u has taken over, this one is on %u",
								  line.runs[line.n - 1].timeline,
								  relay->history->runs[relay->history->n - 1].timeline));
			break;
		case VERDICT_SET_BACK:
			stop_for_good(queue, OUTBOX_HELD_SET_BACK,
						  "Redis has messages that this server wrote and does not have any more");
			break;
		case VERDICT_FOREIGN:
			stop_for_good(queue, OUTBOX_HELD_FOREIGN,
						  "another server has delivered with this database's cursors, or this one was set back");
			break;
	}
}

static void
use_cursor(Relay *relay, RelayQueue *queue, const StoredCursor *cursor)
{
	OutboxPosition pos;

	if (!read_position(relay, cursor, &pos))
		outbox_block_queue(relay, queue, NULL,
						   psprintf("cursor key %s in Redis holds no cursor",
									queue->cursor_key));
	else if (cursor->text[0] == '\0')
		go_on(relay, queue, cursor, &pos, InvalidXLogRecPtr);
	else
		follow_verdict(relay, queue, cursor, &pos);

	outbox_snap_unref(pos.prev);
	outbox_snap_unref(pos.cur);
}

/*
 * Read the fields of a cursor from the answer to HGETALL, see script.c.
 */
static void
read_cursor(const OutboxReply *reply, StoredCursor *cursor)
{
	size_t		n = outbox_reply_length(reply);

	memset(cursor, 0, sizeof(StoredCursor));
	cursor->text = cursor->seq = cursor->line = "";
	cursor->moved = cursor->arrived = "";
	cursor->skips = palloc((n / 2 + 1) * sizeof(Skip));
	for (size_t i = 0; i + 1 < n; i += 2)
	{
		const char *field = outbox_reply_element_string(reply, i);
		const char *value = outbox_reply_element_string(reply, i + 1);

		if (strcmp(field, "pos") == 0)
			cursor->text = value;
		else if (strcmp(field, "seq") == 0)
			cursor->seq = value;
		else if (strcmp(field, "line") == 0)
			cursor->line = value;
		else if (strcmp(field, "moved") == 0)
			cursor->moved = value;
		else if (strcmp(field, "arrived") == 0)
			cursor->arrived = value;
		else if (strcmp(field, "count") == 0)
			cursor->applied = strtoull(value, NULL, 10);
		else if (field[0] == 's' && field[1] >= '0' && field[1] <= '9')
			cursor->skips[cursor->nskips++] =
				(Skip) {strtoull(field + 1, NULL, 10), value};
	}
}

void
outbox_cursor_answer(Relay *relay, const Request *request,
					 const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	StoredCursor cursor;

	if (queue->state->state != QUEUE_ASKED)
		return;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else
	{
		read_cursor(reply, &cursor);
		cursor.may_move = request->may_move;
		use_cursor(relay, queue, &cursor);
	}
}
