/*-------------------------------------------------------------------------
 *
 * careful.c
 *	  Batches in which messages may be skipped; skipped ones, tried again.
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
 * Skipped messages are tried again when they are due, by a call that doesn't
 * move the cursor, each together with those that wait behind it, as many as go
 * into a batch.  Only what the cursor covers is tried again: the rest isn't in
 * the skip list yet.
 *
 * A queue that fails takes a tenth of the relay's time at most.
 *
 *-------------------------------------------------------------------------
 */
#include "relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "deferred.h"
#include "executor/spi.h"
#include "policy.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* a failing batch is followed by a pause so many times as long as it took */
#define PAUSE_FACTOR	9

/* look again for what is due, but not covered yet, or locked */
#define LOOK_AGAIN_US	20000

/* the messages of a batch that the script is to try */
typedef struct CarefulBatch
{
	int			count;
	PlanEntry	entries[OUTBOX_BATCH_MESSAGES];
	bool		keyed[OUTBOX_BATCH_MESSAGES];
	uint64		hashes[OUTBOX_BATCH_MESSAGES];
	TimestampTz oldest;
	TimestampTz newest;
} CarefulBatch;

bool
outbox_may_go_carefully(RelayQueue *queue, TimestampTz now)
{
	return queue->inflight == 0 && queue->careful_at <= now;
}

/*
 * May there be skipped messages to be tried again?
 */
bool
outbox_wants_again(RelayQueue *queue, TimestampTz now)
{
	return queue->state == QUEUE_FLOWING && !queue->dropped &&
		queue->held > 0 && queue->again_at <= now &&
		!queue->careful_inflight && queue->careful_at <= now;
}

/*
 * Add a message that the script is to try.
 */
static void
add_message(Relay *relay, RelayQueue *queue, CarefulBatch *batch,
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
			add_message(relay, queue, batch, &msg, e);
		MemoryContextSwitchTo(old);
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

static void
begin_batch(Relay *relay, CarefulBatch *batch)
{
	batch->count = 0;
	batch->oldest = batch->newest = 0;
	outbox_empty_buffer(&relay->args.data);
	resetStringInfo(&relay->seqs);
	relay->args.count = 0;
	relay->args.run_shape = 0;
}

static void
send_call(Relay *relay, RelayQueue *queue, const char *mode,
		  const char *pos, uint64 seq)
{
	StringInfo	out = &relay->command;
	char		expect_seq[24];

	expect_seq[pg_ulltoa_n(queue->expect_seq, expect_seq)] = '\0';
	outbox_script_call(out, OUTBOX_SCRIPT_CAREFUL, queue, mode,
					   3 + relay->args.count, queue->expect_pos, expect_seq,
					   pos, seq);
	outbox_resp_string(out, outbox_target_command(&queue->settings));
	outbox_script_channel(out, queue);
	outbox_resp_arg(out, relay->seqs.data, relay->seqs.len);
	appendBinaryStringInfoNT(out, relay->args.data.data, relay->args.data.len);
	outbox_send_command(relay);
	queue->careful_inflight = true;
}

static void
fill_request(Relay *relay, Request *request, const CarefulBatch *batch,
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

static bool
lock_tables(void)
{
	return outbox_lock_to_write(OUTBOX_REL_DEFERRED) &&
		outbox_lock_to_write(OUTBOX_REL_DEAD_LETTER);
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

	if (!lock_tables())
	{
		queue->careful_at = GetCurrentTimestamp() + LOOK_AGAIN_US;
		return;
	}
	begin_batch(relay, &batch);
	skipped = encode_careful(relay, queue, staging, &batch);
	MemoryContextReset(relay->batch);
	if (queue->next == queue->nplan)
		queue->finished = !queue->plan_cut;
	if (batch.count + skipped == 0)
		return;

	send_call(relay, queue, "past", outbox_tick_text(relay, queue),
			  queue->sent_seq);
	request = outbox_expect_batch(relay, REQUEST_CAREFUL, queue);
	fill_request(relay, request, &batch, skipped);
	outbox_expect_position(queue, queue->pos, queue->sent_seq);
}

/*
 * The rows that a query about a queue selects.  SPI is connected.
 */
static int
select_deferred(RelayQueue *queue, const char *query, Oid type, Datum value,
				OutboxMessage **messages)
{
	Oid			types[2] = {INT4OID, type};
	Datum		values[2] = {Int32GetDatum(queue->settings.id), value};
	int			n;

	SPI_execute_with_args(query, 2, types, values, NULL, true, 0);
	n = SPI_processed;
	*messages = palloc(Max(n, 1) * sizeof(OutboxMessage));
	for (int i = 0; i < n; i++)
		outbox_row_message(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
							&(*messages)[i]);
	return n;
}

static Datum
int8_array(const uint64 *numbers, int n)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum((int64) numbers[i]);
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The first of its key waits behind nobody any more.
 */
static void
let_next_go(RelayQueue *queue, const uint64 *hashes, int n, TimestampTz now)
{
	Oid			types[3] = {INT4OID, INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[3] = {
		Int32GetDatum(queue->settings.id), int8_array(hashes, n),
		TimestampTzGetDatum(now)
	};

	if (n == 0)
		return;
	SPI_execute_with_args("UPDATE outbox.deferred d SET reason = 'retry', due_at = $3"
						  " FROM (SELECT DISTINCT unnest($2) AS hash) AS k"
						  " WHERE d.queue = $1 AND d.reason = 'behind'"
						  " AND d.seq = (SELECT b.seq FROM outbox.deferred AS b"
						  " WHERE b.queue = $1"
						  " AND hashtextextended(b.key COLLATE \"C\", 0) = k.hash"
						  " AND b.reason IN ('retry', 'behind')"
						  " ORDER BY b.seq LIMIT 1)",
						  3, types, values, NULL, false, 0);
}

/*
 * When the next of the skipped messages is due.
 */
static void
find_next_again(RelayQueue *queue)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(queue->settings.id)};
	bool		isnull;
	Datum		due;

	SPI_execute_with_args("SELECT due_at FROM outbox.deferred"
						  " WHERE queue = $1 AND reason = 'retry'"
						  " ORDER BY due_at LIMIT 1",
						  1, types, values, NULL, true, 1);
	queue->again_at = DT_NOEND;
	if (SPI_processed > 0)
	{
		due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		queue->again_at = isnull ? 0 : DatumGetTimestampTz(due);
	}
}

static void
add_again(Relay *relay, RelayQueue *queue, CarefulBatch *batch,
		  OutboxMessage *msg)
{
	PlanEntry	entry = {.seq = msg->seq, .table = OUTBOX_TABLE_DEFERRED};

	add_message(relay, queue, batch, msg, &entry);
}

/*
 * Those that wait behind the messages of the batch, while there is room.
 */
static void
add_followers(Relay *relay, RelayQueue *queue, CarefulBatch *batch,
			  TimestampTz now)
{
	uint64		hashes[OUTBOX_BATCH_MESSAGES];
	int			nhashes = 0;
	uint64		cut_off = 0;
	bool		cut = false;
	OutboxMessage *messages;
	int			n;

	for (int i = 0; i < batch->count; i++)
		if (batch->keyed[i])
			hashes[nhashes++] = batch->hashes[i];
	if (nhashes == 0)
		return;
	n = select_deferred(queue,
						"SELECT f.* FROM unnest($2) AS k, LATERAL"
						" (SELECT * FROM outbox.deferred AS b WHERE b.queue = $1"
						" AND hashtextextended(b.key COLLATE \"C\", 0) = k"
						" AND b.reason IN ('retry', 'behind')"
						" ORDER BY b.seq OFFSET 1 LIMIT 64) AS f"
						" LIMIT 256",
						INT8ARRAYOID, int8_array(hashes, nhashes), &messages);
	for (int i = 0; i < n && batch->count < OUTBOX_BATCH_MESSAGES; i++)
	{
		OutboxMessage *msg = &messages[i];
		uint64		hash = outbox_key_hash(msg->key);

		/* nothing may go before an earlier one of its key */
		if (cut && hash == cut_off)
			continue;
		cut = msg->reason != OUTBOX_BEHIND ||
			!outbox_position_covers(&queue->acked, msg->xid, msg->seq) ||
			outbox_is_expired(&queue->settings, msg->enqueued_at, now) ||
			relay->args.data.len >= OUTBOX_BATCH_BYTES;
		cut_off = hash;
		if (!cut)
			add_again(relay, queue, batch, msg);
	}
}

/*
 * Try skipped messages again that are due.
 */
void
outbox_send_again(Relay *relay, RelayQueue *queue)
{
	TimestampTz now = GetCurrentTimestamp();
	CarefulBatch batch;
	OutboxMessage *messages;
	uint64		expired[OUTBOX_BATCH_MESSAGES];
	int			nexpired = 0;
	bool		early = false;
	int			n;

	if (!lock_tables())
	{
		queue->again_at = now + LOOK_AGAIN_US;
		return;
	}
	begin_batch(relay, &batch);
	SPI_connect();
	n = select_deferred(queue,
						"SELECT * FROM outbox.deferred WHERE queue = $1"
						" AND reason = 'retry' AND due_at <= $2"
						" ORDER BY due_at LIMIT 256",
						TIMESTAMPTZOID, TimestampTzGetDatum(now), &messages);
	for (int i = 0; i < n && relay->args.data.len < OUTBOX_BATCH_BYTES; i++)
	{
		OutboxMessage *msg = &messages[i];

		if (!outbox_position_covers(&queue->acked, msg->xid, msg->seq))
			early = true;
		else if (outbox_is_expired(&queue->settings, msg->enqueued_at, now))
		{
			outbox_message_expired(queue, msg, now);
			queue->held--;
			if (msg->key != NULL)
			{
				expired[nexpired++] = outbox_key_hash(msg->key);
				outbox_release_key(queue, expired[nexpired - 1]);
			}
		}
		else
			add_again(relay, queue, &batch, msg);
	}
	add_followers(relay, queue, &batch, now);
	let_next_go(queue, expired, nexpired, now);
	if (batch.count > 0)
	{
		Request    *request;

		send_call(relay, queue, "again", queue->expect_pos, queue->expect_seq);
		request = outbox_expect_answer(relay, REQUEST_AGAIN, queue);
		fill_request(relay, request, &batch, 0);
	}
	else
	{
		find_next_again(queue);
		if (early)
			queue->again_at = Max(queue->again_at, now + LOOK_AGAIN_US);
	}
	SPI_finish();
}

/* the n-th failure in an answer */
static uint64
failed_seq(const OutboxReply *reply, int n)
{
	return strtoull(outbox_reply_string(outbox_reply_element(reply, 1 + 2 * n)),
					NULL, 10);
}

static const char *
failed_error(const OutboxReply *reply, int n)
{
	return outbox_reply_string(outbox_reply_element(reply, 2 + 2 * n));
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
	int			i = 0;

	for (int n = 0; n < nfailed; n++)
	{
		uint64		seq = failed_seq(reply, n);
		const char *error = failed_error(reply, n);
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
		else
			(void) outbox_message_refused(queue, &msg, error, false, now);
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
		ok = outbox_catalog_load() && lock_tables() &&
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
		queue->careful_at = GetCurrentTimestamp() +
			(GetCurrentTimestamp() - begin) * PAUSE_FACTOR;
	}
	outbox_position_reached(relay, queue, request);
	outbox_messages_applied(relay, queue, request->count - nfailed,
							request->oldest, request->newest);
	if (queue->settings.on_failure != OUTBOX_BLOCK)
		queue->careful = nfailed > 0 || queue->held_keys != NULL;
	relay->look = true;
}

/*
 * Those that were applied: they stay for the retention, in case Redis loses
 * its last writes.
 */
static void
mark_applied(RelayQueue *queue, const uint64 *seqs, int n, TimestampTz now)
{
	Oid			types[3] = {INT4OID, INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[3] = {
		Int32GetDatum(queue->settings.id), int8_array(seqs, n),
		TimestampTzGetDatum(now)
	};

	if (n == 0)
		return;
	SPI_execute_with_args("UPDATE outbox.deferred SET reason = 'applied', due_at = $3"
						  " WHERE queue = $1 AND seq = ANY ($2)"
						  " AND reason IN ('retry', 'behind')",
						  3, types, values, NULL, false, 0);
}

/*
 * Messages have been tried again.
 */
static void
record_again(RelayQueue *queue, const Request *request,
			 const OutboxReply *reply, int nfailed, TimestampTz now)
{
	uint64		applied[OUTBOX_BATCH_MESSAGES];
	uint64		refused[OUTBOX_BATCH_MESSAGES];
	const char *errors[OUTBOX_BATCH_MESSAGES];
	uint64		left[OUTBOX_BATCH_MESSAGES];	/* hashes of keys */
	int			napplied = 0;
	int			nrefused = 0;
	int			nleft = 0;
	int			f = 0;
	OutboxMessage *messages;
	int			n;

	for (int i = 0; i < request->count; i++)
	{
		uint64		seq = request->entries[i].seq;

		if (f == nfailed || failed_seq(reply, f) != seq)
			applied[napplied++] = seq;
		else
		{
			if (failed_error(reply, f)[0] != '\0')
			{
				errors[nrefused] = failed_error(reply, f);
				refused[nrefused++] = seq;
			}
			f++;
		}
	}

	n = select_deferred(queue, "SELECT * FROM outbox.deferred WHERE queue = $1"
						" AND seq = ANY ($2) AND reason IN ('retry', 'behind')",
						INT8ARRAYOID, int8_array(applied, napplied), &messages);
	for (int i = 0; i < n; i++)
		if (messages[i].key != NULL)
			left[nleft++] = outbox_key_hash(messages[i].key);
	mark_applied(queue, applied, napplied, now);
	queue->held -= napplied;

	n = select_deferred(queue, "SELECT * FROM outbox.deferred WHERE queue = $1"
						" AND seq = ANY ($2) AND reason IN ('retry', 'behind')",
						INT8ARRAYOID, int8_array(refused, nrefused), &messages);
	for (int i = 0; i < n; i++)
	{
		OutboxMessage *msg = &messages[i];
		int			r = 0;

		while (refused[r] != msg->seq)
			r++;
		if (!outbox_message_refused(queue, msg, errors[r], true, now))
			continue;
		queue->held--;
		if (msg->key != NULL)
			left[nleft++] = outbox_key_hash(msg->key);
	}

	for (int i = 0; i < nleft; i++)
		outbox_release_key(queue, left[i]);
	let_next_go(queue, left, nleft, now);
	find_next_again(queue);
}

static void
again_done(Relay *relay, RelayQueue *queue, Request *request,
		   const OutboxReply *reply, int nfailed)
{
	TimestampTz begin = GetCurrentTimestamp();
	bool		ok;

	outbox_begin_step();
	ok = outbox_catalog_load() && lock_tables();
	if (ok)
	{
		SPI_connect();
		record_again(queue, request, reply, nfailed, begin);
		SPI_finish();
	}
	outbox_end_step();
	if (!ok)
	{
		queue->state = QUEUE_UNKNOWN;
		outbox_discard_plan(queue);
		return;
	}
	if (nfailed > 0)
		queue->careful_at = GetCurrentTimestamp() +
			(GetCurrentTimestamp() - begin) * PAUSE_FACTOR;
	outbox_messages_applied(relay, queue, request->count - nfailed,
							request->oldest, request->newest);
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
		again_done(relay, queue, request, reply, nfailed);
}
