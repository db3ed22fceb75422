/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Skipped messages, tried again.
 *
 * Design notes
 *
 * Skipped messages are tried again when they are due, by a call that doesn't
 * move the cursor, each together with those that wait behind it, as many as go
 * into a batch.  Only what the cursor covers is tried again: the rest isn't in
 * the skip list yet.
 *
 * One that goes through stays in outbox.deferred for outbox.retention, as
 * "applied", in case Redis loses its last writes.  Then the next of its key is
 * the first, and may go.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "queue/policy.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

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
 * The rows that a query about a queue selects; if some will do, not many more
 * bytes of them than go into a batch.  SPI is connected.
 */
static int
select_deferred(RelayQueue *queue, const char *query, Oid type, Datum value,
				bool some, OutboxMessage **messages)
{
	Oid			types[2] = {INT4OID, type};
	Datum		values[2] = {Int32GetDatum(queue->settings.id), value};
	Size		size = 0;
	int			n = 0;

	SPI_execute_with_args(query, 2, types, values, NULL, true, 0);
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
 * The first of its key waits behind nobody any more.  SPI is connected.
 */
void
outbox_let_next_go(RelayQueue *queue, const uint64 *hashes, int n,
				   TimestampTz now)
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

	outbox_careful_add(relay, queue, batch, msg, &entry);
}

static bool
in_batch(const CarefulBatch *batch, uint64 seq)
{
	for (int i = 0; i < batch->count; i++)
		if (batch->entries[i].seq == seq)
			return true;
	return false;
}

/*
 * Those that wait behind the messages of the batch, while there is room.  They
 * go along if the first of their key does.  It needn't: a transaction that
 * enqueued before what was refused, and committed after it, waits with lower
 * numbers, and goes when its first one is tried.
 */
static void
add_followers(Relay *relay, RelayQueue *queue, CarefulBatch *batch,
			  TimestampTz now)
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
	n = select_deferred(queue,
						"SELECT f.* FROM (SELECT DISTINCT unnest($2) AS hash) AS k, LATERAL"
						" (SELECT * FROM outbox.deferred AS b WHERE b.queue = $1"
						" AND hashtextextended(b.key COLLATE \"C\", 0) = k.hash"
						" AND b.reason IN ('retry', 'behind')"
						" ORDER BY b.seq LIMIT 65) AS f"
						" LIMIT 512",
						INT8ARRAYOID, int8_array(hashes, nhashes), true,
						&messages);
	for (int i = 0; i < n && batch->count < OUTBOX_BATCH_MESSAGES; i++)
	{
		OutboxMessage *msg = &messages[i];
		uint64		last = hash;

		hash = outbox_key_hash(msg->key);
		if (i == 0 || hash != last)
		{
			cut = !in_batch(batch, msg->seq);
			continue;
		}
		/* nothing may go before an earlier one of its key */
		cut = cut || msg->reason != OUTBOX_BEHIND ||
			!outbox_position_covers(&queue->acked, msg->xid, msg->seq) ||
			outbox_is_expired(&queue->settings, msg->enqueued_at, now) ||
			relay->args.data.len >= OUTBOX_BATCH_BYTES;
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

	if (!outbox_lock_failures())
	{
		queue->again_at = now + OUTBOX_LOOK_AGAIN_US;
		return;
	}
	outbox_careful_begin(relay, &batch);
	SPI_connect();
	n = select_deferred(queue,
						"SELECT * FROM outbox.deferred WHERE queue = $1"
						" AND reason = 'retry' AND due_at <= $2"
						" ORDER BY due_at, seq LIMIT 256",
						TIMESTAMPTZOID, TimestampTzGetDatum(now), true,
						&messages);
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
	outbox_let_next_go(queue, expired, nexpired, now);
	if (batch.count > 0)
	{
		Request    *request;

		outbox_careful_call(relay, queue, "again", queue->expect_pos, queue->expect_seq);
		request = outbox_expect_answer(relay, REQUEST_AGAIN, queue);
		queue->again_went = true;
		outbox_careful_sent(relay, request, &batch, 0);
	}
	else
	{
		find_next_again(queue);
		if (early)
			queue->again_at = Max(queue->again_at, now + OUTBOX_LOOK_AGAIN_US);
	}
	SPI_finish();
}

/*
 * Those that were applied: they stay for the retention, in case Redis loses
 * its last writes.  The hashes of their keys go to left; returns how many.
 */
static int
mark_applied(RelayQueue *queue, const uint64 *seqs, int n, TimestampTz now,
			 uint64 *left)
{
	Oid			types[3] = {INT4OID, INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[3] = {
		Int32GetDatum(queue->settings.id), int8_array(seqs, n),
		TimestampTzGetDatum(now)
	};
	int			nleft = 0;

	if (n == 0)
		return 0;
	SPI_execute_with_args("UPDATE outbox.deferred SET reason = 'applied', due_at = $3"
						  " WHERE queue = $1 AND seq = ANY ($2)"
						  " AND reason IN ('retry', 'behind')"
						  " RETURNING hashtextextended(key COLLATE \"C\", 0)",
						  3, types, values, NULL, false, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		hash = SPI_getbinval(SPI_tuptable->vals[i],
										 SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			left[nleft++] = DatumGetInt64(hash);
	}
	queue->held -= SPI_processed;
	return nleft;
}

/*
 * Messages have been tried again.
 */
static void
record_again(RelayQueue *queue, const Request *request,
			 const OutboxReply *reply, int nfailed, TimestampTz now)
{
	uint64		applied[OUTBOX_BATCH_MESSAGES] = {0};
	uint64		refused[OUTBOX_BATCH_MESSAGES];
	const char *errors[OUTBOX_BATCH_MESSAGES];
	uint64		left[OUTBOX_BATCH_MESSAGES];	/* hashes of keys */
	int			napplied = 0;
	int			nrefused = 0;
	int			nleft;
	int			f = 0;
	OutboxMessage *messages;
	int			n;

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
	n = select_deferred(queue, "SELECT * FROM outbox.deferred WHERE queue = $1"
						" AND seq = ANY ($2) AND reason IN ('retry', 'behind')",
						INT8ARRAYOID, int8_array(refused, nrefused), false,
						&messages);
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
	outbox_let_next_go(queue, left, nleft, now);
	find_next_again(queue);
}

void
outbox_again_done(Relay *relay, RelayQueue *queue, Request *request,
				  const OutboxReply *reply, int nfailed)
{
	TimestampTz begin = GetCurrentTimestamp();
	bool		ok;

	outbox_begin_step();
	ok = outbox_catalog_load() && outbox_lock_failures();
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
		outbox_pause_after_failure(relay, queue, begin);
	outbox_messages_applied(relay, queue, request->count - nfailed,
							request->oldest, request->newest);
}
