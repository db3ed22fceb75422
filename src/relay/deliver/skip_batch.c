/*-------------------------------------------------------------------------
 *
 * skip_batch.c
 *	  A batch whose script continues after a message has failed.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Such a batch names for each message the one that it waits behind: the last
 * one before it with the same key.  If that one fails, the script doesn't try
 * the message.  If the queue's policy is to give messages up at once, none
 * waits for another.
 *
 * A batch with failures is followed by a pause that is longer than the time the
 * batch took, so that a failing queue takes about a tenth of the relay's time;
 * unless no other queue has been at work for a moment, as nobody needs the rest
 * then.
 *
 * Recording a failure takes a thousand times as long as sending a message.  As
 * long as messages fail, batches are so small that all of one can be recorded in
 * one turn; without failures they grow again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/skip_batch.h"

#include "queue/partition.h"
#include "queue/policy.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/deliver/held.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/sent.h"
#include "relay/deliver/suspect.h"
#include "store/deferred.h"

/* the pause is this many times as long as recording took, but not longer than */
#define PAUSE_FACTOR	9
#define PAUSE_MAX_US	1000000

/* who has sent nothing for so long isn't at work */
#define AT_WORK_US		100000

/* the last two queues that were at work */
typedef struct AtWork
{
	const RelayQueue *queue;	/* only to be compared */
	OutboxTime	at;
} AtWork;

static AtWork at_work[2] =
{
	{
		NULL, OUTBOX_LONG_AGO
	},
	{
		NULL, OUTBOX_LONG_AGO
	}
};

static QueueSkipping *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
	return unconstify(QueueSkipping *, queue->skipping);
}

void
outbox_skipping_init(RelayQueue *queue)
{
	queue->skipping = outbox_make_part(queue, sizeof(QueueSkipping));
	mine(queue)->size = OUTBOX_RECORD_ROWS;
}

void
outbox_set_skipping(RelayQueue *queue, bool on)
{
	QueueSkipping *skipping = mine(queue);

	/* most often because a message has failed, and the next may fail as well */
	if (on && !skipping->on)
		skipping->size = OUTBOX_RECORD_ROWS;
	skipping->on = on;
}

void
outbox_skip_not_before(RelayQueue *queue, OutboxTime not_before)
{
	mine(queue)->not_before = not_before;
}

void
outbox_queue_is_at_work(const RelayQueue *queue, OutboxTime now)
{
	if (at_work[0].queue != queue)
		at_work[1] = at_work[0];
	at_work[0] = (AtWork) {queue, now};
}

OutboxTime
outbox_skip_at(const RelayQueue *queue)
{
	const QueueSkipping *skipping = queue->skipping;
	const AtWork *other = &at_work[at_work[0].queue == queue ? 1 : 0];

	return Max(skipping->not_before,
			   Min(skipping->pause_until, other->at + AT_WORK_US));
}

void
outbox_adjust_skip_batch(RelayQueue *queue, bool failures)
{
	QueueSkipping *skipping = mine(queue);

	skipping->size = failures ? OUTBOX_RECORD_ROWS :
		Min(skipping->size * 2, OUTBOX_BATCH_MESSAGES);
}

bool
outbox_must_skip(const RelayQueue *queue, const OutboxMessage *msg,
				 TimestampTz now)
{
	return (msg->reason != 0 && msg->reason != OUTBOX_EVACUATED &&
			msg->reason != OUTBOX_APPLIED) ||
		outbox_is_convicted(queue, msg->seq) ||
		outbox_key_is_held(queue, msg) ||
		outbox_is_expired(queue->settings, msg->enqueued_at, now);
}

void
outbox_skip_batch_begin(SkipBatch *batch)
{
	batch->buffer = outbox_batch_buffer();
	batch->count = 0;
	batch->oldest = batch->newest = 0;
}

/*
 * The message that the last one waits behind, counted from 1; 0: none.
 */
static int
find_before(const SkipBatch *batch)
{
	int			last = batch->count - 1;

	for (int i = last - 1; i >= 0; i--)
		if (batch->keyed[i] && batch->hashes[i] == batch->hashes[last])
			return i + 1;
	return 0;
}

void
outbox_skip_batch_add(RelayQueue *queue, SkipBatch *batch,
					  const OutboxMessage *msg, const PlanEntry *entry)
{
	OutboxArgs *args = &batch->buffer->args;
	int			n = batch->count++;
	int			before = 0;

	Assert(batch->count <= OUTBOX_BATCH_MESSAGES);
	batch->entries[n] = *entry;
	batch->keyed[n] = msg->key != NULL &&
		queue->settings->on_failure != OUTBOX_DEAD_LETTER;
	if (batch->keyed[n])
	{
		batch->hashes[n] = outbox_key_hash(msg->key);
		before = find_before(batch);
	}
	if (n == 0)
		batch->oldest = msg->enqueued_at;
	batch->newest = msg->enqueued_at;

	outbox_add_number(args, (int64) msg->seq);
	outbox_add_number(args, before);
	outbox_target_encode_alone(args, queue->settings, msg);
}

void
outbox_skip_batch_call(RelayQueue *queue, const SkipBatch *batch,
					   ScriptMode mode, const char *to_text, uint64 to_seq)
{
	ScriptCall	call = {
		.mode = mode,
		.to_text = to_text,
		.to_seq = to_seq,
		.count = batch->count,
		.seqs = &batch->buffer->seqs,
		.nargs = batch->buffer->args.count,
		.args = &batch->buffer->args.data
	};

	outbox_send_call(queue, &call);
}

void
outbox_skip_batch_sent(Request *request, const SkipBatch *batch, int skipped)
{
	request->count = batch->count;
	request->skipped = skipped;
	request->oldest = batch->oldest;
	request->newest = batch->newest;
	if (batch->count > 0)
		outbox_keep_entries(request, batch->entries, batch->count);
}

uint64
outbox_failed_seq(const OutboxReply *reply, int n)
{
	return outbox_reply_element_number(reply, 1 + 2 * n);
}

const char *
outbox_failed_error(const OutboxReply *reply, int n)
{
	return outbox_reply_element_string(reply, 2 + 2 * n);
}

/*
 * Are these messages of the batch, in its order?
 */
static bool
were_sent(const Request *request, const OutboxReply *reply, int nfailed)
{
	int			i = 0;

	for (int n = 0; n < nfailed; n++)
	{
		while (i < request->count &&
			   request->entries[i].seq != outbox_failed_seq(reply, n))
			i++;
		if (i++ >= request->count)
			return false;
	}
	return true;
}

int
outbox_count_failed(Relay *relay, const Request *request,
					const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	int			nfailed = (int) (outbox_reply_length(reply) - 1) / 2;

	if (queue->state->state != QUEUE_FLOWING || queue->listed->dropped)
		return -1;
	if (outbox_reply_is_error(reply))
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
	else if (strcmp(outbox_reply_element_string(reply, 0), "done") != 0)
		outbox_cursor_differs(relay, queue);
	else if (!were_sent(request, reply, nfailed))
		outbox_link_fail(queue->link, "a script has refused what it was not sent");
	else
		return nfailed;
	return -1;
}

void
outbox_pause_after_failure(Relay *relay, RelayQueue *queue, OutboxTime begin)
{
	OutboxTime	now = outbox_now();

	outbox_set_error(relay->slot, psprintf("%s: %s",
										   outbox_queue_title(queue->settings),
										   queue->shown->last_error));
	mine(queue)->pause_until = now + Min((now - begin) * PAUSE_FACTOR,
										 PAUSE_MAX_US);
}
