/*-------------------------------------------------------------------------
 *
 * skip.c
 *	  Batches in which messages may be skipped.
 *
 * Design notes
 *
 * When a message fails, its batch stops there, and the queue goes on with care
 * if its policy isn't to stand still: from the cursor, one batch at a time.
 * Such a batch tells for each message which earlier one it waits behind, which
 * is the one before it with the same key.  The script skips what fails and
 * what waits behind it, and adds it to the skip list.  So a queue in which
 * everything fails still goes on by whole batches.  When nothing has failed
 * and no key is held, the usual batches come back.
 *
 *		stopped ──► careful ──► (no failure, no key held) ──► as usual
 *
 * What the script has skipped is recorded when its answer comes.  If the relay
 * dies in between, the skip list has what no table has, and the next relay
 * records it (reconcile.c): its row is still in staging, which is emptied of
 * recorded messages only.  So nothing here has to wait for a flush.
 *
 * Messages that must not go, as their key is held, they have expired or are
 * dead letters, are recorded first and given to the script as seqs alone.
 *
 * A queue that fails takes about a tenth of the relay's time: a batch with
 * failures is followed by a pause, of a second at most.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "queue/policy.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* a failing batch is followed by a pause so many times as long, and at most */
#define PAUSE_FACTOR	9
#define PAUSE_MAX_US	1000000

bool
outbox_may_go_carefully(RelayQueue *queue, TimestampTz now)
{
	return queue->inflight == 0 && queue->careful_at <= now;
}

/*
 * Add a message that the script is to try.
 */
void
outbox_careful_add(Relay *relay, RelayQueue *queue, CarefulBatch *batch,
				   const OutboxMessage *msg, const PlanEntry *entry)
{
	int			n = batch->count++;
	int			before = 0;
	char		buf[24];

	batch->entries[n] = *entry;
	batch->keyed[n] = msg->key != NULL &&
		queue->settings.on_failure != OUTBOX_DEAD_LETTER;
	if (batch->keyed[n])
	{
		batch->hashes[n] = outbox_key_hash(msg->key);
		for (before = n; before > 0; before--)
			if (batch->keyed[before - 1] &&
				batch->hashes[before - 1] == batch->hashes[n])
				break;
	}
	if (n == 0)
		batch->oldest = msg->enqueued_at;
	batch->newest = msg->enqueued_at;

	outbox_add_arg(&relay->args, buf, pg_ulltoa_n(msg->seq, buf));
	outbox_add_arg(&relay->args, buf, pg_ulltoa_n(before, buf));
	outbox_target_encode_alone(&relay->args, &queue->settings, msg);
}

/*
 * Record that a message is skipped.
 */
static void
skip_message(RelayQueue *queue, OutboxMessage *msg, TimestampTz now)
{
	/* it has been recorded before it came to be planned */
	if (msg->reason == OUTBOX_DEAD || msg->reason == OUTBOX_RETRIED ||
		msg->reason == OUTBOX_BEHIND)
		return;
	if (outbox_is_expired(&queue->settings, msg->enqueued_at, now))
		outbox_message_expired(queue, msg, now);
	else
		outbox_message_behind(queue, msg);
}

/*
 * Encode what comes next in the plan.  Returns how many are skipped; their
 * seqs are in relay->seqs.  A queue that stands still at failures gets what
 * is skipped only, as the rest must not be.
 */
static int
encode_careful(Relay *relay, RelayQueue *queue, OutboxStaging *staging,
			   CarefulBatch *batch)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		may_fail = queue->settings.on_failure != OUTBOX_BLOCK;
	int			skipped = 0;

	while (queue->next < queue->nplan &&
		   batch->count + skipped < OUTBOX_BATCH_MESSAGES &&
		   relay->args.data.len < OUTBOX_BATCH_BYTES)
	{
		PlanEntry  *e = &queue->plan[queue->next];
		OutboxMessage msg;
		ItemPointerData tid;
		MemoryContext old = MemoryContextSwitchTo(relay->batch);
		bool		found;
		bool		skip;

		ItemPointerSet(&tid, e->block, e->offset);
		found = outbox_staging_fetch(staging, e->table, &tid, e->seq, &msg);
		skip = found && outbox_needs_care(queue, &msg, now);
		if (skip)
		{
			char		seq[24];

			skip_message(queue, &msg, now);
			appendBinaryStringInfoNT(&relay->seqs, seq, pg_ulltoa_n(e->seq, seq));
			appendStringInfoCharMacro(&relay->seqs, ' ');
			skipped++;
		}
		else if (found && may_fail)
			outbox_careful_add(relay, queue, batch, &msg, e);
		MemoryContextSwitchTo(old);
		if (!found && outbox_plan_again(relay, queue))
			break;
		if (found && !skip && !may_fail)
		{
			queue->careful = false;
			break;
		}
		queue->next++;
		queue->seq = e->seq;
		if (found)
			queue->sent_seq = e->seq;
	}
	return skipped;
}

void
outbox_careful_begin(Relay *relay, CarefulBatch *batch)
{
	batch->count = 0;
	batch->oldest = batch->newest = 0;
	outbox_empty_buffer(&relay->args.data);
	resetStringInfo(&relay->seqs);
	relay->args.count = 0;
	relay->args.run_shape = 0;
	relay->args.now = GetCurrentTimestamp();
}

void
outbox_careful_call(Relay *relay, RelayQueue *queue, const char *mode,
					const char *pos, uint64 seq)
{
	StringInfo	out = &relay->command;
	char		expect_seq[24];

	expect_seq[pg_ulltoa_n(queue->expect_seq, expect_seq)] = '\0';
	outbox_script_call(out, OUTBOX_SCRIPT_CAREFUL, queue, mode,
					   3 + relay->args.count, queue->expect_pos, expect_seq,
					   pos, seq);
	outbox_resp_string(out, outbox_target_branch(&queue->settings));
	outbox_script_channel(out, queue);
	outbox_resp_arg(out, relay->seqs.data, relay->seqs.len);
	appendBinaryStringInfoNT(out, relay->args.data.data, relay->args.data.len);
	outbox_send_command(relay);
	queue->careful_inflight = true;
}

void
outbox_careful_sent(Relay *relay, Request *request, const CarefulBatch *batch,
					int skipped)
{
	Size		size = batch->count * sizeof(PlanEntry);

	request->count = batch->count;
	request->skipped = skipped;
	request->oldest = batch->oldest;
	request->newest = batch->newest;
	if (batch->count > 0)
	{
		request->entries = MemoryContextAlloc(relay->context, size);
		memcpy(request->entries, batch->entries, size);
	}
}

/*
 * Send the next messages of a queue's plan, with care.
 */
void
outbox_send_careful(Relay *relay, RelayQueue *queue, OutboxStaging *staging)
{
	CarefulBatch batch;
	Request    *request;
	int			skipped;

	if (!outbox_lock_failures())
	{
		queue->careful_at = GetCurrentTimestamp() + OUTBOX_LOOK_AGAIN_US;
		return;
	}
	outbox_careful_begin(relay, &batch);
	skipped = encode_careful(relay, queue, staging, &batch);
	MemoryContextReset(relay->batch);
	if (queue->next == queue->nplan)
		queue->finished = !queue->plan_cut;
	if (batch.count + skipped == 0)
		return;

	outbox_careful_call(relay, queue, "past", outbox_tick_text(relay, queue),
						queue->sent_seq);
	request = outbox_expect_batch(relay, REQUEST_CAREFUL, queue);
	outbox_careful_sent(relay, request, &batch, skipped);
	outbox_expect_position(queue, queue->pos, queue->sent_seq);
}

/* the n-th failure in an answer */
uint64
outbox_failed_seq(const OutboxReply *reply, int n)
{
	return strtoull(outbox_reply_string(outbox_reply_element(reply, 1 + 2 * n)),
					NULL, 10);
}

const char *
outbox_failed_error(const OutboxReply *reply, int n)
{
	return outbox_reply_string(outbox_reply_element(reply, 2 + 2 * n));
}

/*
 * What began then had failures: leave most of the time to others.
 */
void
outbox_pause_after_failure(Relay *relay, RelayQueue *queue, TimestampTz begin)
{
	TimestampTz now = GetCurrentTimestamp();

	outbox_set_error(relay->slot, psprintf("queue \"%s\": %s",
										   queue->settings.name, queue->last_error));
	queue->careful_at = now + Min((now - begin) * PAUSE_FACTOR, PAUSE_MAX_US);
}

/*
 * Record what a careful batch has skipped.  Failures come in the order of the
 * messages.
 */
static void
record_failures(RelayQueue *queue, const Request *request,
				const OutboxReply *reply, int nfailed, OutboxStaging *staging)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		left[OUTBOX_BATCH_MESSAGES];	/* hashes of keys */
	int			nleft = 0;
	int			i = 0;

	for (int n = 0; n < nfailed; n++)
	{
		uint64		seq = outbox_failed_seq(reply, n);
		const char *error = outbox_failed_error(reply, n);
		const PlanEntry *e;
		OutboxMessage msg;
		ItemPointerData tid;

		while (i < request->count && request->entries[i].seq != seq)
			i++;
		if (i == request->count)
			elog(ERROR, "the careful script has refused what it wasn't sent");
		e = &request->entries[i];
		ItemPointerSet(&tid, e->block, e->offset);
		if (!outbox_staging_fetch(staging, e->table, &tid, seq, &msg))
			elog(ERROR, "a staged message of queue \"%s\" has vanished",
				 queue->settings.name);
		if (error[0] == '\0')
			outbox_message_behind(queue, &msg);
		else if (outbox_message_refused(queue, &msg, error, false, now) &&
				 msg.key != NULL)
			left[nleft++] = outbox_key_hash(msg.key);
	}

	/* what was given up at once has others behind it all the same */
	if (nleft > 0 && queue->held_keys != NULL)
	{
		SPI_connect();
		outbox_let_next_go(queue, left, nleft, now);
		SPI_finish();
		queue->again_at = now;
	}
}

static void
careful_done(Relay *relay, RelayQueue *queue, Request *request,
			 const OutboxReply *reply, int nfailed)
{
	TimestampTz begin = GetCurrentTimestamp();
	OutboxStaging staging;

	queue->careful_at = 0;
	if (nfailed > 0)
	{
		bool		ok;

		outbox_begin_step();
		ok = outbox_catalog_load() && outbox_lock_failures() &&
			outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES);
		if (ok)
		{
			record_failures(queue, request, reply, nfailed, &staging);
			outbox_staging_close(&staging);
		}
		outbox_end_step();
		if (!ok)
		{
			/* the tables are locked: the skip list tells later */
			queue->state = QUEUE_UNKNOWN;
			outbox_discard_plan(queue);
			return;
		}
		outbox_pause_after_failure(relay, queue, begin);
	}
	outbox_position_reached(relay, queue, request);
	outbox_messages_applied(relay, queue, request->count - nfailed,
							request->oldest, request->newest);
	if (queue->settings.on_failure != OUTBOX_BLOCK)
		queue->careful = nfailed > 0 || queue->held_keys != NULL;
	relay->look = true;
}

void
outbox_careful_answer(Relay *relay, RelayQueue *queue, Request *request,
					  const OutboxReply *reply)
{
	int			nfailed;

	queue->careful_inflight = false;
	if (queue->state != QUEUE_FLOWING || queue->dropped)
		return;
	if (outbox_reply_is_error(reply))
	{
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
		return;
	}
	if (!outbox_reply_is_array(reply) ||
		strcmp(outbox_reply_string(outbox_reply_element(reply, 0)), "done") != 0)
	{
		outbox_cursor_differs(queue);
		return;
	}
	nfailed = (outbox_reply_length(reply) - 1) / 2;
	if (request->kind == REQUEST_CAREFUL)
		careful_done(relay, queue, request, reply, nfailed);
	else
		outbox_again_done(relay, queue, request, reply, nfailed);
}
