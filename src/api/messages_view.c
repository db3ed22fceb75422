/*-------------------------------------------------------------------------
 *
 * messages_view.c
 *	  View outbox.messages, and outbox_preview().
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Both are for people and for tests of code that enqueues; which messages there
 * are is in messages.c.
 *
 * A preview has the commands that the relay's own encoders write.  When a message
 * is delivered is not known yet: now(), when the transaction began, stands for that
 * time, or when the message is due if that is later.  So a test knows the time.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/xact.h"
#include "api/messages.h"
#include "api/readable.h"
#include "api/row.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "queue/queue.h"
#include "targets/effect.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

/* columns of outbox.message_rows() */
enum
{
	ROW_QUEUE,
	ROW_STATE,
	ROW_ID,
	ROW_TYPE,
	ROW_KEY,
	ROW_HEADERS,
	ROW_PAYLOAD,
	ROW_PAYLOAD_TYPE,
	ROW_ENQUEUED_AT,
	ROW_DUE_AT,
	ROW_ATTEMPTS,
	ROW_HISTORY,
	ROW_AS_OF,
	ROW_SEQ,
	ROW_COLUMNS
};

PG_FUNCTION_INFO_V1(outbox_message_rows);
PG_FUNCTION_INFO_V1(outbox_preview);

static void
set_or_null(Datum *values, bool *nulls, int n, struct varlena *value)
{
	nulls[n] = value == NULL;
	values[n] = PointerGetDatum(value);
}

/*
 * What only those see who may see what is in a message.
 */
static void
set_contents(Datum *values, bool *nulls, const OutboxMessage *msg, bool hidden)
{
	set_or_null(values, nulls, ROW_KEY, hidden ? NULL : msg->key);
	set_or_null(values, nulls, ROW_HEADERS, hidden ? NULL : msg->headers);
	set_or_null(values, nulls, ROW_HISTORY, hidden ? NULL : msg->history);
	set_or_null(values, nulls, ROW_PAYLOAD,
				hidden ? NULL : outbox_readable_payload(msg));
}

static void
add_row(void *arg, const OutboxFound *found)
{
	ReturnSetInfo *result = arg;
	const OutboxMessage *msg = found->msg;
	Datum		values[ROW_COLUMNS] = {0};
	bool		nulls[ROW_COLUMNS] = {0};

	outbox_set_text(values, nulls, ROW_QUEUE, found->queue->name);
	outbox_set_text(values, nulls, ROW_STATE, found->state);
	values[ROW_ID] = UUIDPGetDatum(&msg->id);
	set_or_null(values, nulls, ROW_TYPE, msg->type);
	set_contents(values, nulls, msg, found->hidden);
	outbox_set_text(values, nulls, ROW_PAYLOAD_TYPE, outbox_payload_name(msg->kind));
	outbox_set_time(values, nulls, ROW_ENQUEUED_AT, msg->enqueued_at);
	outbox_set_time(values, nulls, ROW_DUE_AT, found->due_at);
	values[ROW_ATTEMPTS] = Int32GetDatum(msg->attempts);
	outbox_set_time(values, nulls, ROW_AS_OF, found->as_of);
	values[ROW_SEQ] = Int64GetDatum((int64) msg->seq);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * outbox.message_rows(): the rows of view outbox.messages
 */
Datum
outbox_message_rows(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	outbox_find_messages(NULL, add_row, fcinfo->resultinfo);
	PG_RETURN_NULL();
}

static void
add_command(ReturnSetInfo *result, const OutboxCommand *command)
{
	Datum	   *args = palloc((command->nargs + 1) * sizeof(Datum));
	Datum		array;
	bool		isnull = false;

	for (int i = 0; i < command->nargs; i++)
		args[i] = PointerGetDatum(outbox_readable_text(command->args[i]));
	array = PointerGetDatum(construct_array(args, command->nargs, TEXTOID, -1, false,
											TYPALIGN_INT));
	tuplestore_putvalues(result->setResult, result->setDesc, &array, &isnull);
}

static void
add_commands(void *arg, const OutboxFound *found)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	ListCell   *lc;

	if (found->hidden)
		return;
	foreach(lc, outbox_target_effect(found->queue, found->msg, Max(now, found->due_at)))
		add_command(arg, lfirst(lc));
}

/*
 * outbox_preview(id)
 */
Datum
outbox_preview(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (!PG_ARGISNULL(0))
		outbox_find_messages(PG_GETARG_UUID_P(0), add_commands, fcinfo->resultinfo);
	PG_RETURN_NULL();
}
