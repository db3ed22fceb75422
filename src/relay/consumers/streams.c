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
 * Ten times a second, and without waiting, the streams of all queues on a link
 * are looked at: one XREAD asks 64 queues for one entry of each stream, so that
 * the answer is small whatever is in them.  Who has an entry is then read alone,
 * 16 entries of each stream at a time, and again at once while there are more,
 * those that have waited longest first.  So a thousand idle queues cost 160
 * commands a second, no read delays deliveries for long, and large entries fit in
 * memory.  A blocking XREAD would need a second connection for each relay, would
 * come back for each entry, and would not do without a limit on streams either.
 *
 * If Redis refuses a look, for one stream that is none or that we may not read, it
 * does not say which.  So all queues of that look are read alone once.  The one
 * whose read is refused, or answered with something else, goes on being read alone,
 * every five seconds, and queue_status says why; the others are looked at together
 * again.  Nothing that is answered here takes the link down, as messages may be
 * delivered all the same.
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
 * In a cluster they have the slot of the queue's stream.  While that is on its way
 * to another node Redis refuses to read them, even if there are none: it can't know
 * that they are not at the other node.  That is no refusal, and tried again soon.  A
 * queue that waits for its slot itself reads nothing: its cursor says when that
 * is there.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/streams.h"

#include <limits.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "guc.h"
#include "queue/partition.h"
#include "redis_server.h"
#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/consumers/returned.h"
#include "relay/consumers/unread.h"
#include "relay/deliver/queue_state.h"

/* how often streams are looked at, and how often read if Redis refuses that */
#define READ_INTERVAL_MS	100
#define REFUSED_INTERVAL_MS 5000
#define SLOT_INTERVAL_MS	500

/* entries of a stream read at a time, and requests under way of all queues */
#define READ_ENTRIES		16
#define MAX_READS			4

/* queues that are looked at by one request; its answer is as large as a read's */
#define LOOK_QUEUES			64

static const char *const stream_suffixes[OUTBOX_CONSUMER_STREAMS] = {
	[STREAM_RETRY] = "retry",
	[STREAM_DEAD] = "dead"
};

static QueueConsumer *
mine(const RelayQueue *queue)
{
	return unconstify(QueueConsumer *, queue->consumer);
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
	if (stream->trim_at != OUTBOX_NEVER || !outbox_entry_is_before(stream->trimmed, stream->read))
		return;
	stream->trim = stream->read;
	stream->trim_at = outbox_in_ms(now, outbox_retention * INT64CONST(1000));
}

void
outbox_consumer_is_cut_off(RelayQueue *queue)
{
	QueueConsumer *consumer = mine(queue);

	consumer->read_at = 0;
	consumer->look = 0;
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
	{
		ConsumerStream *stream = &consumer->streams[i];

		stream->checked = false;
		stream->trimmed = (EntryId) {0, 0};
		stream->trim_at = OUTBOX_NEVER;
	}
}

/*
 * Is known how far this Redis was read?  The queue may have had another one.
 */
static bool
is_known(const RelayQueue *queue)
{
	return queue->consumer->address != NULL &&
		strcmp(queue->consumer->address, queue->link->server->address) == 0;
}

/*
 * False if the table is locked.
 */
static bool
load_positions(RelayQueue *queue)
{
	QueueConsumer *consumer = mine(queue);
	EntryId		read[OUTBOX_CONSUMER_STREAMS] = {0};

	if (!outbox_load_read_positions(queue, read))
		return false;
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		consumer->streams[i].read = read[i];
	/* the transaction that wrote it need not be on disk yet */
	consumer->lsn = GetXLogInsertRecPtr();
	if (consumer->address != NULL)
		pfree(consumer->address);
	consumer->address = MemoryContextStrdup(queue->context,
											queue->link->server->address);
	return true;
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
		outbox_entry_id_text(streams[STREAM_RETRY].read),
		outbox_entry_id_text(streams[STREAM_DEAD].read)
	};

	outbox_send_command(queue->link, REQUEST_CONSUMER_READ, queue,
						lengthof(argv), argv);
}

static void
send_trim(RelayQueue *queue, ConsumerStreamKind which)
{
	ConsumerStream *stream = &mine(queue)->streams[which];
	const char *argv[] = {
		"XTRIM", stream->key, "MINID", outbox_entry_id_text(outbox_next_entry_id(stream->trim))
	};

	outbox_flush_wal(queue->consumer->lsn);
	if (!outbox_standby_has(queue->consumer->lsn))
	{
		stream->trim_at = outbox_in_ms(outbox_now(), OUTBOX_LOOK_AGAIN_MS);
		return;
	}
	outbox_send_command(queue->link, REQUEST_CONSUMER_TRIM, queue,
						lengthof(argv), argv)->number = which;
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
		queue->requests->consumer_reads > 0 || queue->consumer->look != 0 ||
		outbox_is_held() || outbox_queue_leaves(queue) || queue->link->is_seed ||
		outbox_queue_lacks_slot(queue) ||
		queue->link->state != LINK_UP ||
		queue->link->consumer_reads >= MAX_READS)
		return OUTBOX_NEVER;
	return queue->consumer->read_at;
}

/*
 * The queue whose streams have waited longest to be read.
 */
static RelayQueue *
next_to_read(void)
{
	RelayQueue *next = NULL;
	OutboxTime	next_at = OUTBOX_NEVER;
	ListCell   *lc;

	foreach(lc, outbox_returning_queues())
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
	RelayQueue *queue = next_to_read();

	return queue == NULL ? LONG_MAX :
		outbox_ms_until(now, queue->consumer->read_at);
}

static bool
is_checked(const RelayQueue *queue)
{
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		if (!queue->consumer->streams[i].checked)
			return false;
	return true;
}

static void
send_checks(RelayQueue *queue)
{
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		if (!queue->consumer->streams[i].checked)
			send_check(queue, i);
}

static void
send_trims(RelayQueue *queue, OutboxTime now)
{
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		if (queue->consumer->streams[i].trim_at <= now)
			send_trim(queue, i);
}

/*
 * Queues that can be looked at together, beginning with the given one.  Those that
 * are due soon are among them: else each that has been read alone would go on being
 * looked at by a command of its own.
 */
static int
find_members(RelayQueue *first, OutboxTime now,
			 RelayQueue **members)
{
	List	   *queues = outbox_returning_queues();
	OutboxTime	soon = outbox_in_ms(now, READ_INTERVAL_MS / 2);
	int			from = 0;
	int			n = 0;

	while (list_nth(queues, from) != first)
		from++;
	for (int i = 0; i < list_length(queues) && n < LOOK_QUEUES; i++)
	{
		RelayQueue *queue = list_nth(queues, (from + i) % list_length(queues));

		if (queue->link == first->link && read_at(queue) <= soon &&
			(!outbox_is_in_cluster(queue->link) || queue->slot == first->slot) &&
			is_known(queue) && !queue->consumer->alone && is_checked(queue))
			members[n++] = queue;
	}
	return n;
}

/*
 * Have several queues any entries?
 */
static void
send_look(RelayQueue *first, OutboxTime now)
{
	static int	number = 0;
	RelayQueue *members[LOOK_QUEUES];
	int			n = find_members(first, now, members);
	int			nstreams = n * OUTBOX_CONSUMER_STREAMS;
	const char *argv[4 + 2 * LOOK_QUEUES * OUTBOX_CONSUMER_STREAMS] = {
		"XREAD", "COUNT", "1", "STREAMS"
	};

	number = number == PG_INT32_MAX ? 1 : number + 1;
	for (int i = 0; i < nstreams; i++)
	{
		RelayQueue *queue = members[i / OUTBOX_CONSUMER_STREAMS];
		const ConsumerStream *stream =
		&queue->consumer->streams[i % OUTBOX_CONSUMER_STREAMS];

		argv[4 + i] = stream->key;
		argv[4 + nstreams + i] = outbox_entry_id_text(stream->read);
		mine(queue)->look = number;
	}
	for (int i = 0; i < n; i++)
		send_trims(members[i], now);
	outbox_send_command(first->link, REQUEST_CONSUMER_LOOK, NULL,
						4 + 2 * nstreams, argv)->number = number;
}

void
outbox_read_consumers(Relay *relay, OutboxTime now)
{
	RelayQueue *queue;

	while ((queue = next_to_read()) != NULL &&
		   queue->consumer->read_at <= now)
	{
		if (!is_known(queue) && !load_positions(queue))
			mine(queue)->read_at = outbox_in_ms(now, READ_INTERVAL_MS);
		else if (!is_checked(queue))
			send_checks(queue);
		else if (!queue->consumer->alone)
			send_look(queue, now);
		else
		{
			send_trims(queue, now);
			send_read(queue);
		}
	}
}

static void
look_refused(int number)
{
	ListCell   *lc;

	foreach(lc, outbox_returning_queues())
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->consumer->look != number)
			continue;
		mine(queue)->look = 0;
		mine(queue)->alone = true;
	}
}

void
outbox_consumer_refused(Relay *relay, const Request *request, const char *error)
{
	RelayQueue *queue = request->queue;
	QueueConsumer *consumer;

	if (queue == NULL)
	{
		look_refused(request->number);
		return;
	}
	if (queue->listed->dropped)
		return;
	consumer = mine(queue);
	if (request->kind == REQUEST_CONSUMER_TRIM)
	{
		consumer->streams[request->number].trimmed = (EntryId) {0, 0};
		consumer->trim_refused = true;
	}
	else
	{
		consumer->alone = true;
		consumer->read_at = outbox_in_ms(outbox_now(), REFUSED_INTERVAL_MS);
	}
	outbox_tell_refused(queue, error, mine(queue)->trouble);
}

void
outbox_consumer_waits_for_slot(const Request *request, const char *why)
{
	RelayQueue *queue = request->queue;
	QueueConsumer *consumer = mine(queue);

	if (queue->listed->dropped)
		return;
	consumer->alone = true;
	consumer->read_at = outbox_in_ms(outbox_now(), SLOT_INTERVAL_MS);
	/* it is planned again with the next read */
	if (request->kind == REQUEST_CONSUMER_TRIM)
		consumer->streams[request->number].trimmed = (EntryId) {0, 0};
	outbox_tell_slot_moves(queue, why, consumer->trouble);
}

static void
is_read(RelayQueue *queue)
{
	if (!queue->consumer->trim_refused)
		mine(queue)->trouble[0] = '\0';
}

void
outbox_consumer_failed(RelayQueue *queue, const char *error)
{
	mine(queue)->read_at = outbox_in_ms(outbox_now(), REFUSED_INTERVAL_MS);
	outbox_tell_refused(queue, error, mine(queue)->trouble);
}

/*
 * Compare the stream's last id with the position that was read up to.
 */
static void
check_answer(RelayQueue *queue, ConsumerStream *stream,
			 const OutboxReply *reply)
{
	EntryId		last = {0, 0};

	for (size_t i = 0; i + 1 < outbox_reply_length(reply); i += 2)
		if (strcmp(outbox_reply_element_string(reply, i), "last-generated-id") == 0)
			(void) outbox_parse_entry_id(outbox_reply_element_string(reply, i + 1), &last);
	if (outbox_entry_is_before(last, stream->read))
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
	if (!outbox_record_returned(queue, consumer->streams[STREAM_DEAD].key, reply,
								read, queue->link->answered_at, &most))
		return;
	if (most == READ_ENTRIES)
		consumer->read_at = now;
	else
		consumer->alone = false;
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

	consumer->alone = false;
	consumer->read_at = outbox_in_ms(now, READ_INTERVAL_MS);
	for (int i = 0; i < OUTBOX_CONSUMER_STREAMS; i++)
		plan_trim(&consumer->streams[i], now);
}

static bool
has_entries(const RelayQueue *queue, const OutboxReply *reply)
{
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
	{
		const char *key =
		outbox_reply_element_string(outbox_reply_element(reply, i), 0);

		for (int j = 0; j < OUTBOX_CONSUMER_STREAMS; j++)
			if (strcmp(key, queue->consumer->streams[j].key) == 0)
				return true;
	}
	return false;
}

static void
look_answer(int number, const OutboxReply *reply)
{
	ListCell   *lc;

	foreach(lc, outbox_returning_queues())
	{
		RelayQueue *queue = lfirst(lc);
		QueueConsumer *consumer = mine(queue);

		if (consumer->look != number)
			continue;
		consumer->look = 0;
		is_read(queue);
		nothing_read(queue);
		if (!has_entries(queue, reply))
			continue;
		consumer->alone = true;
		consumer->read_at = queue->link->progress_at;
	}
}

void
outbox_consumer_answer(Relay *relay, const Request *request,
					   const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;
	bool		no_stream = request->kind == REQUEST_CONSUMER_CHECK &&
	strcmp(outbox_reply_string(reply), "ERR no such key") == 0;

	if (outbox_reply_is_error(reply) && !no_stream)
	{
		outbox_consumer_refused(relay, request, outbox_reply_string(reply));
		return;
	}
	if (request->kind == REQUEST_CONSUMER_LOOK)
		look_answer(request->number, reply);
	if (queue == NULL || queue->listed->dropped)
		return;
	if (request->kind == REQUEST_CONSUMER_CHECK)
		check_answer(queue, &mine(queue)->streams[request->number], reply);
	else if (request->kind == REQUEST_CONSUMER_TRIM)
		mine(queue)->trim_refused = false;
	else if (request->kind == REQUEST_CONSUMER_READ)
	{
		is_read(queue);
		if (outbox_reply_is_array(reply))
			read_answer(queue, reply);
		else
			nothing_read(queue);
	}
}
