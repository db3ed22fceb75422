/*-------------------------------------------------------------------------
 *
 * skip.c
 *	  Batches that skip messages which Redis refuses, and their answers.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * When a message fails, its batch stops there.  If the queue's policy isn't to
 * stand still, the queue continues from its cursor with batches of this file,
 * one at a time.  Their script skips a message that fails, and messages that
 * wait behind it, and adds them to the skip list.  So a queue in which every
 * message fails still advances by whole batches.  When no message of a batch
 * has failed and no key is held, the batches of batch.c are sent again.
 *
 *		stopped ──► skipping ──► (no failure, no key held) ──► batch.c
 *
 * What the script has skipped is recorded when its answer comes.  If the relay
 * dies before that, only the skip list knows of the message.  The next relay
 * records it (reconcile.c) from its row in staging, which is emptied of
 * recorded messages only.  So a batch needn't wait until records are on disk.
 *
 * Messages that must not be tried, because their key is held, they have expired,
 * they are dead letters or connections end at them (suspect.c), are recorded
 * first, and the script gets only their seqs.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/skip.h"

#include "executor/spi.h"
#include "queue/partition.h"
#include "queue/policy.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/held.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/sent.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "store/deferred.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

bool
outbox_may_skip(const RelayQueue *queue, OutboxTime now)
{
	return queue->requests->inflight == 0 && outbox_skip_at(queue) <= now;
}

/*
 * Record that a message is skipped.
 */
static void
record_skipped(RelayQueue *queue, OutboxMessage *msg, TimestampTz now)
{
	/* the message was planned from its record */
	if (msg->reason == OUTBOX_DEAD || msg->reason == OUTBOX_RETRIED ||
		msg->reason == OUTBOX_BEHIND)
		return;
	if (outbox_is_expired(queue->settings, msg->enqueued_at, now))
		outbox_message_expired(queue, msg, now);
	else if (outbox_is_convicted(queue, msg->seq))
	{
		(void) outbox_message_refused(queue, msg, outbox_conviction(queue), false, now);
		outbox_suspect_is_sentenced(queue, msg->seq);
	}
	else
		outbox_message_behind(queue, msg);
}

typedef struct SkipScan
{
	OutboxStaging *staging;
	SkipBatch  *batch;
	TimestampTz now;
	int			skipped;
} SkipScan;

/*
 * Add the next planned message.  False if the batch ends before it.  If the
 * queue's policy is to stand still, the script must not skip a message that
 * fails: then only messages that must not be tried are added.
 */
static bool
add_next(RelayQueue *queue, SkipScan *scan)
{
	const PlanEntry *entry = outbox_next_planned(queue);
	OutboxMessage msg;
	bool		found = outbox_fetch_planned(scan->staging, entry, &msg);
	bool		skip = found && outbox_must_skip(queue, &msg, scan->now);

	if (!found && outbox_planned_row_is_missing(queue))
		return false;
	if (skip)
	{
		record_skipped(queue, &msg, scan->now);
		outbox_batch_add_seq(scan->batch->buffer, entry->seq);
		scan->skipped++;
	}
	else if (found && queue->settings->on_failure == OUTBOX_BLOCK)
	{
		outbox_set_skipping(queue, false);
		return false;
	}
	else if (found)
		outbox_skip_batch_add(queue, scan->batch, &msg, entry);
	outbox_advance_plan(queue, found);
	return true;
}

/*
 * Encode the next messages of the queue's plan.  Returns how many of them must
 * not be tried.
 */
static int
encode(RelayQueue *queue, OutboxStaging *staging, SkipBatch *batch)
{
	SkipScan	scan = {staging, batch, GetCurrentTimestamp(), 0};
	MemoryContext old;

	outbox_skip_batch_begin(batch);
	old = MemoryContextSwitchTo(batch->buffer->scratch);
	while (outbox_has_planned(queue) &&
		   !outbox_batch_is_full(batch->buffer, batch->count + scan.skipped,
								 outbox_batch_limit(queue)) &&
		   batch->count < queue->skipping->size &&
		   scan.skipped < OUTBOX_RECORD_ROWS &&
		   add_next(queue, &scan))
		;
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->buffer->scratch);
	outbox_check_end_of_plan(queue);
	return scan.skipped;
}

void
outbox_send_skipping(Relay *relay, RelayQueue *queue, OutboxStaging *staging)
{
	SkipBatch	batch;
	Request    *request;
	int			skipped;

	if (!outbox_lock_failures() || !outbox_queue_is_free(outbox_queue_of(queue->settings)))
	{
		outbox_skip_not_before(queue, outbox_in_ms(outbox_now(), OUTBOX_LOOK_AGAIN_MS));
		return;
	}
	skipped = encode(queue, staging, &batch);
	if (batch.count + skipped == 0)
		return;

	outbox_skip_batch_call(queue, &batch, SCRIPT_SKIP,
						   outbox_tick_text(queue),
						   queue->plan->sent_seq);
	request = outbox_expect_batch(REQUEST_SKIP, queue, batch.count);
	outbox_skip_batch_sent(request, &batch, skipped);
}

/*
 * Record the messages that a batch has skipped.  The answer names them in the
 * order of the batch.
 */
static void
record_failures(RelayQueue *queue, const Request *request,
				const OutboxReply *reply, int nfailed, OutboxStaging *staging)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		left[OUTBOX_BATCH_MESSAGES];	/* hashes of keys */
	int			nleft = 0;
	int			i = 0;

	Assert(request->count <= OUTBOX_BATCH_MESSAGES);
	for (int n = 0; n < nfailed; n++)
	{
		uint64		seq = outbox_failed_seq(reply, n);
		const char *error = outbox_failed_error(reply, n);
		OutboxMessage msg;

		while (request->entries[i].seq != seq)
			i++;
		if (!outbox_fetch_planned(staging, &request->entries[i++], &msg))
			elog(ERROR, "a staged message of %s has vanished",
				 outbox_queue_title(queue->settings));
		if (error[0] == '\0')
			outbox_message_behind(queue, &msg);
		else if (outbox_message_refused(queue, &msg, error, false, now) &&
				 msg.key != NULL)
			left[nleft++] = outbox_key_hash(msg.key);
	}

	/* messages that were given up at once may have others behind them */
	if (nleft > 0 && queue->held->keys != NULL)
	{
		SPI_connect();
		outbox_retry_next_of_keys(queue, left, nleft, now);
		SPI_finish();
		outbox_retry_is_due(queue, now);
	}
}

/*
 * False if a table is locked.
 */
static bool
record_in_step(RelayQueue *queue, const Request *request,
			   const OutboxReply *reply, int nfailed)
{
	OutboxStaging staging;
	bool		ok;

	if (!outbox_begin_failure_step_of(queue))
		return false;
	ok = outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES);
	if (ok)
	{
		record_failures(queue, request, reply, nfailed, &staging);
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return ok;
}

void
outbox_skip_answer(Relay *relay, const Request *request,
				   const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	OutboxTime	begin = outbox_now();
	int			nfailed = outbox_count_failed(relay, request, reply);

	if (nfailed < 0)
		return;

	outbox_skip_not_before(queue, 0);
	outbox_adjust_skip_batch(queue, nfailed > 0);
	if (nfailed > 0)
	{
		if (!record_in_step(queue, request, reply, nfailed))
		{
			/* reading the cursor records it, from the skip list */
			outbox_queue_is_unknown(queue);
			return;
		}
		outbox_pause_after_failure(relay, queue, begin);
	}
	outbox_batch_is_covered(queue, request);
	outbox_batch_is_applied(relay, queue, request, request->count - nfailed);
	if (queue->settings->on_failure != OUTBOX_BLOCK)
		outbox_set_skipping(queue, nfailed > 0 || queue->held->keys != NULL);
	outbox_want_plan(PLAN_ANSWER);
}
