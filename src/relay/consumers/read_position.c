/*-------------------------------------------------------------------------
 *
 * read_position.c
 *	  How far the streams of consumers have been read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.consumer_position has a row for each queue and each Redis that the queue
 * was delivered to: ids of entries of one Redis say nothing about another one, and
 * who comes back to the first one goes on where it was.  Only the relay writes it,
 * in the transaction that records what was read.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/read_position.h"

#include "redis_server.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "store/query.h"
#include "utils/builtins.h"

bool
outbox_parse_entry_id(const char *text, EntryId *id)
{
	char	   *end;

	id->ms = strtoull(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	text = end + 1;
	id->n = strtoull(text, &end, 10);
	return end != text && *end == '\0';
}

char *
outbox_entry_id_text(EntryId id)
{
	return psprintf(UINT64_FORMAT "-" UINT64_FORMAT, id.ms, id.n);
}

bool
outbox_entry_is_before(EntryId a, EntryId b)
{
	return a.ms != b.ms ? a.ms < b.ms : a.n < b.n;
}

EntryId
outbox_next_entry_id(EntryId id)
{
	if (++id.n == 0)
		id.ms++;
	return id;
}

static OutboxParam
address_param(const RelayQueue *queue)
{
	return (OutboxParam) {
		"address", TEXTOID, CStringGetTextDatum(queue->link->server->address)
	};
}

bool
outbox_load_read_positions(const RelayQueue *queue, EntryId *read)
{
	static const StepLock locks[] = {{OUTBOX_REL_CONSUMER_POSITION, false}};
	OutboxParam params[3];
	uint64		n;

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	params[0] = (OutboxParam) {"queue", INT4OID, Int32GetDatum(queue->settings->id)};
	params[1] = (OutboxParam) {"key", TEXTOID, CStringGetTextDatum(queue->settings->redis_key)};
	params[2] = address_param(queue);
	n = outbox_query("SELECT retry_id, dead_id FROM outbox.consumer_position"
					 " WHERE queue = $queue AND redis_key = $key"
					 " AND address = $address",
					 params, lengthof(params));
	for (int i = 0; n > 0 && i < OUTBOX_CONSUMER_STREAMS; i++)
		(void) outbox_parse_entry_id(SPI_getvalue(SPI_tuptable->vals[0],
												  SPI_tuptable->tupdesc, i + 1),
									 &read[i]);
	SPI_finish();
	outbox_end_step();
	return true;
}

void
outbox_write_read_positions(const RelayQueue *queue, const EntryId *read)
{
	OutboxParam params[5];

	SPI_connect();
	params[0] = (OutboxParam) {"queue", INT4OID, Int32GetDatum(queue->settings->id)};
	params[1] = (OutboxParam) {"key", TEXTOID, CStringGetTextDatum(queue->settings->redis_key)};
	params[2] = (OutboxParam) {"retry", TEXTOID,
	CStringGetTextDatum(outbox_entry_id_text(read[STREAM_RETRY]))};
	params[3] = (OutboxParam) {"dead", TEXTOID,
	CStringGetTextDatum(outbox_entry_id_text(read[STREAM_DEAD]))};
	params[4] = address_param(queue);
	outbox_query("INSERT INTO outbox.consumer_position"
				 " (queue, address, redis_key, retry_id, dead_id)"
				 " VALUES ($queue, $address, $key, $retry, $dead)"
				 " ON CONFLICT (queue, address) DO UPDATE SET"
				 " redis_key = EXCLUDED.redis_key,"
				 " retry_id = EXCLUDED.retry_id, dead_id = EXCLUDED.dead_id",
				 params, lengthof(params));
	SPI_finish();
}
