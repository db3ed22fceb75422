/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Record that a message failed: retry it, let it wait, or give it up.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A refused message is in outbox.deferred until it is delivered, or in
 * outbox.dead_letter when the queue's policy gives it up.  Messages of the same
 * key wait behind it, see held.c.
 *
 * Errors that mean an outage are not counted as attempts.
 *
 * A message that its consumer returns has been delivered before, so no other
 * message waits for it: it is delayed or given up, by the same policy.
 *
 * A dead letter is reported once, by a WARNING and by NOTIFY (tell.c).
 *
 * Texts for users name messages by their ids; they never have a payload or a
 * key.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/failure.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "queue/partition.h"
#include "queue/policy.h"
#include "redis/errors.h"
#include "relay/base/shown.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/deliver/held.h"
#include "relay/deliver/tell.h"
#include "store/deferred.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* what insert_dead_letter() fills in */
#define DEAD_LETTER_COLUMNS (Natts_staging + 3)

/* a message was given up, and that may not be on disk yet */
static bool buried = false;

/*
 * Add an event to a message's history; error may be NULL.
 */
static void
add_history(const RelayQueue *queue, OutboxMessage *msg, const char *reason,
			const char *error, TimestampTz at)
{
	StringInfoData event;
	char		buf[MAXDATELEN + 1];
	Datum		events;

	initStringInfo(&event);
	JsonEncodeDateTime(buf, TimestampTzGetDatum(at), TIMESTAMPTZOID, NULL);
	appendStringInfo(&event, "[{\"at\": \"%s\", \"reason\": \"%s\", \"queue\": ",
					 buf, reason);
	escape_json(&event, queue->settings->name);
	if (error != NULL)
	{
		appendStringInfo(&event, ", \"attempt\": %d, \"error\": ", msg->attempts);
		escape_json(&event, error);
	}
	appendStringInfoString(&event, "}]");

	events = DirectFunctionCall1(jsonb_in, CStringGetDatum(event.data));
	if (msg->history != NULL)
		events = DirectFunctionCall2(jsonb_concat, PointerGetDatum(msg->history),
									 events);
	msg->history = (struct varlena *) DatumGetPointer(events);
}

/*
 * Move a message to the dead letters.
 */
static void
insert_dead_letter(const OutboxMessage *msg, const char *reason,
				   const char *error, TimestampTz now)
{
	static SPIPlanPtr insert = NULL;
	static SPIPlanPtr delete = NULL;
	Oid			types[DEAD_LETTER_COLUMNS];
	Datum		values[DEAD_LETTER_COLUMNS];
	char		nulls[DEAD_LETTER_COLUMNS];

	memcpy(types, outbox_staging_types, Natts_staging * sizeof(Oid));
	types[Natts_staging] = TEXTOID;
	types[Natts_staging + 1] = TEXTOID;
	types[Natts_staging + 2] = TIMESTAMPTZOID;
	outbox_row_values(msg, values, nulls, DEAD_LETTER_COLUMNS);
	values[Natts_staging] = CStringGetTextDatum(reason);
	if (error != NULL)
		values[Natts_staging + 1] = CStringGetTextDatum(error);
	else
		nulls[Natts_staging + 1] = 'n';
	values[Natts_staging + 2] = TimestampTzGetDatum(now);

	SPI_connect();
	if (insert == NULL)
	{
		insert = SPI_prepare("INSERT INTO outbox.dead_letter"
							 " (" OUTBOX_STAGING_COLUMNS ", reason, error, dead_at,"
							 " skipped)"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
							 " $12, $13, $14, $15, $16, $17, $5 > '0/0')"
							 " ON CONFLICT (queue, seq) WHERE " OUTBOX_DEAD_NUMBERED
							 " DO NOTHING",
							 DEAD_LETTER_COLUMNS, types);
		SPI_keepplan(insert);
		delete = SPI_prepare("DELETE FROM outbox.deferred WHERE queue = $1 AND seq = $2"
							 " AND reason IN " OUTBOX_REASONS_NUMBERED,
							 2, (Oid[]) {INT4OID, INT8OID});
		SPI_keepplan(delete);
	}
	outbox_deferring = true;
	SPI_execute_plan(insert, values, nulls, false, 0);
	outbox_deferring = false;
	SPI_execute_plan(delete, (Datum[]) {values[Anum_staging_queue - 1],
					 values[Anum_staging_seq - 1]}, NULL, false, 0);
	SPI_finish();
}

bool
outbox_has_buried(void)
{
	return buried;
}

void
outbox_flush_burials(void)
{
	XLogRecPtr	lsn;

	/* else the record that is flushed might not be written yet */
	Assert(!IsTransactionState());
	if (!buried)
		return;
	buried = false;
	lsn = GetXLogInsertRecPtr();
	outbox_flush_wal(lsn);
	outbox_rest_on(lsn);
}

/*
 * "told" is the reason for the log; "error" is kept with the dead letter and
 * may quote the payload.
 */
static void
give_up(RelayQueue *queue, OutboxMessage *msg, const char *reason,
		const char *error, const char *told, TimestampTz now)
{
	char		id[OUTBOX_UUID_TEXT_LEN + 1];

	insert_dead_letter(msg, reason, error, now);
	buried = true;
	outbox_show_dead_letter(queue);
	outbox_uuid_text(&msg->id, id);
	outbox_tell_later(queue->settings->name, id);
	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("outbox has given up message %s of %s: %s",
					id, outbox_queue_title(queue->settings), told),
			 errhint("It is in outbox.dead_letters; outbox_replay() delivers it again.")));
}

void
outbox_message_behind(RelayQueue *queue, const OutboxMessage *msg)
{
	outbox_defer(msg, OUTBOX_BEHIND, 0);
	outbox_hold_message(queue, msg);
}

/*
 * If the policy was to give messages up at once and has been altered since,
 * several messages of one key may have been tried without waiting for each
 * other.  From now on they wait behind the first.
 */
bool
outbox_message_refused(RelayQueue *queue, OutboxMessage *msg,
					   const char *error, bool was_held, TimestampTz now)
{
	bool		counts = outbox_is_refusal(error);
	const char *why;

	outbox_show_error(queue, error);
	why = queue->shown->last_error;
	if (counts)
	{
		if (msg->attempts < PG_INT16_MAX)
			msg->attempts++;
		outbox_show_refused(queue);
		add_history(queue, msg, "refused", why, now);
	}
	if (counts && outbox_gives_up(queue->settings, msg->attempts))
	{
		give_up(queue, msg, "refused", why, why, now);
		return true;
	}

	if (!was_held && outbox_key_is_held(queue, msg))
		outbox_defer(msg, OUTBOX_BEHIND, 0);
	else
	{
		TimestampTz due = now +
		outbox_retry_delay(queue->settings, msg->attempts,
						   pg_prng_double(&pg_global_prng_state));

		outbox_defer(msg, OUTBOX_RETRIED, due);
		outbox_retry_is_due(queue, due);
	}
	if (!was_held)
		outbox_hold_message(queue, msg);
	return false;
}

void
outbox_message_expired(RelayQueue *queue, OutboxMessage *msg, TimestampTz now)
{
	add_history(queue, msg, "expired", NULL, now);
	outbox_show_expired(queue);
	give_up(queue, msg, "expired", NULL, "expired", now);
}

/*
 * The message has a new identity, which this transaction has given it and which
 * Redis was never sent, see returned.c.
 *
 * The error is the consumer's and may quote the payload: it is kept with the
 * message and shown nowhere else.
 */
TimestampTz
outbox_message_returned(RelayQueue *queue, OutboxMessage *msg,
						const char *error, bool is_dead, TimestampTz now)
{
	static const char told[] = "a consumer has returned it";
	TimestampTz due;

	outbox_show_refused(queue);
	add_history(queue, msg, "consumer", error, now);
	outbox_show_error(queue, "a consumer has returned a message");
	if (is_dead || outbox_gives_up(queue->settings, msg->attempts))
	{
		msg->lsn = InvalidXLogRecPtr;
		give_up(queue, msg, "consumer", error, told, now);
		return 0;
	}
	due = now + outbox_retry_delay(queue->settings, msg->attempts,
								   pg_prng_double(&pg_global_prng_state));
	outbox_defer(msg, OUTBOX_DELAYED, due);
	return due;
}
