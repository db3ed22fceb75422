/*-------------------------------------------------------------------------
 *
 * streams.c
 *	  The streams in which consumers answer, read.
 *
 * Design notes
 *
 * A queue with consumer_retry has two streams beside its own one.  A consumer
 * that can't process an entry adds its fields and an error to one of them:
 *
 *		<redis_key>:retry	deliver it again, as the queue's policy says
 *		<redis_key>:dead	give it up
 *
 * They are read with XREAD on the relay's own connection, ten times a second
 * and without waiting, and again at once while there is more.  A blocking XREAD
 * would need a second connection with all that belongs to one, to save one
 * small command in a tenth of a second for a queue that has asked for it;
 * others have none of this.  Few are read at a time, so that deliveries don't
 * wait behind them and large ones fit in memory.
 *
 * Once: how far a stream has been read is in outbox.consumer_position, written
 * in the transaction that records what was read (returned.c).  Nothing but the
 * relay writes there.  If that transaction is lost, or the relay dies, it is
 * read again from where the table says.
 *
 * Entries that were read stay in Redis for outbox.retention, as delivered rows
 * do in staging: after a failover that has lost commits the new primary reads
 * them again.  Then the stream is trimmed up to them, when the record of them
 * is on disk.
 *
 * Redis may lose entries, and then give out ids again that are not greater
 * than those we have read.  That breaks the connection; so on every connection
 * the streams' last ids are asked for first.  One that is less than ours says
 * that the stream isn't the one we have read.  It is read from its beginning,
 * and what is recorded already is recognized, see returned.c.
 *
 * They go with their queue, like its cursor: a later one of the same stream
 * would take for its own what is left in them.
 *
 * A queue's streams are read whether it flows or stands still: what consumers
 * say isn't lost while it is paused.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "guc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* how often to look, and how often while it is refused */
#define READ_INTERVAL_US	100000
#define REFUSED_INTERVAL_US 5000000

/* entries of a stream at a time, and such requests under way */
#define READ_ENTRIES		"16"
#define MAX_READS			4

typedef enum
{
	STREAM_RETRY,
	STREAM_DEAD
} Stream;

#define STREAMS OUTBOX_CONSUMER_STREAMS

static const char *const stream_suffixes[STREAMS] = {
	[STREAM_RETRY] = "retry",
	[STREAM_DEAD] = "dead"
};

/* the id of an entry */
typedef struct EntryId
{
	uint64		ms;
	uint64		n;
} EntryId;

typedef struct ConsumerStream
{
	char	   *key;
	bool		checked;		/* on this connection */
	EntryId		read;			/* recorded up to this one */
	EntryId		trimmed;		/* gone up to this one */
	EntryId		trim;			/* to go at trim_at */
	TimestampTz trim_at;		/* DT_NOEND: none */
} ConsumerStream;

struct RelayConsumer
{
	ConsumerStream streams[STREAMS];
	XLogRecPtr	lsn;			/* flushed before anything is trimmed */
	bool		refused;		/* Redis refuses to let us read */
};

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

char *
outbox_consumer_key(const RelayQueue *queue, int which)
{
	return psprintf("%s:%s", queue->settings.redis_key, stream_suffixes[which]);
}

/*
 * What has been read goes when it has been kept long enough.
 */
static void
plan_trim(ConsumerStream *stream, TimestampTz now)
{
	if (stream->trim_at != DT_NOEND || !is_before(stream->trimmed, stream->read))
		return;
	stream->trim = stream->read;
	stream->trim_at = now + outbox_retention * USECS_PER_SEC;
}

/*
 * Nothing is known of the streams of a new connection but how far they were
 * read.
 */
void
outbox_forget_streams(RelayQueue *queue)
{
	if (queue->consumer == NULL)
		return;
	queue->consumer_at = 0;
	for (int i = 0; i < STREAMS; i++)
	{
		ConsumerStream *stream = &queue->consumer->streams[i];

		stream->checked = false;
		stream->trimmed = (EntryId) {0, 0};
		stream->trim_at = DT_NOEND;
	}
}

/*
 * How far a former relay has read.  False if somebody's lock is in the way.
 */
static bool
load_positions(RelayQueue *queue)
{
	MemoryContext old = MemoryContextSwitchTo(queue->context);
	RelayConsumer *consumer = palloc0(sizeof(RelayConsumer));
	Oid			types[2] = {INT4OID, TEXTOID};
	Datum		values[2];
	bool		ok;

	for (int i = 0; i < STREAMS; i++)
		consumer->streams[i].key = outbox_consumer_key(queue, i);
	MemoryContextSwitchTo(old);

	outbox_begin_step();
	ok = outbox_catalog_load() &&
		outbox_lock_relation(OUTBOX_REL_CONSUMER_POSITION);
	if (ok)
	{
		values[0] = Int32GetDatum(queue->settings.id);
		values[1] = CStringGetTextDatum(queue->settings.redis_key);
		SPI_connect();
		SPI_execute_with_args("SELECT retry_id, dead_id FROM outbox.consumer_position"
							  " WHERE queue = $1 AND redis_key = $2",
							  2, types, values, NULL, true, 1);
		for (int i = 0; SPI_processed > 0 && i < STREAMS; i++)
			(void) parse_entry_id(SPI_getvalue(SPI_tuptable->vals[0],
											   SPI_tuptable->tupdesc, i + 1),
								  &consumer->streams[i].read);
		SPI_finish();
		/* it may have been written without waiting for the disk */
		consumer->lsn = GetXLogInsertRecPtr();
	}
	outbox_end_step();
	if (ok)
	{
		queue->consumer = consumer;
		outbox_forget_streams(queue);
	}
	return ok;
}

/*
 * SPI is connected.
 */
static void
write_positions(RelayQueue *queue, const EntryId *read)
{
	Oid			types[4] = {INT4OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4] = {
		Int32GetDatum(queue->settings.id),
		CStringGetTextDatum(queue->settings.redis_key),
		CStringGetTextDatum(entry_id_text(read[STREAM_RETRY])),
		CStringGetTextDatum(entry_id_text(read[STREAM_DEAD]))
	};

	SPI_execute_with_args("INSERT INTO outbox.consumer_position"
						  " (queue, redis_key, retry_id, dead_id)"
						  " VALUES ($1, $2, $3, $4)"
						  " ON CONFLICT (queue) DO UPDATE SET"
						  " redis_key = EXCLUDED.redis_key,"
						  " retry_id = EXCLUDED.retry_id, dead_id = EXCLUDED.dead_id",
						  4, types, values, NULL, false, 0);
}

static Request *
send_request(Relay *relay, RequestKind kind, RelayQueue *queue, int argc,
			 const char *const *argv)
{
	outbox_resp_command(&relay->command, argc);
	for (int i = 0; i < argc; i++)
		outbox_resp_string(&relay->command, argv[i]);
	outbox_send_command(relay);
	return outbox_expect_answer(relay, kind, queue);
}

static void
send_check(Relay *relay, RelayQueue *queue, int which)
{
	const char *argv[] = {"XINFO", "STREAM", queue->consumer->streams[which].key};

	send_request(relay, REQUEST_CONSUMER_CHECK, queue, lengthof(argv), argv)->count = which;
}

static void
send_read(Relay *relay, RelayQueue *queue)
{
	ConsumerStream *streams = queue->consumer->streams;
	const char *argv[] = {
		"XREAD", "COUNT", READ_ENTRIES, "STREAMS",
		streams[STREAM_RETRY].key, streams[STREAM_DEAD].key,
		entry_id_text(streams[STREAM_RETRY].read),
		entry_id_text(streams[STREAM_DEAD].read)
	};

	send_request(relay, REQUEST_CONSUMER_READ, queue, lengthof(argv), argv);
}

static void
send_trim(Relay *relay, RelayQueue *queue, ConsumerStream *stream)
{
	const char *argv[] = {
		"XTRIM", stream->key, "MINID", entry_id_text(next_entry_id(stream->trim))
	};

	outbox_flush_wal(queue->consumer->lsn);
	send_request(relay, REQUEST_CONSUMER_TRIM, queue, lengthof(argv), argv);
	stream->trimmed = stream->trim;
	stream->trim_at = DT_NOEND;
}

/*
 * When the queue's streams are to be read; DT_NOEND if they are not, or that is
 * under way.
 */
static TimestampTz
read_at(const RelayQueue *queue)
{
	return queue->settings.consumer_retry && !queue->dropped &&
		queue->consumer_reads == 0 ? queue->consumer_at : DT_NOEND;
}

/*
 * The queue whose streams have waited longest to be read.
 */
static RelayQueue *
next_to_read(Relay *relay)
{
	RelayQueue *next = NULL;
	ListCell   *lc;

	if (!relay->well || relay->hold || relay->consumer_reads >= MAX_READS)
		return NULL;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (read_at(queue) != DT_NOEND &&
			(next == NULL || queue->consumer_at < next->consumer_at))
			next = queue;
	}
	return next;
}

/*
 * When something is to be read next.
 */
TimestampTz
outbox_consumers_due(Relay *relay)
{
	RelayQueue *queue = next_to_read(relay);

	return queue != NULL ? queue->consumer_at : DT_NOEND;
}

/*
 * Ask for what consumers have answered, where it is time to.
 */
void
outbox_read_consumers(Relay *relay, TimestampTz now)
{
	RelayQueue *queue;

	while ((queue = next_to_read(relay)) != NULL && queue->consumer_at <= now)
	{
		ConsumerStream *streams;
		bool		checked = true;

		if (queue->consumer == NULL && !load_positions(queue))
		{
			queue->consumer_at = now + READ_INTERVAL_US;
			continue;
		}
		streams = queue->consumer->streams;
		for (int i = 0; i < STREAMS; i++)
		{
			if (!streams[i].checked)
				send_check(relay, queue, i);
			else if (streams[i].trim_at <= now)
				send_trim(relay, queue, &streams[i]);
			checked &= streams[i].checked;
		}
		if (checked)
			send_read(relay, queue);
	}
}

/*
 * Redis refuses to let us read, as with keys of another type.
 */
static void
read_refused(Relay *relay, RelayQueue *queue, const char *error)
{
	if (!outbox_is_refusal(error))
	{
		outbox_link_trouble(relay, error);
		return;
	}
	queue->consumer_at = GetCurrentTimestamp() + REFUSED_INTERVAL_US;
	outbox_clean_error(queue->last_error, error, sizeof(queue->last_error));
	queue->last_error_at = GetCurrentTimestamp();
	ereport(queue->consumer->refused ? DEBUG1 : WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("outbox can't read what consumers of queue \"%s\" return: %s",
					queue->settings.name, queue->last_error),
			 errhint("It is tried again until Redis lets it.")));
	queue->consumer->refused = true;
}

/*
 * How far has the stream got?  If not as far as we have read, it is another.
 */
static void
check_answer(Relay *relay, RelayQueue *queue, ConsumerStream *stream,
			 const OutboxReply *reply)
{
	EntryId		last = {0, 0};
	bool		missing = outbox_reply_is_error(reply) &&
		strcmp(outbox_reply_string(reply), "ERR no such key") == 0;

	if (outbox_reply_is_error(reply) && !missing)
	{
		read_refused(relay, queue, outbox_reply_string(reply));
		return;
	}
	for (size_t i = 0; i + 1 < outbox_reply_length(reply); i += 2)
		if (strcmp(outbox_reply_string(outbox_reply_element(reply, i)),
				   "last-generated-id") == 0)
			(void) parse_entry_id(outbox_reply_string(outbox_reply_element(reply, i + 1)),
								  &last);
	if (is_before(last, stream->read))
	{
		ereport(WARNING,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("Redis has lost entries of stream \"%s\" that outbox had read",
						stream->key),
				 errdetail("It is read from its beginning. What has been recorded is not taken again.")));
		stream->read = stream->trimmed = (EntryId) {0, 0};
		stream->trim_at = DT_NOEND;
	}
	stream->checked = true;
	plan_trim(stream, GetCurrentTimestamp());
}

/*
 * Record a stream's entries.  Returns how many there were; *read becomes the
 * last one's id.
 */
static size_t
record_stream(Relay *relay, RelayQueue *queue, Stream which,
			  const OutboxReply *entries, EntryId *read, TimestampTz now)
{
	size_t		n = outbox_reply_length(entries);

	for (size_t i = 0; i < n; i++)
	{
		const OutboxReply *entry = outbox_reply_element(entries, i);
		const char *id;

		if (outbox_reply_length(entry) != 2)
			continue;
		id = outbox_reply_string(outbox_reply_element(entry, 0));
		if (!parse_entry_id(id, read))
			continue;
		outbox_take_returned(relay, queue, outbox_reply_element(entry, 1),
							 psprintf("%s of stream \"%s\"", id,
									  queue->consumer->streams[which].key),
							 which == STREAM_DEAD, now);
	}
	return n;
}

/*
 * Record what was read: all of it and the new positions, or nothing.
 */
static void
read_answer(Relay *relay, RelayQueue *queue, const OutboxReply *reply)
{
	RelayConsumer *consumer = queue->consumer;
	TimestampTz now = GetCurrentTimestamp();
	EntryId		read[STREAMS];
	size_t		most = 0;
	bool		ok;

	for (int i = 0; i < STREAMS; i++)
		read[i] = consumer->streams[i].read;
	outbox_begin_step();
	ok = outbox_catalog_load() && outbox_lock_returned();
	if (ok)
	{
		for (size_t i = 0; i < outbox_reply_length(reply); i++)
		{
			const OutboxReply *stream = outbox_reply_element(reply, i);
			const char *key;
			Stream		which;
			size_t		n;

			if (outbox_reply_length(stream) != 2)
				continue;
			key = outbox_reply_string(outbox_reply_element(stream, 0));
			which = strcmp(key, consumer->streams[STREAM_DEAD].key) == 0 ?
				STREAM_DEAD : STREAM_RETRY;
			n = record_stream(relay, queue, which, outbox_reply_element(stream, 1),
							  &read[which], now);
			most = Max(most, n);
		}
		SPI_connect();
		write_positions(queue, read);
		SPI_finish();
	}
	outbox_end_step();
	queue->consumer_at = now + (most == atoi(READ_ENTRIES) ? 0 : READ_INTERVAL_US);
	if (!ok)
		return;
	consumer->lsn = XactLastCommitEnd;
	for (int i = 0; i < STREAMS; i++)
	{
		consumer->streams[i].read = read[i];
		plan_trim(&consumer->streams[i], now);
	}
}

void
outbox_consumer_answer(Relay *relay, RelayQueue *queue, Request *request,
					   const OutboxReply *reply)
{
	if (queue->dropped)
		return;
	if (request->kind == REQUEST_CONSUMER_CHECK)
		check_answer(relay, queue, &queue->consumer->streams[request->count], reply);
	else if (outbox_reply_is_error(reply))
		read_refused(relay, queue, outbox_reply_string(reply));
	else if (request->kind == REQUEST_CONSUMER_READ)
	{
		queue->consumer->refused = false;
		if (outbox_reply_is_array(reply))
			read_answer(relay, queue, reply);
		else
		{
			/* there is nothing */
			queue->consumer_at = relay->progress_at + READ_INTERVAL_US;
			for (int i = 0; i < STREAMS; i++)
				plan_trim(&queue->consumer->streams[i], relay->progress_at);
		}
	}
}
