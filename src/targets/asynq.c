/*-------------------------------------------------------------------------
 *
 * asynq.c
 *	  A message as a task of asynq.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * These are the keys that the client of asynq 0.26 writes for a queue Q; workers
 * from 0.22 on understand them (groups from 0.23, headers from 0.26):
 *
 *		asynq:{Q}:t:<id>		hash: msg, state and, by state, pending_since,
 *								group, unique_key
 *		asynq:{Q}:pending		list of ids, pushed left
 *		asynq:{Q}:scheduled		sorted set of ids by the time at which they are due
 *		asynq:{Q}:g:<group>		sorted set of ids by the time of their arrival
 *		asynq:{Q}:groups		set of groups
 *		<the lock's name>		the id, until a unique task is done
 *
 * The script gets for each message its state, id, msg and a time, which depends
 * on the state: pending since, in nanoseconds; or scheduled for, or arrived in
 * its group at, in seconds.  Then, if they are needed, the group, the lock's
 * name and the seconds that the lock lives.
 *
 * msg is protocol buffers, asynq.TaskMessage; fields with the default value
 * are left out (https://protobuf.dev/programming-guides/encoding/):
 *
 *		1 type, 2 payload, 3 id, 4 queue: strings
 *		5 maximum of retries, 8 timeout in seconds, 9 deadline in seconds since
 *			1970, 12 retention in seconds: integers
 *		10 name of the lock, 14 group: strings
 *		15 headers: messages of 1 name and 2 value
 *
 * A task that is due later is scheduled, whatever its group, as in asynq.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/asynq.h"

#include "convert.h"
#include "targets/task_options.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* the type of a field's value, in the bits below its number */
#define WIRE_VARINT	0
#define WIRE_BYTES	2

static void
append_varint(StringInfo out, uint64 n)
{
	for (; n >= 0x80; n >>= 7)
		appendStringInfoChar(out, (char) (0x80 | (n & 0x7f)));
	appendStringInfoChar(out, (char) n);
}

static void
append_integer(StringInfo out, int field, int64 n)
{
	if (n == 0)
		return;
	append_varint(out, field << 3 | WIRE_VARINT);
	append_varint(out, (uint64) n);
}

/* an element of a map is written even if it is empty */
static void
append_element(StringInfo out, int field, OutboxBytes bytes)
{
	append_varint(out, field << 3 | WIRE_BYTES);
	append_varint(out, bytes.len);
	appendBinaryStringInfo(out, bytes.data, bytes.len);
}

static void
append_bytes(StringInfo out, int field, OutboxBytes bytes)
{
	if (bytes.len > 0)
		append_element(out, field, bytes);
}

static void
append_headers(StringInfo out, int field, const OutboxMessage *msg)
{
	Jsonb	   *headers = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	OutboxBytes name;
	OutboxBytes value;
	StringInfoData entry;

	initStringInfo(&entry);
	while (outbox_next_header(&it, &name, &value))
	{
		resetStringInfo(&entry);
		append_element(&entry, 1, name);
		append_element(&entry, 2, value);
		append_element(out, field, (OutboxBytes) {entry.data, entry.len});
	}
	pfree(entry.data);
}

static OutboxBytes
lock_name(const OutboxQueue *queue, OutboxBytes type, OutboxBytes key)
{
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfo(&name, "asynq:{%s}:unique:", queue->redis_key);
	appendBinaryStringInfo(&name, type.data, type.len);
	appendStringInfoChar(&name, ':');
	appendBinaryStringInfo(&name, key.data, key.len);
	return (OutboxBytes) {name.data, name.len};
}

static void
append_task(StringInfo out, const OutboxQueue *queue, const OutboxMessage *msg,
			OutboxBytes id, const OutboxTaskOptions *task, OutboxBytes type,
			OutboxBytes lock, OutboxBytes group)
{
	append_bytes(out, 1, type);
	append_bytes(out, 2, (OutboxBytes) {VARDATA_ANY(msg->payload),
										VARSIZE_ANY_EXHDR(msg->payload)});
	append_bytes(out, 3, id);
	append_bytes(out, 4, (OutboxBytes) {queue->redis_key, strlen(queue->redis_key)});
	append_integer(out, 5, task->max_retry);
	append_integer(out, 8, task->timeout);
	append_integer(out, 9, task->deadline);
	append_bytes(out, 10, lock);
	append_integer(out, 12, task->retention);
	append_bytes(out, 14, group);
	if (msg->headers != NULL)
		append_headers(out, 15, msg);
}

void
outbox_encode_asynq(OutboxArgs *args, const OutboxQueue *queue,
					const OutboxMessage *msg)
{
	int64		now = outbox_unix_us(args->now);
	int64		now_s = now / USECS_PER_SEC;
	OutboxTaskOptions task;
	OutboxBytes type = {"", 0};
	OutboxBytes group;
	OutboxBytes lock = {"", 0};
	char		uuid[OUTBOX_UUID_TEXT_LEN + 1];
	OutboxBytes id;
	const char *state;
	StringInfoData encoded;

	if (msg->type != NULL)
		type = outbox_text_bytes(msg->type);
	outbox_read_task_options(msg->options, &task);
	group = outbox_utf8_bytes(task.group.data, task.group.len);
	if (task.unique_ttl > 0)
		lock = lock_name(queue, type, outbox_utf8_bytes(task.unique_key.data,
														task.unique_key.len));
	outbox_uuid_text(&msg->id, uuid);
	id = task.message_id.len == 0 ? (OutboxBytes) {uuid, OUTBOX_UUID_TEXT_LEN} :
		outbox_utf8_bytes(task.message_id.data, task.message_id.len);
	initStringInfo(&encoded);
	append_task(&encoded, queue, msg, id, &task, type, lock, group);
	state = task.process_at > now_s ? "scheduled" :
		group.len > 0 ? "aggregating" : "pending";

	outbox_add_arg(args, state, strlen(state));
	outbox_add_arg(args, id.data, id.len);
	outbox_add_arg(args, encoded.data, encoded.len);
	if (state[0] == 'p')
		outbox_add_number(args, now * 1000);
	else
		outbox_add_number(args, state[0] == 's' ? task.process_at : now_s);
	if (group.len == 0 && lock.len == 0)
		return;
	outbox_add_arg(args, group.data, group.len);
	if (lock.len == 0)
		return;
	outbox_add_arg(args, lock.data, lock.len);
	outbox_add_number(args, task.unique_ttl + Max(task.process_at - now_s, 0));
}
