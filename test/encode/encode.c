/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  The encoders, and what else depends on its arguments only, as SQL
 *	  functions, for tests.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Queue and message are composite values, see sql/setup.sql; all that they
 * lack is zero.  A queue is made ready as the relay does it: its key in UTF-8,
 * its commands compiled.
 *
 * A snapshot that lists a transaction twice can't be had on purpose, so it is
 * made by hand and put in the place of the active one.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "decode.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "relay/deliver/tick.h"
#include "targets/commands.h"
#include "targets/options.h"
#include "targets/target.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(encode_messages);
PG_FUNCTION_INFO_V1(encode_branch);
PG_FUNCTION_INFO_V1(encode_message_options);
PG_FUNCTION_INFO_V1(encode_check_options);
PG_FUNCTION_INFO_V1(encode_snapshot);
PG_FUNCTION_INFO_V1(partition_key);
PG_FUNCTION_INFO_V1(partition_of);

static struct varlena *
varlena_member(HeapTupleHeader row, const char *name)
{
	bool		isnull;
	Datum		value = GetAttributeByName(row, name, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM_PACKED(value);
}

static Datum
member(HeapTupleHeader row, const char *name)
{
	bool		isnull;

	return GetAttributeByName(row, name, &isnull);
}

/*
 * What a message says beside itself, of an array of names.
 */
static int
read_fields(Datum array)
{
	Datum	   *names;
	int			n;
	int			fields = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, NULL, &n);
	for (int i = 0; i < n; i++)
		fields |= outbox_field(TextDatumGetCString(names[i]));
	return fields;
}

static OutboxTarget
read_target(const char *name)
{
	const OutboxTargetInfo *info = outbox_target_info(name);

	if (info == NULL)
		elog(ERROR, "no target %s", name);
	return info->target;
}

static void
compile(OutboxQueue *queue)
{
	const char *error;
	const char *hint;

	queue->template = outbox_template_compile(queue->options, &error, &hint);
	if (queue->template == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", error), hint != NULL ? errhint("%s", hint) : 0));
}

static void
read_queue(HeapTupleHeader row, OutboxQueue *queue)
{
	char	   *key = TextDatumGetCString(member(row, "redis_key"));
	char	   *format = TextDatumGetCString(member(row, "format"));
	OutboxBytes utf8 = outbox_utf8_bytes(key, strlen(key));

	memset(queue, 0, sizeof(OutboxQueue));
	queue->target = read_target(TextDatumGetCString(member(row, "target")));
	queue->name = TextDatumGetCString(member(row, "name"));
	queue->redis_key = pnstrdup(utf8.data, utf8.len);
	queue->maxlen = DatumGetInt64(member(row, "maxlen"));
	queue->format = strcmp(format, "raw") == 0 ? OUTBOX_FORMAT_RAW : OUTBOX_FORMAT_JSON;
	queue->options = varlena_member(row, "options");
	queue->consumer_retry = DatumGetBool(member(row, "consumer_retry"));
	queue->fields = read_fields(member(row, "fields"));
}

static void
read_message(HeapTupleHeader row, OutboxMessage *msg)
{
	memset(msg, 0, sizeof(OutboxMessage));
	msg->id = *DatumGetUUIDP(member(row, "id"));
	msg->kind = DatumGetChar(member(row, "kind"));
	msg->attempts = DatumGetInt32(member(row, "attempts"));
	msg->payload = varlena_member(row, "payload");
	msg->type = varlena_member(row, "type");
	msg->key = varlena_member(row, "key");
	msg->headers = varlena_member(row, "headers");
	msg->options = varlena_member(row, "options");
	msg->history = varlena_member(row, "history");
	msg->enqueued_at = DatumGetTimestampTz(member(row, "enqueued_at"));
}

/*
 * The arguments as the script gets them.
 */
static Datum
make_array(const OutboxArgs *args)
{
	int			count;
	OutboxBytes *decoded = decode_resp(args->data.data, args->data.len, &count);
	Datum	   *values = palloc((count + 1) * sizeof(Datum));

	if (count != args->count)
		elog(ERROR, "%d arguments were announced and %d are there", args->count, count);
	for (int i = 0; i < count; i++)
		values[i] = PointerGetDatum(cstring_to_text_with_len(decoded[i].data,
															 decoded[i].len));
	return PointerGetDatum(construct_array(values, count, BYTEAOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * encode_messages(queue, now, alone, messages[])
 */
Datum
encode_messages(PG_FUNCTION_ARGS)
{
	ArrayType  *messages = PG_GETARG_ARRAYTYPE_P(3);
	OutboxArgs	args = {.now = PG_GETARG_TIMESTAMPTZ(1)};
	OutboxQueue queue;
	Datum	   *rows;
	int			nrows;

	read_queue(PG_GETARG_HEAPTUPLEHEADER(0), &queue);
	if (queue.target == OUTBOX_TARGET_COMMANDS)
		compile(&queue);
	deconstruct_array(messages, ARR_ELEMTYPE(messages), -1, false, TYPALIGN_DOUBLE,
					  &rows, NULL, &nrows);
	initStringInfo(&args.data);
	for (int i = 0; i < nrows; i++)
	{
		OutboxMessage msg;

		read_message(DatumGetHeapTupleHeader(rows[i]), &msg);
		if (PG_GETARG_BOOL(2))
			outbox_target_encode_alone(&args, &queue, &msg);
		else
			outbox_target_encode(&args, &queue, &msg);
	}
	PG_RETURN_DATUM(make_array(&args));
}

/*
 * encode_branch(queue): the script's branch
 */
Datum
encode_branch(PG_FUNCTION_ARGS)
{
	OutboxQueue queue;

	read_queue(PG_GETARG_HEAPTUPLEHEADER(0), &queue);
	PG_RETURN_TEXT_P(cstring_to_text(outbox_target_branch(&queue)));
}

/*
 * encode_message_options(queue, message, due): what the message is staged with
 */
Datum
encode_message_options(PG_FUNCTION_ARGS)
{
	OutboxQueue queue;
	OutboxMessage msg;
	struct varlena *staged;

	read_queue(PG_GETARG_HEAPTUPLEHEADER(0), &queue);
	read_message(PG_GETARG_HEAPTUPLEHEADER(1), &msg);
	staged = outbox_message_options(&queue, &msg, msg.options,
									PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2));
	if (staged == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(staged);
}

/*
 * encode_check_options(target, options)
 */
Datum
encode_check_options(PG_FUNCTION_ARGS)
{
	outbox_check_queue_options(read_target(text_to_cstring(PG_GETARG_TEXT_PP(0))),
							   PG_ARGISNULL(1) ? NULL :
							   (struct varlena *) PG_GETARG_JSONB_P(1));
	PG_RETURN_VOID();
}

/*
 * encode_snapshot(xmax, xip[]): what the relay makes of a snapshot that lists
 * these transactions, as the cursor has it; and whether it can read that again
 */
Datum
encode_snapshot(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	SnapshotData snapshot = {.snapshot_type = SNAPSHOT_MVCC};
	StringInfoData text;
	OutboxPosition position;
	OutboxSnap *snap;
	XLogRecPtr	lsn;
	Datum	   *xids;
	int			n;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &xids, NULL, &n);
	snapshot.xmax = (TransactionId) PG_GETARG_INT64(0);
	snapshot.xmin = n > 0 ? (TransactionId) DatumGetInt64(xids[0]) : snapshot.xmax;
	snapshot.xip = palloc((n + 1) * sizeof(TransactionId));
	snapshot.xcnt = n;
	for (int i = 0; i < n; i++)
		snapshot.xip[i] = (TransactionId) DatumGetInt64(xids[i]);

	PushActiveSnapshot(&snapshot);
	snap = outbox_take_snapshot(&lsn);
	PopActiveSnapshot();

	initStringInfo(&text);
	outbox_position_print(&text, 1, snap, snap, "0.1");
	if (!outbox_position_parse(text.data, "0", &position))
		elog(ERROR, "%s can not be read again", text.data);
	resetStringInfo(&text);
	outbox_snap_print(&text, position.cur);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

/*
 * partition_of(partitions, key, seq): which one, and the checksum, a : between them
 */
Datum
partition_of(PG_FUNCTION_ARGS)
{
	OutboxQueue queue = {.partitions = PG_GETARG_INT32(0)};
	char		digits[OUTBOX_UINT64_SIZE];
	OutboxBytes bytes;
	int			n;

	if (PG_ARGISNULL(1))
	{
		bytes.data = digits;
		bytes.len = outbox_uint64_text((uint64) PG_GETARG_INT64(2), digits);
		n = outbox_partition_of_seq(&queue, (uint64) PG_GETARG_INT64(2));
	}
	else
	{
		bytes = outbox_text_bytes(PG_GETARG_VARLENA_PP(1));
		n = outbox_partition_of_key(&queue, PG_GETARG_VARLENA_PP(1));
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d:%d", n,
											  outbox_crc16(bytes.data, bytes.len))));
}

/*
 * partition_key(redis_key, partitions, partition): its name in Redis and its slot
 */
Datum
partition_key(PG_FUNCTION_ARGS)
{
	OutboxQueue queue = {
		.redis_key = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.partitions = PG_GETARG_INT32(1)
	};
	OutboxQueue *partition = outbox_make_partition(&queue, PG_GETARG_INT32(2));

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s %d", partition->redis_key,
											  outbox_slot_of(partition->redis_key))));
}
