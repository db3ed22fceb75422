/*-------------------------------------------------------------------------
 *
 * returned.c
 *	  What becomes of a message that a consumer returns.
 *
 * Design notes
 *
 * A consumer that can't process a message returns it, see streams.c.  The
 * queue's policy for messages that Redis refuses holds for it too: delivered
 * again later, or a dead letter.  It is delivered again as a message that was
 * delayed is: a row of outbox.deferred, staged with a new number when its time
 * has come.  So it comes behind those enqueued meanwhile, those of its own key
 * too: Redis has taken it, and its key holds up nobody.
 *
 * A dead letter of this kind was never skipped.  Its row has no number that
 * any cursor knows, which timeline 0 says, as of those out of a dump.
 *
 * While a message is with its consumers, no row of ours is left of it once
 * staging is emptied.  outbox.returned remembers how often it was returned and
 * what was said: the number of attempts rests on that, not on the consumer, who
 * can but have a message given up earlier.
 *
 * Consumers get messages at least once and return them at least once.  The
 * field "attempt" tells what is returned: if that attempt, or a later one, has
 * been recorded, it comes a second time and is ignored.  So does a message
 * without the field whose next attempt isn't out yet.  Users may have given one
 * id to several messages: then another payload is another message.
 *
 * What is returned a second time only after a replay counts for the replayed
 * one: nothing tells them apart.
 *
 * A message that is delivered again on purpose (replayed, resent) begins with
 * its first attempt.  A replay adds a row that says so; of several rows the
 * last one counts.  Nobody but the relay changes rows or deletes them, so it
 * waits for no one's lock.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "relay/consumers/entry.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/timestamp.h"

/* what is known of a message is forgotten so long after its last delivery */
#define FORGET_US		USECS_PER_DAY
#define FORGET_ROWS		5000
#define FORGET_INTERVAL_MS 60000

/* what the table has of a message */
typedef struct Known
{
	bool		found;
	ItemPointerData tid;
	int			attempts;
	int64		digest;			/* of its payload */
	TimestampTz due_at;			/* delivered again, or given up */
	struct varlena *history;
} Known;

/*
 * Can all be written that returning a message may need, without waiting?
 */
bool
outbox_lock_returned(void)
{
	return outbox_lock_failures() &&
		outbox_lock_to_write(OUTBOX_REL_RETURNED) &&
		outbox_lock_to_write(OUTBOX_REL_CONSUMER_POSITION);
}

/*
 * Not read only: what was read with this entry has to be seen.  SPI is
 * connected.
 */
static void
find_known(const OutboxMessage *msg, Known *known)
{
	Oid			types[2] = {INT4OID, UUIDOID};
	Datum		values[2] = {Int32GetDatum(msg->queue), UUIDPGetDatum(&msg->id)};
	HeapTuple	tup;
	TupleDesc	desc;
	Datum		history;
	bool		isnull;

	memset(known, 0, sizeof(Known));
	SPI_execute_with_args("SELECT ctid, attempts, digest, due_at, history"
						  " FROM outbox.returned WHERE queue = $1 AND id = $2"
						  " ORDER BY n DESC LIMIT 1",
						  2, types, values, NULL, false, 1);
	if (SPI_processed == 0)
		return;
	tup = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	known->found = true;
	known->tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(tup, desc, 1, &isnull));
	known->attempts = DatumGetInt16(SPI_getbinval(tup, desc, 2, &isnull));
	known->digest = DatumGetInt64(SPI_getbinval(tup, desc, 3, &isnull));
	known->due_at = DatumGetTimestampTz(SPI_getbinval(tup, desc, 4, &isnull));
	history = SPI_getbinval(tup, desc, 5, &isnull);
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
	Oid			types[7] = {
		INT4OID, UUIDOID, INT2OID, INT8OID, TIMESTAMPTZOID, JSONBOID, TIDOID
	};
	Datum		values[7] = {
		Int32GetDatum(msg->queue), UUIDPGetDatum(&msg->id),
		Int16GetDatum(msg->attempts), Int64GetDatum(digest),
		TimestampTzGetDatum(due), PointerGetDatum(msg->history),
		PointerGetDatum(&known->tid)
	};

	if (known->found)
		SPI_execute_with_args("UPDATE outbox.returned SET attempts = $3, digest = $4,"
							  " due_at = $5, history = $6"
							  " WHERE ctid = $7 AND queue = $1 AND id = $2",
							  7, types, values, NULL, false, 0);
	else
		SPI_execute_with_args("INSERT INTO outbox.returned"
							  " (queue, id, attempts, digest, due_at, history)"
							  " VALUES ($1, $2, $3, $4, $5, $6)",
							  6, types, values, NULL, false, 0);
}

/*
 * Was this attempt returned before?
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
 * Record what a consumer has returned, to be delivered again or given up at
 * once.  In the caller's transaction.
 */
void
outbox_take_returned(Relay *relay, RelayQueue *queue, const OutboxReply *fields,
					 const char *where, bool is_dead, TimestampTz now)
{
	ConsumerEntry entry;
	OutboxMessage *msg = &entry.msg;
	Known		known;
	int64		digest;
	TimestampTz due;

	/* all that is allocated here goes with SPI's context */
	SPI_connect();
	outbox_parse_entry(fields, &entry);
	if (msg->payload == NULL)
	{
		ereport(WARNING,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("outbox has ignored entry %s: %s", where, entry.fault)));
		SPI_finish();
		return;
	}

	msg->queue = queue->settings.id;
	digest = (int64) hash_bytes_extended((const unsigned char *) VARDATA_ANY(msg->payload),
										 VARSIZE_ANY_EXHDR(msg->payload), 0);
	find_known(msg, &known);
	if (is_second_time(&entry, &known, digest, now))
	{
		ereport(DEBUG1,
				(errmsg("entry %s has been returned before", where)));
		SPI_finish();
		return;
	}
	if (entry.attempt != 0 && entry.attempt <= known.attempts)
	{
		/* another message of the same id */
		known.attempts = 0;
		known.history = NULL;
	}
	msg->attempts = Min(Max(entry.attempt, known.attempts + 1), PG_INT16_MAX);
	msg->history = known.history;
	outbox_staging_identify(msg);
	if (entry.fault != NULL)
		entry.error = psprintf("entry %s is malformed: %s", where, entry.fault);
	due = outbox_message_returned(queue, msg, entry.error,
								  is_dead || entry.fault != NULL, now);
	remember(msg, &known, digest, due != 0 ? due : now);
	if (due != 0)
		relay->due_at = Min(relay->due_at, due);
	SPI_finish();
}

/*
 * What was returned of these messages is of the past: they have been staged
 * again.  SPI is connected, the table is locked.
 */
void
outbox_forget_messages(int32 queue, Datum *ids, int n)
{
	Oid			types[2] = {INT4OID, UUIDARRAYOID};
	Datum		values[2];

	values[0] = Int32GetDatum(queue);
	values[1] = PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false,
												TYPALIGN_CHAR));
	SPI_execute_with_args("DELETE FROM outbox.returned"
						  " WHERE queue = $1 AND id = ANY ($2)",
						  2, types, values, NULL, false, 0);
}

/*
 * Once a minute, forget what is a day old, and what is left of queues that are
 * no more.
 */
void
outbox_forget_returned(Relay *relay, TimestampTz now)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(now - FORGET_US)};

	if (now < relay->forget_returned_at)
		return;
	relay->forget_returned_at = TimestampTzPlusMilliseconds(now, FORGET_INTERVAL_MS);
	outbox_begin_step();
	if (outbox_catalog_load() && outbox_lock_returned())
	{
		SPI_connect();
		SPI_execute_with_args("DELETE FROM outbox.returned WHERE ctid = ANY (ARRAY("
							  "SELECT ctid FROM outbox.returned WHERE due_at < $1"
							  " ORDER BY due_at LIMIT " CppAsString2(FORGET_ROWS) "))",
							  1, types, values, NULL, false, 0);
		if (SPI_processed == FORGET_ROWS)
			relay->forget_returned_at = now;
		SPI_execute("DELETE FROM outbox.consumer_position AS p"
					" WHERE NOT EXISTS (SELECT FROM outbox.queue WHERE id = p.queue)",
					false, 0);
		SPI_finish();
	}
	outbox_end_step();
}
