/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Batches in which no message is skipped, and their answers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A batch is one call of one script.  It compares the cursor with the position
 * that the batch was made for, moves the cursor, and applies the messages,
 * atomically: so a batch may be sent again whenever its answer is lost.
 *
 * If a message has to be skipped, the batch ends before it and the queue
 * continues with the batches of skip.c.
 *
 * Batches of a queue are pipelined.  If one is stopped, the batches behind it
 * find another cursor than they expect and do nothing; their answers are
 * ignored, and the queue is recovered from its cursor.
 *
 * If the relay dies with batches under way, Redis may still apply them after
 * the next relay has read the cursor.  Then that relay's first batch finds
 * another cursor than it expects, and the cursor is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/batch.h"

#include "redis/errors.h"
#include "relay/base/shown.h"
#include "relay/deliver/batch_buffer.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/sent.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "utils/memutils.h"

typedef struct Batch
{
	BatchBuffer *buffer;
	int			count;
	PlanEntry	entries[OUTBOX_BATCH_MESSAGES];
	TimestampTz oldest;			/* enqueued_at of the first message */
	TimestampTz newest;			/* ... and of the last one */
} Batch;

/*
 * Add the next planned message.  False if the batch ends before it.
 */
static bool
add_next(RelayQueue *queue, OutboxStaging *staging, Batch *batch)
{
	const PlanEntry *entry = outbox_next_planned(queue);
	OutboxMessage msg;
	bool		found = outbox_fetch_planned(staging, entry, &msg);

	if (!found && outbox_planned_row_is_missing(queue))
		return false;
	if (found && outbox_must_skip(queue, &msg, batch->buffer->args.now))
	{
		outbox_set_skipping(queue, true);
		return false;
	}
	if (found)
	{
		outbox_target_encode(&batch->buffer->args, queue->settings, &msg);
		outbox_batch_add_seq(batch->buffer, entry->seq);
		batch->entries[batch->count] = *entry;
		if (batch->count++ == 0)
			batch->oldest = msg.enqueued_at;
		batch->newest = msg.enqueued_at;
	}
	outbox_advance_plan(queue, found);
	return true;
}

/*
 * Encode the next messages of the queue's plan, as many as a batch takes.
 */
static void
encode(RelayQueue *queue, OutboxStaging *staging, Batch *batch)
{
	MemoryContext old;

	batch->buffer = outbox_batch_buffer();
	batch->count = 0;
	batch->oldest = batch->newest = 0;
	old = MemoryContextSwitchTo(batch->buffer->scratch);
	while (outbox_has_planned(queue) &&
		   !outbox_batch_is_full(batch->buffer, batch->count,
								 outbox_batch_limit(queue)) &&
		   add_next(queue, staging, batch))
		;
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->buffer->scratch);
	outbox_check_end_of_plan(queue);
}

void
outbox_send_batch(Relay *relay, RelayQueue *queue, OutboxStaging *staging)
{
	Request    *request;
	Batch		batch;

	encode(queue, staging, &batch);
	if (batch.count == 0)
		return;
	outbox_send_call(queue, &(ScriptCall) {
		.mode = outbox_is_for_one(queue->settings, batch.count,
								  batch.buffer->args.count) ?
		SCRIPT_ONE : SCRIPT_APPLY,
		.to_text = outbox_tick_text(queue),
		.to_seq = queue->plan->sent_seq,
		.count = batch.count,
		.seqs = &batch.buffer->seqs,
		.nargs = batch.buffer->args.count,
		.args = &batch.buffer->args.data
	});
	request = outbox_expect_batch(REQUEST_BATCH, queue, batch.count);
	request->oldest = batch.oldest;
	request->newest = batch.newest;
	outbox_keep_entries(request, batch.entries, batch.count);
}

/*
 * The message of the batch with this number; NULL if it has none.
 */
static const PlanEntry *
find_sent(const Request *request, uint64 seq)
{
	for (int i = 0; i < request->count; i++)
		if (request->entries[i].seq == seq)
			return &request->entries[i];
	return NULL;
}

/*
 * A message has failed, and the batch has stopped before it.  The queue stands
 * still, or continues from its cursor and skips what fails.
 */
static void
batch_stopped(Relay *relay, RelayQueue *queue, const Request *request,
			  const OutboxReply *reply)
{
	uint64		seq = outbox_reply_element_number(reply, 1);
	const char *error = outbox_reply_element_string(reply, 2);

	if (!outbox_is_refusal(error))
		outbox_link_fail(queue->link, error);
	else if (queue->settings->on_failure == OUTBOX_BLOCK)
	{
		outbox_show_refused(queue);
		outbox_block_queue(relay, queue, find_sent(request, seq), error);
	}
	else
	{
		outbox_set_skipping(queue, true);
		outbox_queue_is_unknown(queue);
	}
}

void
outbox_batch_answer(Relay *relay, const Request *request,
					const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;

	/* the batch was sent before the queue got into trouble */
	if (queue->state->state != QUEUE_FLOWING)
		return;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (!outbox_reply_is_array(reply))
	{
		outbox_batch_is_covered(queue, request);
		outbox_batch_is_applied(relay, queue, request, request->count);
	}
	else if (strcmp(outbox_reply_element_string(reply, 0), "stopped") == 0)
		batch_stopped(relay, queue, request, reply);
	else
		outbox_cursor_differs(relay, queue);
}
