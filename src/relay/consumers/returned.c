/*-------------------------------------------------------------------------
 *
 * returned.c
 *	  Record a message that a consumer has returned.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A consumer that can't process a message returns it, see streams.c.  The
 * queue's policy for messages that Redis refuses applies: the message is
 * delivered again later, or becomes a dead letter.  It is delivered again like
 * a delayed message, from a row of outbox.deferred that is staged with a new
 * seq when it is due.  So it is delivered behind messages that were enqueued
 * meanwhile, even those of its own key: Redis has accepted the message before,
 * and its key is not held.
 *
 * A dead letter of this kind was never skipped.  No cursor knows the seq of its
 * row, and therefore the row has lsn 0/0, as those out of a dump.
 *
 * Once staging is emptied, no row is left of a message that consumers have.
 * outbox.returned keeps how often each message was returned and with which
 * errors.  The number of attempts is taken from there and not from the
 * consumer, which can only cause a message to be given up earlier.
 *
 * Consumers get messages at least once and return them at least once.  The
 * field "attempt" says which delivery is returned: if that attempt or a later
 * one has been recorded, the entry is a repetition and is ignored.  So is an
 * entry without the field if the message has not been delivered again since.
 * Users may give several messages the same id: if the payload differs, it is
 * another message.
 *
 * An entry that is repeated after a replay counts for the replayed message, as
 * the two can't be told apart.
 *
 * A message that is delivered again on purpose (replayed, resent) begins with
 * its first attempt.  A replay adds a row for that; the last row of a message
 * counts.  Only the relay updates and deletes rows, so it never waits for a
 * lock on one.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/returned.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/consumers/entry.h"
#include "relay/deliver/failure.h"
#include "shmem.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* a message's row is deleted this long after its last delivery was due */
#define FORGET_US		USECS_PER_DAY
#define FORGET_ROWS		5000
#define FORGET_INTERVAL_MS 60000

/* so many ignored entries are told of in this time */
#define MAX_IGNORED_TOLD	10
#define IGNORED_INTERVAL_MS	60000

/* a message's row in outbox.returned */
typedef struct Known
{
	bool		found;
	ItemPointerData tid;
	int			attempts;
	int64		digest;			/* of the payload */
	TimestampTz due_at;			/* when it is delivered again or was given up */
	struct varlena *history;
} Known;

static const StepLock locks[] = {
	{OUTBOX_REL_DEFERRED, true},
	{OUTBOX_REL_DEAD_LETTER, true},
	{OUTBOX_REL_RETURNED, true},
	{OUTBOX_REL_RETURNED_N, true},
	{OUTBOX_REL_SEQ, true},
	{OUTBOX_REL_QUEUE, false},
	{OUTBOX_REL_CONSUMER_POSITION, true}
};

static OutboxTime forget_at = 0;

bool
outbox_begin_returned_step(void)
{
	return outbox_begin_locked_step(locks, lengthof(locks));
}

/*
 * SPI is connected.
 */
static void
find_known(const OutboxMessage *msg, Known *known)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(msg->queue)},
		{"id", UUIDOID, UUIDPGetDatum(&msg->id)}
	};
	Datum		history;
	bool		isnull;

	memset(known, 0, sizeof(Known));
	if (outbox_query("SELECT ctid, attempts, digest, due_at, history"
					 " FROM outbox.returned WHERE queue = $queue AND id = $id"
					 " ORDER BY n DESC LIMIT 1",
					 params, lengthof(params)) == 0)
		return;
	known->found = true;
	known->tid = *(ItemPointer) DatumGetPointer(outbox_result(0, 1, &isnull));
	known->attempts = (int) outbox_result_int64(0, 2);
	known->digest = outbox_result_int64(0, 3);
	known->due_at = outbox_result_int64(0, 4);
	history = outbox_result(0, 5, &isnull);
	if (!isnull)
		known->history = PG_DETOAST_DATUM_PACKED(history);
}

/*
 * SPI is connected.
 */
static void
remember(const OutboxMessage *msg, const Known *known, int64 digest,
		 TimestampTz due)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(msg->queue)},
		{"id", UUIDOID, UUIDPGetDatum(&msg->id)},
		{"attempts", INT2OID, Int16GetDatum(msg->attempts)},
		{"digest", INT8OID, Int64GetDatum(digest)},
		{"due", TIMESTAMPTZOID, TimestampTzGetDatum(due)},
		{"history", JSONBOID, PointerGetDatum(msg->history)},
		{"tid", TIDOID, PointerGetDatum(&known->tid)}
	};

	outbox_query(known->found ?
				 "UPDATE outbox.returned SET attempts = $attempts,"
				 " digest = $digest, due_at = $due, history = $history"
				 " WHERE ctid = $tid AND queue = $queue AND id = $id" :
				 "INSERT INTO outbox.returned"
				 " (queue, id, attempts, digest, due_at, history)"
				 " VALUES ($queue, $id, $attempts, $digest, $due, $history)",
				 params, lengthof(params));
}

/*
 * True if this attempt was returned before.
 */
static bool
is_second_time(const ConsumerEntry *entry, const Known *known, int64 digest,
			   TimestampTz now)
{
	if (!known->found || known->digest != digest)
		return false;
	if (entry->attempt == 0)
		return now < known->due_at;
	return entry->attempt <= known->attempts;
}

/*
 * Consumers may add such entries as fast as they can: the log has no more than
 * some in a minute, and the number of the others.
 */
static void
ignore_entry(RelayQueue *queue, const char *where, const char *fault)
{
	static OutboxTime since = OUTBOX_LONG_AGO;
	static int	told = 0;
	static int	not_told = 0;
	OutboxTime	now = outbox_now();

	if (now >= outbox_in_ms(since, IGNORED_INTERVAL_MS))
	{
		since = now;
		told = 0;
	}
	outbox_show_error(queue, psprintf("entry %s was ignored: %s", where, fault));
	if (told == MAX_IGNORED_TOLD)
	{
		not_told++;
		return;
	}
	told++;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("outbox has ignored entry %s: %s", where, fault),
			 not_told > 0 ?
			 errdetail("So it has %d others since the last such message.",
					   not_told) : 0));
	not_told = 0;
}

static void
take_returned(RelayQueue *queue, const OutboxReply *fields,
			  const char *where, bool is_dead, TimestampTz now)
{
	ConsumerEntry entry;
	OutboxMessage *msg = &entry.msg;
	Known		known;
	int64		digest;
	TimestampTz due;
	OutboxSlot *slot;

	/* SPI's context is freed with all that is allocated here */
	SPI_connect();
	outbox_parse_entry(fields, &entry);
	if (msg->payload == NULL)
	{
		ignore_entry(queue, where, entry.fault);
		SPI_finish();
		return;
	}

	msg->queue = queue->settings->id;
	digest = (int64) hash_bytes_extended((const unsigned char *) VARDATA_ANY(msg->payload),
										 VARSIZE_ANY_EXHDR(msg->payload), 0);
	find_known(msg, &known);
	if (is_second_time(&entry, &known, digest, now))
	{
		ereport(DEBUG1,
				(errmsg_internal("entry %s has been returned before", where)));
		SPI_finish();
		return;
	}
	if (entry.attempt != 0 && entry.attempt <= known.attempts)
	{
		/* another message with the same id */
		known.attempts = 0;
		known.history = NULL;
	}
	msg->attempts = Min(Max(entry.attempt, known.attempts + 1), PG_INT16_MAX);
	msg->history = known.history;
	outbox_staging_identify(msg, GetCurrentTimestamp());
	if (entry.fault != NULL)
		entry.error = psprintf("entry %s is malformed: %s", where, entry.fault);
	due = outbox_message_returned(queue, msg, entry.error,
								  is_dead || entry.fault != NULL, now);
	remember(msg, &known, digest, due != 0 ? due : now);
	slot = outbox_find_slot(MyDatabaseId);
	if (due != 0 && slot != NULL)
		(void) outbox_lower_due(slot, due);
	SPI_finish();
}

/*
 * Record a stream's entries.  Returns how many there were; *read becomes the id
 * of the last one.
 */
static size_t
record_stream(RelayQueue *queue, const char *key, ConsumerStreamKind which,
			  const OutboxReply *entries, EntryId *read, TimestampTz now)
{
	size_t		n = 0;

	for (size_t i = 0; i < outbox_reply_length(entries); i++)
	{
		const OutboxReply *entry = outbox_reply_element(entries, i);
		const char *id = outbox_reply_element_string(entry, 0);
		EntryId		entry_id;

		if (outbox_reply_length(entry) != 2 ||
			!outbox_parse_entry_id(id, &entry_id))
			continue;
		*read = entry_id;
		n++;
		take_returned(queue, outbox_reply_element(entry, 1),
					  psprintf("%s of stream \"%s\"", id, key),
					  which == STREAM_DEAD, now);
	}
	return n;
}

bool
outbox_record_returned(RelayQueue *queue, const char *dead_key,
					   const OutboxReply *reply, EntryId *read, TimestampTz now,
					   size_t *most)
{
	if (!outbox_begin_returned_step())
		return false;
	*most = 0;
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
	{
		const OutboxReply *stream = outbox_reply_element(reply, i);
		const char *key = outbox_reply_element_string(stream, 0);
		ConsumerStreamKind which;
		size_t		n;

		if (outbox_reply_length(stream) != 2)
			continue;
		which = strcmp(key, dead_key) == 0 ? STREAM_DEAD : STREAM_RETRY;
		n = record_stream(queue, key, which, outbox_reply_element(stream, 1),
						  &read[which], now);
		*most = Max(*most, n);
	}
	outbox_write_read_positions(queue, read);
	outbox_end_step();
	return true;
}

void
outbox_forget_messages(int32 queue, Datum *ids, int n)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue)},
		{"ids", UUIDARRAYOID, PointerGetDatum(construct_array(ids, n, UUIDOID,
															  UUID_LEN, false,
															  TYPALIGN_CHAR))}
	};

	outbox_query("DELETE FROM outbox.returned"
				 " WHERE queue = $queue AND id = ANY ($ids)",
				 params, lengthof(params));
}

/*
 * Once a minute, delete rows that are a day old and positions of queues that do
 * not exist any more.
 */
void
outbox_forget_returned(OutboxTime now)
{
	TimestampTz before = GetCurrentTimestamp() - FORGET_US;
	OutboxParam params[] = {
		{"before", TIMESTAMPTZOID, TimestampTzGetDatum(before)}
	};

	if (now < forget_at)
		return;
	forget_at = outbox_in_ms(now, FORGET_INTERVAL_MS);
	if (!outbox_begin_returned_step())
		return;
	SPI_connect();
	if (outbox_query("DELETE FROM outbox.returned WHERE ctid = ANY (ARRAY("
					 "SELECT ctid FROM outbox.returned WHERE due_at < $before"
					 " ORDER BY due_at LIMIT " CppAsString2(FORGET_ROWS)
					 " FOR UPDATE SKIP LOCKED))",
					 params, lengthof(params)) == FORGET_ROWS)
		forget_at = now;
	outbox_query("DELETE FROM outbox.consumer_position AS p"
				 " WHERE NOT EXISTS (SELECT FROM outbox.queue AS q"
				 " WHERE " OUTBOX_IS_OF_QUEUE("p.queue", "q") ")",
				 params, lengthof(params));
	SPI_finish();
	outbox_end_step();
}
