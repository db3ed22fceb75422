/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Batches out, answers in.
 *
 * Design notes
 *
 * A batch is one call of one script.  It compares the cursor with the position
 * that the batch was made for, moves it, and applies the messages, atomically:
 * so a batch may be sent again whenever its answer is lost.
 *
 * What has to be skipped is none of this file's: then the queue goes on with
 * care, see skip.c.
 *
 * Batches of a queue are pipelined.  If one is stopped, those behind it find a
 * cursor that isn't the one they expect and do nothing; their answers are
 * ignored, and the queue is recovered from its cursor.
 *
 * If the relay dies with batches in flight, Redis may still apply them; the
 * next relay reads the cursor, and whatever moves it afterwards makes the new
 * relay's first batch differ, so that it reads again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "store/deferred.h"
#include "queue/policy.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * Is the message to be skipped, or has it been already?
 */
bool
outbox_needs_care(const RelayQueue *queue, const OutboxMessage *msg,
				  TimestampTz now)
{
	return (msg->reason != 0 && msg->reason != OUTBOX_EVACUATED &&
			msg->reason != OUTBOX_APPLIED) ||
		(queue->held_keys != NULL && outbox_key_is_held(queue, msg)) ||
		outbox_is_expired(&queue->settings, msg->enqueued_at, now);
}

/*
 * Encode the queue's next messages.  Returns how many; *finishes tells whether
 * the tick ends with them.
 */
static int
encode_batch(Relay *relay, RelayQueue *queue, OutboxStaging *staging,
			 TimestampTz *oldest, TimestampTz *newest)
{
	TimestampTz now = queue->settings.expires_after > 0 ?
		GetCurrentTimestamp() : 0;
	OutboxMessage msg;
	bool		again = false;
	int			count = 0;

	outbox_empty_buffer(&relay->args.data);
	resetStringInfo(&relay->seqs);
	relay->args.count = 0;
	relay->args.run_shape = 0;
	relay->args.now = GetCurrentTimestamp();

	while (queue->next < queue->nplan && count < OUTBOX_BATCH_MESSAGES &&
		   relay->args.data.len < OUTBOX_BATCH_BYTES && !queue->careful)
	{
		PlanEntry  *e = &queue->plan[queue->next];
		ItemPointerData tid;
		MemoryContext old;
		char		seq[24];

		ItemPointerSet(&tid, e->block, e->offset);
		old = MemoryContextSwitchTo(relay->batch);
		if (!outbox_staging_fetch(staging, e->table, &tid, e->seq, &msg))
			again = outbox_plan_again(relay, queue);
		else if (outbox_needs_care(queue, &msg, now))
			queue->careful = true;
		else
		{
			outbox_target_encode(&relay->args, &queue->settings, &msg);
			appendBinaryStringInfoNT(&relay->seqs, seq,
									 pg_ulltoa_n(e->seq, seq));
			appendStringInfoCharMacro(&relay->seqs, ' ');
			if (count == 0)
				*oldest = msg.enqueued_at;
			*newest = msg.enqueued_at;
			queue->sent_seq = e->seq;
			count++;
		}
		MemoryContextSwitchTo(old);
		if (again || queue->careful)
			break;
		queue->next++;
		queue->seq = e->seq;
	}
	MemoryContextReset(relay->batch);
	return count;
}

/*
 * The position that the queue's batches move to, as text without the seq.
 */
const char *
outbox_tick_text(Relay *relay, RelayQueue *queue)
{
	if (queue->pos == NULL)
	{
		StringInfoData pos;
		MemoryContext old = MemoryContextSwitchTo(queue->context);

		initStringInfo(&pos);
		outbox_position_print(&pos, relay->timeline, queue->lsn, queue->prev,
							  queue->cur);
		queue->pos = pos.data;
		MemoryContextSwitchTo(old);
	}
	return queue->pos;
}

/*
 * Redis will have this position, once all in flight is applied.
 */
void
outbox_expect_position(RelayQueue *queue, const char *pos, uint64 seq)
{
	if (strcmp(queue->expect_pos, pos) != 0)
	{
		pfree(queue->expect_pos);
		queue->expect_pos = MemoryContextStrdup(queue->context, pos);
	}
	queue->expect_seq = seq;
}

/*
 * Send the next messages of a queue's plan.  False if there was none: all that
 * was left of the plan had been rolled back, or the next one needs care.
 */
bool
outbox_send_batch(Relay *relay, RelayQueue *queue, OutboxStaging *staging)
{
	TimestampTz oldest = 0;
	TimestampTz newest = 0;
	char		expect_seq[24];
	Request    *request;
	int			count = encode_batch(relay, queue, staging, &oldest, &newest);

	if (queue->next == queue->nplan)
		queue->finished = !queue->plan_cut;
	if (count == 0)
		return false;

	expect_seq[pg_ulltoa_n(queue->expect_seq, expect_seq)] = '\0';
	outbox_script_call(&relay->command, OUTBOX_SCRIPT_APPLY, queue,
					   outbox_target_branch(&queue->settings),
					   3 + relay->args.count, queue->expect_pos, expect_seq,
					   outbox_tick_text(relay, queue), queue->sent_seq);
	outbox_resp_number(&relay->command, count);
	outbox_resp_arg(&relay->command, relay->seqs.data, relay->seqs.len);
	outbox_script_channel(&relay->command, queue);
	appendBinaryStringInfoNT(&relay->command, relay->args.data.data,
							 relay->args.data.len);
	outbox_send_command(relay);

	request = outbox_expect_batch(relay, REQUEST_APPLY, queue);
	request->count = count;
	request->oldest = oldest;
	request->newest = newest;
	outbox_expect_position(queue, queue->pos, queue->sent_seq);
	return true;
}

/*
 * A batch has been sent that moves the cursor to where the queue is.
 */
Request *
outbox_expect_batch(Relay *relay, RequestKind kind, RelayQueue *queue)
{
	Request    *request = outbox_expect_answer(relay, kind, queue);

	queue->again_went = false;
	request->finishes = queue->finished;
	request->pos.prev = outbox_snap_ref(queue->prev);
	request->pos.cur = outbox_snap_ref(queue->cur);
	request->pos.seq = queue->sent_seq;
	return request;
}

/*
 * Redis has applied messages, the oldest and the newest of them enqueued then.
 */
void
outbox_messages_applied(Relay *relay, RelayQueue *queue, int count,
						TimestampTz oldest, TimestampTz newest)
{
	TimestampTz now = relay->progress_at;

	if (!relay->well)
		outbox_link_well(relay);
	if (count == 0)
		return;
	queue->acked_count += count;
	queue->totals.delivered += count;
	queue->last_success = now;
	outbox_latency_add(&queue->latency, now, now - oldest, (count + 1) / 2);
	if (count > 1)
		outbox_latency_add(&queue->latency, now, now - newest, count / 2);
	relay->delivered += count;
	pg_atomic_write_u64(&relay->slot->delivered, relay->delivered);
	pg_atomic_write_u64(&relay->slot->last_success, now);
}

/*
 * Redis has moved the cursor to a request's position.
 */
void
outbox_position_reached(Relay *relay, RelayQueue *queue, const Request *request)
{
	OutboxPosition old = queue->acked;
	int			covered = request->count + request->skipped;
	uint64		waiting;

	queue->acked.prev = outbox_snap_ref(request->pos.prev);
	queue->acked.cur = outbox_snap_ref(request->pos.cur);
	queue->acked.seq = request->pos.seq;
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
	queue->failures = 0;
	queue->still_since = 0;

	if (request->finishes)
	{
		outbox_snap_unref(queue->settled);
		queue->settled = outbox_snap_ref(request->pos.cur);
	}
	queue->waiting -= covered;
	queue->oldest = request->newest;
	waiting = pg_atomic_read_u64(&relay->slot->waiting);
	pg_atomic_write_u64(&relay->slot->waiting, waiting - Min(waiting, covered));
	if (queue->inflight == OUTBOX_QUEUE_INFLIGHT)
		relay->look = true;
}

/*
 * The cursor isn't where it was expected: somebody else has moved it, or Redis
 * has lost something.
 */
void
outbox_cursor_differs(RelayQueue *queue)
{
	ereport(LOG,
			(errmsg("cursor of queue \"%s\" in Redis has been moved, reading it again",
					queue->settings.name)));
	queue->state = QUEUE_UNKNOWN;
	outbox_discard_plan(queue);
}

/*
 * A message has failed, and with it the batch.  The queue stands still, or
 * goes on with care from its cursor.
 */
static void
batch_stopped(Relay *relay, RelayQueue *queue, const OutboxReply *reply)
{
	uint64		seq = strtoull(outbox_reply_string(outbox_reply_element(reply, 1)),
							   NULL, 10);
	const char *error = outbox_reply_string(outbox_reply_element(reply, 2));

	if (!outbox_is_refusal(error))
		outbox_link_trouble(relay, error);
	else if (queue->settings.on_failure == OUTBOX_BLOCK)
	{
		queue->totals.failed++;
		outbox_block_queue(relay, queue, seq, error);
	}
	else
	{
		queue->careful = true;
		queue->state = QUEUE_UNKNOWN;
		outbox_discard_plan(queue);
	}
}

void
outbox_apply_answer(Relay *relay, RelayQueue *queue, Request *request,
					const OutboxReply *reply)
{
	/* an answer to what was sent before the queue got into trouble */
	if (queue->state != (request->kind == REQUEST_APPLY ? QUEUE_FLOWING :
						 QUEUE_ASKED))
		return;

	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (!outbox_reply_is_array(reply))
	{
		if (request->kind == REQUEST_APPLY)
		{
			outbox_position_reached(relay, queue, request);
			outbox_messages_applied(relay, queue, request->count,
									request->oldest, request->newest);
		}
		else
			outbox_queue_flows(relay, queue, &request->pos, request->total);
	}
	else if (outbox_reply_length(reply) == 3 &&
			 strcmp(outbox_reply_string(outbox_reply_element(reply, 0)),
					"stopped") == 0)
		batch_stopped(relay, queue, reply);
	else
		outbox_cursor_differs(queue);
}
