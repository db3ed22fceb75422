/*-------------------------------------------------------------------------
 *
 * entry.c
 *	  An entry that a consumer has added to one of its streams.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A consumer adds the fields of the entry that it read, and a field "error",
 * see targets/stream.c.  Every client that may write to the stream may have
 * written anything, so no content raises an error here, and all is checked that
 * outbox_enqueue() checks.
 *
 * Fields with other names are ignored: consumers may add some for themselves.
 * If a field occurs more than once, the last one counts, as an entry that was
 * returned before has an older error already.
 *
 * If "attempt" is not a positive number it is ignored: outbox.returned has the
 * number, too.  Every other fault is described in "fault".  Then the message
 * has the fields that could be read, and a new id if its own is not a UUID.  If
 * it has too many headers it gets none, as they might be more than jsonb can
 * hold.  Without a payload, or if the payload is larger than any that can be
 * enqueued, there is no message.
 *
 * What the queue's payload type was when the message was enqueued is not known any
 * more; the payload becomes text if it can.
 *
 * Only the first bytes of the consumer's error are kept.  It may quote the
 * payload, so it is shown only where payloads may be shown.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/consumers/entry.h"

#include <limits.h>

#include "catalog/namespace.h"
#include "convert.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "redis/errors.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* the most of an error that is kept, in bytes */
#define ERROR_BYTES		1000

/* no message is larger, whatever the setting is (guc.c) */
#define LARGEST_MESSAGE	(64 * 1024 * 1024)

/* as many headers as outbox_enqueue() takes */
#define MAX_HEADERS		1000

/*
 * Bytes from Redis as text in the server's encoding.  NULL if they are not
 * UTF-8, or have a zero byte or a character that the encoding does not have.
 */
static char *
server_text(OutboxBytes utf8)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc;
	char	   *text;
	Size		size;

	if (!pg_verify_mbstr(PG_UTF8, utf8.data, (int) utf8.len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(utf8.data, utf8.len);

	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return NULL;
	size = utf8.len * MAX_CONVERSION_GROWTH + 1;
	text = palloc_extended(size, MCXT_ALLOC_HUGE);
	if (pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
									  (unsigned char *) unconstify(char *, utf8.data),
									  (int) utf8.len, (unsigned char *) text,
									  (int) Min(size, INT_MAX), true) != (int) utf8.len)
		return NULL;
	return text;
}

static OutboxBytes
element_bytes(const OutboxReply *array, size_t n)
{
	const OutboxReply *reply = outbox_reply_element(array, n);

	return (OutboxBytes) {outbox_reply_string(reply), outbox_reply_size(reply)};
}

static bool
is_name(OutboxBytes bytes, const char *name)
{
	return bytes.len == strlen(name) && memcmp(bytes.data, name, bytes.len) == 0;
}

/*
 * A UUID in its usual form, as we have sent it.
 */
static bool
parse_id(OutboxBytes bytes, pg_uuid_t *id)
{
	int			n = 0;

	if (bytes.len != OUTBOX_UUID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < bytes.len; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (bytes.data[i] != '-')
				return false;
			continue;
		}
		if (outbox_hex_digit(bytes.data[i]) < 0)
			return false;
		if (n % 2 == 0)
			id->data[n / 2] = 0;
		id->data[n / 2] = id->data[n / 2] << 4 | outbox_hex_digit(bytes.data[i]);
		n++;
	}
	return true;
}

static int
parse_attempt(OutboxBytes bytes)
{
	int			attempt = 0;

	if (bytes.len > 5)
		return 0;
	for (size_t i = 0; i < bytes.len; i++)
	{
		if (bytes.data[i] < '0' || bytes.data[i] > '9')
			return 0;
		attempt = attempt * 10 + bytes.data[i] - '0';
	}
	return attempt <= PG_INT16_MAX ? attempt : 0;
}

/*
 * So much of an error as is kept.
 */
static char *
parse_error(OutboxBytes bytes)
{
	char	   *text;

	bytes.len = pg_encoding_mbcliplen(PG_UTF8, bytes.data,
									  (int) Min(bytes.len, INT_MAX), ERROR_BYTES);
	text = server_text(bytes);
	if (text == NULL)
	{
		char	   *raw = pnstrdup(bytes.data, bytes.len);

		text = palloc(bytes.len + 1);
		outbox_clean_error(text, raw, bytes.len + 1);
	}
	return text;
}

static struct varlena *
parse_text(OutboxBytes bytes, const char *what, ConsumerEntry *entry)
{
	char	   *text = server_text(bytes);

	if (text == NULL)
	{
		entry->fault = what;
		return NULL;
	}
	return (struct varlena *) cstring_to_text(text);
}

/*
 * Add a header to an object that is being written.
 */
static void
add_header(StringInfo json, OutboxBytes name, OutboxBytes value,
		   ConsumerEntry *entry)
{
	char	   *name_text = server_text((OutboxBytes) {name.data + 2, name.len - 2});
	char	   *value_text = server_text(value);

	if (name_text == NULL || value_text == NULL)
	{
		entry->fault = "a header is not UTF-8 text";
		return;
	}
	appendStringInfoString(json, json->len == 0 ? "{" : ", ");
	escape_json(json, name_text);
	appendStringInfoString(json, ": ");
	escape_json(json, value_text);
}

static void
set_payload(ConsumerEntry *entry, OutboxBytes bytes)
{
	OutboxMessage *msg = &entry->msg;

	msg->kind = server_text(bytes) != NULL ? OUTBOX_PAYLOAD_TEXT : OUTBOX_PAYLOAD_BYTEA;
	msg->payload = (struct varlena *) cstring_to_text_with_len(bytes.data, (int) bytes.len);
}

static bool
is_header(OutboxBytes name)
{
	return name.len > 2 && memcmp(name.data, "h:", 2) == 0;
}

/*
 * What outbox_enqueue() limits: how many bytes there are, and headers.
 */
static size_t
measure(const OutboxReply *fields, int *headers)
{
	size_t		size = 0;

	*headers = 0;
	for (size_t i = 0; i + 1 < outbox_reply_length(fields); i += 2)
	{
		OutboxBytes name = element_bytes(fields, i);

		if (is_header(name))
		{
			size += name.len;
			++*headers;
		}
		else if (!is_name(name, "payload") && !is_name(name, "type") &&
				 !is_name(name, "key"))
			continue;
		size += element_bytes(fields, i + 1).len;
	}
	return size;
}

void
outbox_parse_entry(const OutboxReply *fields, ConsumerEntry *entry)
{
	OutboxMessage *msg = &entry->msg;
	StringInfoData headers;
	int			nheaders;
	size_t		size = measure(fields, &nheaders);
	bool		has_id = false;

	memset(entry, 0, sizeof(ConsumerEntry));
	entry->error = "";
	if (size > (size_t) outbox_max_message_size || nheaders > MAX_HEADERS)
		entry->fault = "it is too large";
	if (size > LARGEST_MESSAGE)
		return;

	initStringInfo(&headers);
	for (size_t i = 0; i + 1 < outbox_reply_length(fields); i += 2)
	{
		OutboxBytes name = element_bytes(fields, i);
		OutboxBytes value = element_bytes(fields, i + 1);

		if (is_name(name, "id"))
			has_id = parse_id(value, &msg->id);
		else if (is_name(name, "type"))
			msg->type = parse_text(value, "its type is not UTF-8 text", entry);
		else if (is_name(name, "key"))
			msg->key = parse_text(value, "its key is not UTF-8 text", entry);
		else if (is_name(name, "payload"))
			set_payload(entry, value);
		else if (is_name(name, "attempt"))
			entry->attempt = parse_attempt(value);
		else if (is_name(name, "error"))
			entry->error = parse_error(value);
		else if (is_header(name) && nheaders <= MAX_HEADERS)
			add_header(&headers, name, value, entry);
	}
	if (headers.len > 0)
	{
		appendStringInfoChar(&headers, '}');
		msg->headers = (struct varlena *)
			DatumGetPointer(DirectFunctionCall1(jsonb_in, CStringGetDatum(headers.data)));
	}
	if (!has_id)
	{
		entry->fault = "its id is not a UUID";
		msg->id = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	}
	if (msg->payload == NULL)
		entry->fault = "it has no payload";
}
