/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Try skipped messages again when they are due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A retry is a call of the script that doesn't move the cursor.  It changes the
 * skip list and the count of messages, which the queue's next request expects, so
 * nothing else of the queue is under way meanwhile.  It has the
 * messages that are due, and the messages that wait behind each of them, as
 * many as a batch takes.  Messages that the cursor doesn't cover yet are left
 * out, as they are not in the skip list.
 *
 * A message that has been delivered stays in outbox.deferred for
 * outbox.retention with the reason "applied", in case Redis loses its last
 * writes.  Then the next message of its key may be tried.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/retry.h"

#include <limits.h>

#include "queue/partition.h"
#include "queue/policy.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/held.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/sent.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/suspect.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/skipped_rows.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* messages that are due, read at once: all of them fit into a batch */
#define DUE_ROWS		OUTBOX_BATCH_MESSAGES

/* messages of one key read at once, its first one included; and of all keys */
#define KEY_ROWS		65
#define KEYS_ROWS		512

bool
outbox_wants_retry(const RelayQueue *queue, OutboxTime now)
{
	const QueueHeld *held = queue->held;

	return queue->state->state == QUEUE_FLOWING && !queue->listed->dropped &&
		held->count > 0 &&
		outbox_skip_at(queue) <= now && held->not_before <= now &&
		held->retry_at <= GetCurrentTimestamp();
}

bool
outbox_may_retry(const RelayQueue *queue, OutboxTime now)
{
	return queue->requests->inflight == 0 && outbox_wants_retry(queue, now);
}

long
outbox_ms_until_retry(const RelayQueue *queue, OutboxTime now)
{
	const QueueHeld *held = queue->held;
	OutboxTime	not_before = Max(outbox_skip_at(queue), held->not_before);
	long		until_due;

	if (held->count == 0 || held->retry_at == DT_NOEND)
		return LONG_MAX;
	until_due = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												held->retry_at);
	return Max(until_due, outbox_ms_until(now, not_before));
}

/*
 * The messages that the last query has returned.  With "some" only the first
 * ones, with about as many bytes as a batch takes.
 */
static int
take_messages(bool some, OutboxMessage **messages)
{
	Size		size = 0;
	int			n = 0;

	*messages = palloc(Max(SPI_processed, 1) * sizeof(OutboxMessage));
	while (n < SPI_processed && !(some && size > OUTBOX_BATCH_BYTES))
	{
		OutboxMessage *msg = &(*messages)[n];

		outbox_row_message(SPI_tuptable->vals[n], SPI_tuptable->tupdesc, msg);
		size += VARSIZE_ANY(msg->payload);
		n++;
	}
	return n;
}

static int
select_due(RelayQueue *queue, TimestampTz now, OutboxMessage **messages)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"now", TIMESTAMPTZOID, TimestampTzGetDatum(now)},
		{"rows", INT8OID, Int64GetDatum(queue->skipping->size)}
	};

	outbox_query("SELECT * FROM outbox.deferred WHERE queue = $queue"
				 " AND reason = 'retry' AND due_at <= $now"
				 " ORDER BY due_at, seq LIMIT $rows",
				 params, lengthof(params));
	return take_messages(true, messages);
}

/*
 * The first message of each of these keys and some that follow it, in the order
 * of keys and seqs.
 */
static int
select_of_keys(RelayQueue *queue, const uint64 *hashes, int nhashes,
			   OutboxMessage **messages)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"hashes", INT8ARRAYOID, outbox_int8_array(hashes, nhashes)}
	};

	outbox_query("SELECT f.* FROM"
				 " (SELECT DISTINCT unnest($hashes) AS hash) AS k, LATERAL"
				 " (SELECT * FROM outbox.deferred AS b WHERE b.queue = $queue"
				 " AND " OUTBOX_KEY_HASH("b.key") " = k.hash"
				 " AND b.reason IN " OUTBOX_REASONS_SKIPPED
				 " ORDER BY b.seq LIMIT " CppAsString2(KEY_ROWS) ") AS f"
				 " LIMIT " CppAsString2(KEYS_ROWS),
				 params, lengthof(params));
	return take_messages(true, messages);
}

static void
add_message(RelayQueue *queue, SkipBatch *batch, const OutboxMessage *msg)
{
	PlanEntry	entry = {0};

	entry.seq = msg->seq;
	entry.table = OUTBOX_TABLE_DEFERRED;
	outbox_skip_batch_add(queue, batch, msg, &entry);
}

static bool
in_batch(const SkipBatch *batch, uint64 seq)
{
	for (int i = 0; i < batch->count; i++)
		if (batch->entries[i].seq == seq)
			return true;
	return false;
}

static bool
is_covered(const RelayQueue *queue, const OutboxMessage *msg)
{
	return outbox_position_covers(&queue->cursor->acked, msg->xid, msg->seq);
}

/*
 * Add messages that wait behind those of the batch, while there is room.  They
 * are added only if the first message of their key is in the batch.  It may be
 * missing: a transaction that enqueued before the refused message and committed
 * after it has added messages with lower seqs, and the first of those has to be
 * tried before.
 */
static void
add_followers(RelayQueue *queue, SkipBatch *batch, TimestampTz now)
{
	uint64		hashes[OUTBOX_BATCH_MESSAGES];
	int			nhashes = 0;
	uint64		hash = 0;
	bool		cut = false;
	OutboxMessage *messages;
	int			n;

	for (int i = 0; i < batch->count; i++)
		if (batch->keyed[i])
			hashes[nhashes++] = batch->hashes[i];
	if (nhashes == 0)
		return;
	n = select_of_keys(queue, hashes, nhashes, &messages);
	for (int i = 0; i < n && batch->count < queue->skipping->size; i++)
	{
		OutboxMessage *msg = &messages[i];
		uint64		last = hash;

		hash = outbox_key_hash(msg->key);
		if (i == 0 || hash != last)
		{
			cut = !in_batch(batch, msg->seq);
			continue;
		}
		/* none may be delivered before an earlier one of its key */
		cut = cut || msg->reason != OUTBOX_BEHIND || !is_covered(queue, msg) ||
			outbox_is_expired(queue->settings, msg->enqueued_at, now) ||
			outbox_batch_is_full(batch->buffer, batch->count,
								 outbox_batch_limit(queue));
		if (!cut)
			add_message(queue, batch, msg);
	}
}

/*
 * A message at which connections have ended is not sent among others.
 */
static bool
may_be_sent(const RelayQueue *queue, const OutboxMessage *messages, int n)
{
	for (int i = 0; i < n && !queue->suspect->alone; i++)
		if (outbox_was_convicted(queue, messages[i].seq))
			return false;
	return true;
}

static bool
must_be_tried(const RelayQueue *queue, const OutboxMessage *msg, TimestampTz now)
{
	return !outbox_is_expired(queue->settings, msg->enqueued_at, now) &&
		!outbox_is_convicted(queue, msg->seq);
}

/*
 * Record what has become of a message that is not tried: has it been given up?
 */
static bool
is_given_up(RelayQueue *queue, OutboxMessage *msg, TimestampTz now)
{
	bool		gone;

	if (outbox_is_expired(queue->settings, msg->enqueued_at, now))
	{
		outbox_message_expired(queue, msg, now);
		return true;
	}
	gone = outbox_message_refused(queue, msg, outbox_conviction(queue), true, now);
	outbox_suspect_is_sentenced(queue, msg->seq);
	return gone;
}

/*
 * Add messages that are due, and give up those that have expired.  False if
 * some are not covered yet.
 */
static bool
add_due(RelayQueue *queue, SkipBatch *batch, TimestampTz now)
{
	uint64		gone[DUE_ROWS]; /* hashes of keys */
	int			ngone = 0;
	bool		all = true;
	OutboxMessage *messages;
	int			n = select_due(queue, now, &messages);

	Assert(n <= DUE_ROWS);
	if (!may_be_sent(queue, messages, n))
	{
		outbox_send_alone(queue);
		outbox_queue_is_unknown(queue);
		return true;
	}
	for (int i = 0; i < n && !outbox_batch_is_full(batch->buffer, batch->count,
												   outbox_batch_limit(queue)); i++)
	{
		OutboxMessage *msg = &messages[i];

		if (!is_covered(queue, msg))
			all = false;
		else if (must_be_tried(queue, msg, now))
			add_message(queue, batch, msg);
		else if (is_given_up(queue, msg, now))
		{
			outbox_unhold_messages(queue, 1);
			if (msg->key == NULL)
				continue;
			gone[ngone] = outbox_key_hash(msg->key);
			outbox_release_key(queue, gone[ngone++]);
		}
	}
	add_followers(queue, batch, now);
	outbox_retry_next_of_keys(queue, gone, ngone, now);
	return all;
}

void
outbox_send_retries(Relay *relay, RelayQueue *queue)
{
	SkipBatch	batch;
	bool		all;

	if (!outbox_lock_failures() || !outbox_queue_is_free(outbox_queue_of(queue->settings)))
	{
		outbox_retry_not_before(queue, outbox_in_ms(outbox_now(), OUTBOX_LOOK_AGAIN_MS));
		return;
	}
	outbox_skip_batch_begin(&batch);
	SPI_connect();
	all = add_due(queue, &batch, GetCurrentTimestamp());
	if (batch.count > 0)
	{
		outbox_skip_batch_call(queue, &batch, SCRIPT_RETRY,
							   queue->cursor->expect_text,
							   queue->cursor->expect_seq);
		outbox_skip_batch_sent(outbox_expect_answer(queue->link, REQUEST_RETRY,
													queue),
							   &batch, 0);
	}
	else
	{
		outbox_find_next_retry(queue);
		if (!all)
			outbox_retry_not_before(queue, outbox_in_ms(outbox_now(),
														OUTBOX_LOOK_AGAIN_MS));
	}
	SPI_finish();
}

/* hashes of keys */
typedef struct Hashes
{
	uint64	   *hashes;
	int			n;
}			Hashes;

static void
add_hash(void *arg, const struct varlena *key)
{
	Hashes	   *hashes = arg;

	if (key != NULL)
		hashes->hashes[hashes->n++] = outbox_key_hash(key);
}

/*
 * These messages were applied.  Writes the hashes of their keys to left, and
 * returns how many.
 */
static int
mark_applied(RelayQueue *queue, const uint64 *seqs, int nseqs, TimestampTz now,
			 uint64 *left)
{
	Hashes		hashes = {left, 0};

	if (nseqs > 0)
		outbox_unhold_messages(queue, outbox_change_skipped(queue->settings->id, seqs, nseqs,
															OUTBOX_APPLIED, now,
															add_hash, &hashes));
	return hashes.n;
}

/*
 * These messages were refused.  Writes the hashes of the keys of those that are
 * given up to left, and returns how many.
 */
static int
record_refused(RelayQueue *queue, const uint64 *seqs, const char **errors,
			   int nseqs, TimestampTz now, uint64 *left)
{
	int			nleft = 0;
	OutboxMessage *messages = palloc(nseqs * sizeof(OutboxMessage));
	int			n = outbox_read_skipped(queue->settings->id, seqs, nseqs, messages);

	for (int i = 0; i < n; i++)
	{
		OutboxMessage *msg = &messages[i];
		int			r = 0;

		while (seqs[r] != msg->seq)
			r++;
		if (!outbox_message_refused(queue, msg, errors[r], true, now))
			continue;
		outbox_unhold_messages(queue, 1);
		if (msg->key != NULL)
			left[nleft++] = outbox_key_hash(msg->key);
	}
	return nleft;
}

/*
 * Record what has become of the messages that were tried.  A message with an
 * empty error was not tried, as it waits behind one that failed.
 */
static void
record_retries(RelayQueue *queue, const Request *request,
			   const OutboxReply *reply, int nfailed)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		applied[OUTBOX_BATCH_MESSAGES];
	uint64		refused[OUTBOX_BATCH_MESSAGES];
	const char *errors[OUTBOX_BATCH_MESSAGES];
	uint64		left[OUTBOX_BATCH_MESSAGES];	/* hashes of keys */
	int			napplied = 0;
	int			nrefused = 0;
	int			nleft;
	int			f = 0;

	Assert(request->count <= OUTBOX_BATCH_MESSAGES);
	for (int i = 0; i < request->count; i++)
	{
		uint64		seq = request->entries[i].seq;

		if (f == nfailed || outbox_failed_seq(reply, f) != seq)
			applied[napplied++] = seq;
		else
		{
			if (outbox_failed_error(reply, f)[0] != '\0')
			{
				errors[nrefused] = outbox_failed_error(reply, f);
				refused[nrefused++] = seq;
			}
			f++;
		}
	}

	nleft = mark_applied(queue, applied, napplied, now, left);
	nleft += record_refused(queue, refused, errors, nrefused, now, left + nleft);
	for (int i = 0; i < nleft; i++)
		outbox_release_key(queue, left[i]);
	outbox_retry_next_of_keys(queue, left, nleft, now);
	/* most likely there are more that are due, if a batch was full of them */
	if (request->count < OUTBOX_BATCH_MESSAGES)
		outbox_find_next_retry(queue);
}

void
outbox_retry_answer(Relay *relay, const Request *request,
					const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	OutboxTime	begin = outbox_now();
	int			nfailed = outbox_count_failed(relay, request, reply);

	if (nfailed < 0)
		return;

	outbox_adjust_skip_batch(queue, nfailed > 0);
	if (!outbox_begin_failure_step_of(queue))
	{
		/* reading the cursor records it, from the skip list */
		outbox_queue_is_unknown(queue);
		return;
	}
	SPI_connect();
	record_retries(queue, request, reply, nfailed);
	SPI_finish();
	outbox_end_step();
	if (nfailed > 0)
		outbox_pause_after_failure(relay, queue, begin);
	outbox_batch_is_applied(relay, queue, request, request->count - nfailed);
	/* the retry may have taken the place of a batch when a plan was made */
	outbox_want_plan(PLAN_ANSWER);
}
