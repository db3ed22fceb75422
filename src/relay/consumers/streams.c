/*-------------------------------------------------------------------------
 *
 * streams.c
 *	  Read the streams to which consumers return messages.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A queue with consumer_retry has two streams beside its own one.  A consumer
 * that can't process an entry adds its fields and an error to one of them:
 *
 *		<redis_key>:retry	deliver it again, as the queue's policy says
 *		<redis_key>:dead	give it up
 *
 * Both are read with XREAD on the queue's link, ten times a second and without
 * waiting, and again at once while there are more entries.  A blocking XREAD
 * would need a second link, and would save one small command in a tenth of a
 * second for a queue with consumer_retry; other queues cost nothing.  Few
 * entries are read at a time, so that deliveries don't wait long for them, and
 * large entries fit in memory.
 *
 * Each entry is recorded once: the transaction that records entries
 * (returned.c) also writes to outbox.consumer_position how far the stream has
 * been read.  Only the relay writes to that table.  If the transaction is lost
 * or the relay dies, the stream is read again from that position.
 *
 * Entries that were read stay in Redis for outbox.retention, as delivered rows
 * stay in staging: after a failover that has lost commits, the new primary
 * reads them again.  Then the stream is trimmed, after the transactions that
 * recorded the entries have been flushed to disk.
 *
 * Redis may lose entries, and then give out ids again that are not greater than
 * those read before.  Redis does not lose data without breaking the connection,
 * so the last id of each stream is asked for on every new connection.  If it is
 * less than the position, the stream has lost entries.  It is read from its
 * beginning, and entries that have been recorded are recognized by returned.c.
 *
 * The streams are removed with their queue, like its cursor.  Otherwise a later
 * queue with the same redis_key would read what is left in them.
 *
 * A queue's streams are also read while the queue stands still, so that
 * messages returned meanwhile are not lost.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/streams.h"

#include <limits.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "guc.h"
#include "redis/errors.h"
#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/consumers/returned.h"
#include "relay/deliver/tick.h"
#include "store/query.h"
#include "utils/builtins.h"

/* how often a stream is read, and how often if Redis refuses that */
#define READ_INTERVAL_MS	100
#define REFUSED_INTERVAL_MS 5000

/* entries of a stream read at a time, and requests under way of all queues */
#define READ_ENTRIES		16
#define MAX_READS			4

static const char *const stream_suffixes[OUTBOX_CONSUMER_STREAMS] = {
	[STREAM_RETRY] = "retry",
	[STREAM_DEAD] = "dead"
};

static QueueConsumer *
mine(const RelayQueue *queue)
{
	return unconstify(QueueConsumer *, queue->consumer);
}

static bool
parse_entry_id(const char *text, EntryId *id)
{
	char	   *end;

	id->ms = strtoull(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	text = end + 1;
	id->n = strtoull(text, &end, 10);
	return end != text && *end == '\0';
}

static char *
entry_id_text(EntryId id)
{
	return psprintf(UINT64_FORMAT "-" UINT64_FORMAT, id.ms, id.n);
}

static bool
is_before(EntryId a, EntryId b)
{
	return a.ms != b.ms ? a.ms < b.ms : a.n < b.n;
}

static EntryId
next_entry_id(EntryId id)
{
	if (++id.n == 0)
		id.ms++;
	return id;
}

static char *
stream_key(const RelayQueue *queue, ConsumerStreamKind which)
{
	return psprintf("%s:%s", queue->settings->redis_key, stream_suffixes[which]);
}

void
outbox_consumer_init(RelayQueue *queue)
{
	MemoryContext old = MemoryContextSwitchTo(queue->context);
	QueueConsumer *consumer = outbox_make_part(queue, sizeof(QueueConsumer));

	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		consumer->streams[i].key = stream_key(queue, i);
	queue->consumer = consumer;
	MemoryContextSwitchTo(old);
	outbox_consumer_is_cut_off(queue);
}

/*
 * Entries that have been read are removed when the retention has passed.
 */
static void
plan_trim(ConsumerStream *stream, OutboxTime now)
{
	if (stream->trim_at != OUTBOX_NEVER || !is_before(stream->trimmed, stream->read))
		return;
	stream->trim = stream->read;
	stream->trim_at = outbox_in_ms(now, outbox_retention * INT64CONST(1000));
}

void
outbox_consumer_is_cut_off(RelayQueue *queue)
{
	QueueConsumer *consumer = mine(queue);

	consumer->read_at = 0;
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
	{
		ConsumerStream *stream = &consumer->streams[i];

		stream->checked = false;
		stream->trimmed = (EntryId) {0, 0};
		stream->trim_at = OUTBOX_NEVER;
	}
}

/*
 * Read how far a former relay has read the streams.  False if the table is
 * locked.
 */
static bool
load_positions(RelayQueue *queue)
{
	static const StepLock locks[] = {{OUTBOX_REL_CONSUMER_POSITION, false}};
	QueueConsumer *consumer = mine(queue);
	OutboxParam params[2];
	uint64		n;

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	params[0] = (OutboxParam) {"queue", INT4OID, Int32GetDatum(queue->settings->id)};
	params[1] = (OutboxParam) {"key", TEXTOID, CStringGetTextDatum(queue->settings->redis_key)};
	n = outbox_query("SELECT retry_id, dead_id FROM outbox.consumer_position"
					 " WHERE queue = $queue AND redis_key = $key",
					 params, lengthof(params));
	for (int i = 0; n > 0 && i < OUTBOX_CONSUMER_STREAMS; i++)
		(void) parse_entry_id(SPI_getvalue(SPI_tuptable->vals[0],
										   SPI_tuptable->tupdesc, i + 1),
							  &consumer->streams[i].read);
	SPI_finish();
	/* the transaction that wrote it need not be on disk yet */
	consumer->lsn = GetXLogInsertRecPtr();
	consumer->known = true;
	outbox_end_step();
	return true;
}

/*
 * SPI is connected.
 */
static void
write_positions(RelayQueue *queue, const EntryId *read)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->settings->id)},
		{"key", TEXTOID, CStringGetTextDatum(queue->settings->redis_key)},
		{"retry", TEXTOID, CStringGetTextDatum(entry_id_text(read[STREAM_RETRY]))},
		{"dead", TEXTOID, CStringGetTextDatum(entry_id_text(read[STREAM_DEAD]))}
	};

	outbox_query("INSERT INTO outbox.consumer_position"
				 " (queue, redis_key, retry_id, dead_id)"
				 " VALUES ($queue, $key, $retry, $dead)"
				 " ON CONFLICT (queue) DO UPDATE SET"
				 " redis_key = EXCLUDED.redis_key,"
				 " retry_id = EXCLUDED.retry_id, dead_id = EXCLUDED.dead_id",
				 params, lengthof(params));
}

static void
send_check(RelayQueue *queue, ConsumerStreamKind which)
{
	const char *argv[] = {"XINFO", "STREAM", queue->consumer->streams[which].key};

	outbox_send_command(queue->link, REQUEST_CONSUMER_CHECK, queue,
						lengthof(argv), argv)->number = which;
}

static void
send_read(RelayQueue *queue)
{
	const ConsumerStream *streams = queue->consumer->streams;
	const char *argv[] = {
		"XREAD", "COUNT", CppAsString2(READ_ENTRIES), "STREAMS",
		streams[STREAM_RETRY].key, streams[STREAM_DEAD].key,
		entry_id_text(streams[STREAM_RETRY].read),
		entry_id_text(streams[STREAM_DEAD].read)
	};

	outbox_send_command(queue->link, REQUEST_CONSUMER_READ, queue,
						lengthof(argv), argv);
}

static void
send_trim(RelayQueue *queue, ConsumerStream *stream)
{
	const char *argv[] = {
		"XTRIM", stream->key, "MINID", entry_id_text(next_entry_id(stream->trim))
	};

	outbox_flush_wal(queue->consumer->lsn);
	outbox_send_command(queue->link, REQUEST_CONSUMER_TRIM, queue,
						lengthof(argv), argv);
	stream->trimmed = stream->trim;
	stream->trim_at = OUTBOX_NEVER;
}

void
outbox_send_remove_streams(RelayQueue *queue)
{
	for (int i = 0; queue->settings->consumer_retry && i < OUTBOX_CONSUMER_STREAMS; i++)
		outbox_send_command(queue->link, REQUEST_IGNORED, NULL, 2,
							(const char *const[]) {"DEL",
								queue->consumer->streams[i].key});
}

/*
 * When the queue's streams are to be read; OUTBOX_NEVER if they can't be now, or
 * are being read.
 */
static OutboxTime
read_at(const RelayQueue *queue)
{
	if (!queue->settings->consumer_retry || queue->listed->dropped ||
		queue->requests->consumer_reads > 0 || outbox_is_held() ||
		queue->link->state != LINK_UP ||
		queue->link->consumer_reads >= MAX_READS)
		return OUTBOX_NEVER;
	return queue->consumer->read_at;
}

/*
 * The queue whose streams have waited longest to be read.
 */
static RelayQueue *
next_to_read(Relay *relay)
{
	RelayQueue *next = NULL;
	OutboxTime	next_at = OUTBOX_NEVER;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		OutboxTime	at = read_at(queue);

		if (at < next_at)
		{
			next = queue;
			next_at = at;
		}
	}
	return next;
}

long
outbox_ms_until_consumers(Relay *relay, OutboxTime now)
{
	RelayQueue *queue = next_to_read(relay);

	return queue == NULL ? LONG_MAX :
		outbox_ms_until(now, queue->consumer->read_at);
}

void
outbox_read_consumers(Relay *relay, OutboxTime now)
{
	RelayQueue *queue;

	while ((queue = next_to_read(relay)) != NULL &&
		   queue->consumer->read_at <= now)
	{
		QueueConsumer *consumer = mine(queue);
		bool		checked = true;

		if (!consumer->known && !load_positions(queue))
		{
			consumer->read_at = outbox_in_ms(now, READ_INTERVAL_MS);
			continue;
		}
		for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		{
			ConsumerStream *stream = &consumer->streams[i];

			if (!stream->checked)
				send_check(queue, i);
			else if (stream->trim_at <= now)
				send_trim(queue, stream);
			checked &= stream->checked;
		}
		if (checked)
			send_read(queue);
	}
}

/*
 * Redis refuses the read, for example because the key has another type.
 */
static void
read_refused(RelayQueue *queue, const char *error)
{
	QueueConsumer *consumer = mine(queue);

	if (!outbox_is_refusal(error))
	{
		outbox_link_fail(queue->link, error);
		return;
	}
	consumer->read_at = outbox_in_ms(outbox_now(), REFUSED_INTERVAL_MS);
	outbox_show_error(queue, error);
	ereport(consumer->refused ? DEBUG1 : WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("outbox cannot read what consumers of queue \"%s\" return: %s",
					queue->settings->name, queue->shown->last_error),
			 errhint("Reading is tried again until Redis accepts it.")));
	consumer->refused = true;
}

/*
 * Compare the stream's last id with the position that was read up to.
 */
static void
check_answer(RelayQueue *queue, ConsumerStream *stream,
			 const OutboxReply *reply)
{
	EntryId		last = {0, 0};
	bool		missing = outbox_reply_is_error(reply) &&
	strcmp(outbox_reply_string(reply), "ERR no such key") == 0;

	if (outbox_reply_is_error(reply) && !missing)
	{
		read_refused(queue, outbox_reply_string(reply));
		return;
	}
	for (size_t i = 0; i + 1 < outbox_reply_length(reply); i += 2)
		if (strcmp(outbox_reply_element_string(reply, i), "last-generated-id") == 0)
			(void) parse_entry_id(outbox_reply_element_string(reply, i + 1), &last);
	if (is_before(last, stream->read))
	{
		ereport(WARNING,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("Redis has lost entries of stream \"%s\" that outbox had read",
						stream->key),
				 errdetail("It is read from its beginning. What has been recorded is not taken again.")));
		stream->read = stream->trimmed = (EntryId) {0, 0};
		stream->trim_at = OUTBOX_NEVER;
	}
	stream->checked = true;
	plan_trim(stream, outbox_now());
}

/*
 * Record a stream's entries.  Returns how many there were; *read becomes the id
 * of the last one.
 */
static size_t
record_stream(RelayQueue *queue, ConsumerStreamKind which,
			  const OutboxReply *entries, EntryId *read, TimestampTz now)
{
	size_t		n = outbox_reply_length(entries);

	for (size_t i = 0; i < n; i++)
	{
		const OutboxReply *entry = outbox_reply_element(entries, i);
		const char *id = outbox_reply_element_string(entry, 0);

		if (outbox_reply_length(entry) != 2 || !parse_entry_id(id, read))
			continue;
		outbox_take_returned(queue, outbox_reply_element(entry, 1),
							 psprintf("%s of stream \"%s\"", id,
									  queue->consumer->streams[which].key),
							 which == STREAM_DEAD, now);
	}
	return n;
}

/*
 * Record what was read from both streams.  Returns the number of entries of the
 * stream that had more.
 */
static size_t
record_streams(RelayQueue *queue, const OutboxReply *reply, EntryId *read,
			   TimestampTz now)
{
	const ConsumerStream *streams = queue->consumer->streams;
	size_t		most = 0;

	for (size_t i = 0; i < outbox_reply_length(reply); i++)
	{
		const OutboxReply *stream = outbox_reply_element(reply, i);
		const char *key = outbox_reply_element_string(stream, 0);
		ConsumerStreamKind which;
		size_t		n;

		if (outbox_reply_length(stream) != 2)
			continue;
		which = strcmp(key, streams[STREAM_DEAD].key) == 0 ?
			STREAM_DEAD : STREAM_RETRY;
		n = record_stream(queue, which, outbox_reply_element(stream, 1),
						  &read[which], now);
		most = Max(most, n);
	}
	SPI_connect();
	write_positions(queue, read);
	SPI_finish();
	return most;
}

/*
 * Record what was read and the new positions, in one transaction.
 */
static void
read_answer(RelayQueue *queue, const OutboxReply *reply)
{
	QueueConsumer *consumer = mine(queue);
	OutboxTime	now = outbox_now();
	EntryId		read[OUTBOX_CONSUMER_STREAMS];
	size_t		most;

	consumer->read_at = outbox_in_ms(now, READ_INTERVAL_MS);
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		read[i] = consumer->streams[i].read;
	if (!outbox_begin_returned_step())
		return;
	most = record_streams(queue, reply, read, queue->link->answered_at);
	outbox_end_step();

	if (most == READ_ENTRIES)
		consumer->read_at = now;
	consumer->lsn = XactLastCommitEnd;
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
	{
		consumer->streams[i].read = read[i];
		plan_trim(&consumer->streams[i], now);
	}
}

static void
nothing_read(RelayQueue *queue)
{
	QueueConsumer *consumer = mine(queue);
	OutboxTime	now = queue->link->progress_at;

	consumer->read_at = outbox_in_ms(now, READ_INTERVAL_MS);
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		plan_trim(&consumer->streams[i], now);
}

void
outbox_consumer_answer(const Request *request, const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;

	if (queue->listed->dropped)
		return;
	if (request->kind == REQUEST_CONSUMER_CHECK)
		check_answer(queue, &mine(queue)->streams[request->number], reply);
	else if (outbox_reply_is_error(reply))
		read_refused(queue, outbox_reply_string(reply));
	else if (request->kind == REQUEST_CONSUMER_READ)
	{
		mine(queue)->refused = false;
		if (outbox_reply_is_array(reply))
			read_answer(queue, reply);
		else
			nothing_read(queue);
	}
}
