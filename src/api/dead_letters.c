/*-------------------------------------------------------------------------
 *
 * dead_letters.c
 *	  What users can do with messages: cancel delayed ones, replay or discard
 *	  dead letters, have delivered ones sent again.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A replayed message is staged again with its own id and a new number, and is
 * delivered like any other.  Its dead letter is not deleted but marked: the old
 * number may still be in a cursor's skip list, and from the row the relay knows
 * that this message is not lost.  The relay deletes the row later.
 *
 * If consumers of the queue return messages, a replay inserts a row into
 * outbox.returned, with the message's history and the number of attempts reset;
 * see returned.c.
 *
 * Replaying takes the share lock on the queue that enqueueing takes, before the
 * locks on the queue's dead letters.  Dropping a queue locks in this order, too.
 *
 * Users choose ids, so several dead letters may have the same id.  A function
 * that is called with an id applies to all of them.
 *
 * Who may enqueue to a queue may cancel what is delayed there, and nobody else.  So
 * these functions run with the caller's rights, which are looked at, like those
 * that enqueue.  A message with the same id in a queue of others is not the
 * caller's, and stays.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "api/args.h"
#include "miscadmin.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/tables.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_cancel);
PG_FUNCTION_INFO_V1(outbox_cancel_key);
PG_FUNCTION_INFO_V1(outbox_discard);
PG_FUNCTION_INFO_V1(outbox_discard_queue);
PG_FUNCTION_INFO_V1(outbox_replay);
PG_FUNCTION_INFO_V1(outbox_replay_queue);
PG_FUNCTION_INFO_V1(outbox_resend);

/*
 * Run a command with an id as $1.  Returns whether it has processed rows.
 */
static bool
execute_for_id(const char *command, Datum id)
{
	Oid			types[1] = {UUIDOID};
	OutboxCaller caller;
	bool		found;

	outbox_connect(&caller);
	SPI_execute_with_args(command, 1, types, &id, NULL, false, 0);
	found = SPI_processed > 0;
	outbox_finish(&caller);
	return found;
}

/*
 * Returns the ids of those queues, or their partitions, that have delayed messages with this id and
 * that the role may enqueue to.  An error if there are others only.
 */
static Datum
queues_to_cancel_in(const OutboxParam *id, Oid role)
{
	uint64		n = outbox_query("SELECT DISTINCT name, d.queue FROM outbox.deferred AS d"
								 " JOIN outbox.queue AS q ON " OUTBOX_IS_OF_QUEUE("d.queue", "q")
								 " WHERE d.reason = 'delayed' AND d.id = $id",
								 id, 1);
	SPITupleTable *queues = SPI_tuptable;
	uint64	   *ids = palloc((n + 1) * sizeof(uint64));
	char	   *other = NULL;
	int			nids = 0;

	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = SPI_getvalue(queues->vals[i], queues->tupdesc, 1);
		const OutboxQueue *queue = outbox_queue_find_or_error(name);

		if (outbox_may_enqueue(queue, role))
			ids[nids++] = (uint64) atoi(SPI_getvalue(queues->vals[i], queues->tupdesc, 2));
		else
			other = name;
	}
	if (nids == 0 && other != NULL)
		outbox_need_right(outbox_queue_find_or_error(other), role);
	return outbox_int8_array(ids, nids);
}

/*
 * outbox_cancel(id): take back a message that is not due yet
 */
Datum
outbox_cancel(PG_FUNCTION_ARGS)
{
	Oid			role = GetUserId();
	OutboxParam params[] = {
		{"id", UUIDOID, PG_GETARG_DATUM(0)},
		{"queues", INT8ARRAYOID}
	};
	OutboxCaller caller;
	bool		found;

	outbox_need_arg(fcinfo, 0, "id");
	PreventCommandIfReadOnly("outbox_cancel()");
	outbox_connect(&caller);
	params[1].value = queues_to_cancel_in(params, role);
	found = outbox_query("DELETE FROM outbox.deferred WHERE reason = 'delayed'"
						 " AND id = $id AND queue = ANY ($queues)",
						 params, lengthof(params)) > 0;
	outbox_finish(&caller);
	PG_RETURN_BOOL(found);
}

/*
 * outbox_cancel_key(queue, key): take back those of a key that are not due yet
 */
Datum
outbox_cancel_key(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	const OutboxQueue *queue;
	OutboxParam params[] = {
		{"queue", INT4OID},
		{"key", TEXTOID, PG_GETARG_DATUM(1)}
	};
	OutboxCaller caller;
	uint64		n;

	outbox_need_arg(fcinfo, 1, "key");
	PreventCommandIfReadOnly("outbox_cancel_key()");
	queue = outbox_queue_find_or_error(name);
	outbox_need_right(queue, GetUserId());
	params[0].value = Int32GetDatum(queue->id +
									outbox_partition_of_key(queue, PG_GETARG_VARLENA_PP(1)));
	outbox_connect(&caller);
	n = outbox_query("DELETE FROM outbox.deferred WHERE reason = 'delayed'"
					 " AND queue = $queue AND key = $key COLLATE \"C\""
					 " AND " OUTBOX_KEY_HASH("key") " = " OUTBOX_KEY_HASH("$key"),
					 params, lengthof(params));
	outbox_finish(&caller);
	PG_RETURN_INT64((int64) n);
}

/*
 * outbox_discard(id)
 */
Datum
outbox_discard(PG_FUNCTION_ARGS)
{
	bool		found;

	outbox_need_arg(fcinfo, 0, "id");
	PreventCommandIfReadOnly("outbox_discard()");
	found = execute_for_id("UPDATE outbox.dead_letter SET gone_at = now()"
						   " WHERE id = $1 AND gone_at IS NULL",
						   PG_GETARG_DATUM(0));
	if (found)
		outbox_tell_at_commit();
	PG_RETURN_BOOL(found);
}

/*
 * outbox_discard_queue(queue)
 */
Datum
outbox_discard_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	const OutboxQueue *queue;
	OutboxParam params[] = {{"queue", INT4OID}, {"last", INT4OID}};
	OutboxCaller caller;
	uint64		n;

	PreventCommandIfReadOnly("outbox_discard_queue()");
	queue = outbox_queue_use(name);
	params[0].value = Int32GetDatum(queue->id);
	params[1].value = Int32GetDatum(queue->id + queue->partitions - 1);
	outbox_connect(&caller);
	n = outbox_query("UPDATE outbox.dead_letter SET gone_at = now()"
					 " WHERE queue BETWEEN $queue AND $last AND gone_at IS NULL",
					 params, lengthof(params));
	outbox_finish(&caller);
	if (n > 0)
		outbox_tell_at_commit();
	PG_RETURN_INT64((int64) n);
}

/* the history of a dead letter that is replayed */
#define REPLAYED_HISTORY(name) "coalesce(history, '[]') || jsonb_build_object(" \
	"'at', now(), 'reason', 'replayed', 'queue', " name ")"

/* the commands that mark dead letters ($1: their ctids) as replayed */
#define SETTLE \
	"UPDATE outbox.dead_letter SET gone_at = now() WHERE ctid = ANY ($1)"
#define SETTLE_AND_TELL \
	"WITH gone AS (" SETTLE " RETURNING queue, id, history)," \
	" told AS (INSERT INTO outbox.returned" \
	" (queue, id, attempts, digest, due_at, history)" \
	" SELECT g.queue, g.id, 0, 0, now(), " REPLAYED_HISTORY("name") \
	" FROM gone AS g JOIN outbox.queue AS q ON " OUTBOX_IS_OF_QUEUE("g.queue", "q") ")" \
	" SELECT FROM gone"

/*
 * Stage dead letters of a queue again, the oldest first: those with this id, or
 * all if id is NULL, and no more than max unless it is negative.  SPI is
 * connected.  Returns the number of messages.
 */
static int64
replay(const char *name, const pg_uuid_t *id, int64 max)
{
	const OutboxQueue *queue = outbox_queue_use(name);
	Oid			types[5] = {INT4OID, TEXTOID, UUIDOID, INT8OID, INT4OID};
	Datum		values[5];
	char		nulls[5] = {' ', ' ', id ? ' ' : 'n', max >= 0 ? ' ' : 'n', ' '};
	int64		n;

	values[0] = Int32GetDatum(queue->id);
	values[1] = CStringGetTextDatum(name);
	values[2] = UUIDPGetDatum(id);
	values[3] = Int64GetDatum(max);
	values[4] = Int32GetDatum(queue->id + queue->partitions - 1);
	n = outbox_stage_rows("SELECT xid, seq, enqueued_at, id, lsn, queue,"
						  " 0::smallint, kind, type, key, headers, payload,"
						  " " REPLAYED_HISTORY("$2") ", options, ctid"
						  " FROM outbox.dead_letter"
						  " WHERE queue BETWEEN $1 AND $5 AND gone_at IS NULL"
						  " AND ($3 IS NULL OR id = $3)"
						  " ORDER BY dead_at, seq LIMIT $4 FOR UPDATE",
						  5, types, values, nulls,
						  queue->consumer_retry ? SETTLE_AND_TELL : SETTLE);
	if (n > 0)
		outbox_tell_at_commit();	/* this also wakes the relay for the
									 * messages */
	return n;
}

/*
 * outbox_replay(id)
 */
Datum
outbox_replay(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1];
	OutboxCaller caller;
	SPITupleTable *queues;
	uint64		nqueues;
	int64		n = 0;

	outbox_need_arg(fcinfo, 0, "id");
	PreventCommandIfReadOnly("outbox_replay()");
	values[0] = PG_GETARG_DATUM(0);
	outbox_connect(&caller);
	SPI_execute_with_args("SELECT name FROM outbox.queue AS q WHERE EXISTS"
						  " (SELECT FROM outbox.dead_letter AS d"
						  " WHERE d.id = $1 AND gone_at IS NULL"
						  " AND " OUTBOX_IS_OF_QUEUE("d.queue", "q") ") ORDER BY q.id",
						  1, types, values, NULL, false, 0);
	queues = SPI_tuptable;
	nqueues = SPI_processed;
	for (uint64 i = 0; i < nqueues; i++)
		n += replay(SPI_getvalue(queues->vals[i], queues->tupdesc, 1),
					PG_GETARG_UUID_P(0), -1);
	outbox_finish(&caller);
	PG_RETURN_BOOL(n > 0);
}

/*
 * outbox_replay_queue(queue, max)
 */
Datum
outbox_replay_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	int64		max = PG_ARGISNULL(1) ? -1 : PG_GETARG_INT64(1);
	OutboxCaller caller;
	int64		n;

	PreventCommandIfReadOnly("outbox_replay_queue()");
	if (max < 0 && !PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max must not be negative"),
				 errhint("Leave it out to replay all.")));
	outbox_connect(&caller);
	n = replay(name, NULL, max);
	outbox_finish(&caller);
	PG_RETURN_INT64(n);
}

/*
 * outbox_resend(queue, since): deliver again what is still retained
 */
Datum
outbox_resend(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	const OutboxQueue *queue;
	Oid			types[3] = {INT4OID, TIMESTAMPTZOID, INT4OID};
	Datum		values[3];
	OutboxCaller caller;

	outbox_need_arg(fcinfo, 1, "since");
	PreventCommandIfReadOnly("outbox_resend()");
	queue = outbox_queue_use(name);
	values[0] = Int32GetDatum(queue->id);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = Int32GetDatum(queue->id + queue->partitions - 1);
	outbox_connect(&caller);
	SPI_execute_with_args("INSERT INTO outbox.resend_request (queue, since)"
						  " SELECT partition, $2 FROM generate_series($1, $3) AS partition",
						  3, types, values, NULL, false, 0);
	outbox_finish(&caller);
	outbox_tell_at_commit();
	PG_RETURN_VOID();
}
