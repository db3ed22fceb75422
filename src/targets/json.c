/*-------------------------------------------------------------------------
 *
 * json.c
 *	  A message as one JSON object, for lists and channels.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		{"id":"...","type":"...","key":"...","payload":...,"headers":{...},
 *		 "enqueued_at":...,"queue":"..."}
 *
 * Absent members are left out.  A payload of type json is nested, one of type text
 * is a string, one of type bytea is base64 (RFC 4648, one line, padded) and called
 * "payload_base64".  Everything is UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/json.h"

#include "targets/json_text.h"

static void
append_member(StringInfo out, const char *name, OutboxBytes value)
{
	appendStringInfo(out, ",\"%s\":", name);
	outbox_append_json_string(out, value);
}

static void
append_payload(StringInfo out, const OutboxMessage *msg)
{
	OutboxBytes payload = {
		VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload)
	};

	switch (msg->kind)
	{
		case OUTBOX_PAYLOAD_JSON:
			appendStringInfoString(out, ",\"payload\":");
			appendBinaryStringInfo(out, payload.data, payload.len);
			break;
		case OUTBOX_PAYLOAD_TEXT:
			append_member(out, "payload", payload);
			break;
		default:
			appendStringInfoString(out, ",\"payload_base64\":\"");
			outbox_append_base64(out, payload);
			appendStringInfoChar(out, '"');
			break;
	}
}

void
outbox_encode_json(OutboxArgs *args, const OutboxQueue *queue,
				   const OutboxMessage *msg)
{
	StringInfoData out;
	char		id[OUTBOX_UUID_TEXT_LEN + 1];

	initStringInfo(&out);
	outbox_uuid_text(&msg->id, id);
	appendStringInfo(&out, "{\"id\":\"%s\"", id);
	if (msg->type != NULL)
		append_member(&out, "type", outbox_text_bytes(msg->type));
	if (msg->key != NULL)
		append_member(&out, "key", outbox_text_bytes(msg->key));
	append_payload(&out, msg);
	if (msg->headers != NULL)
	{
		OutboxBytes bytes = outbox_headers_json(msg);

		appendStringInfoString(&out, ",\"headers\":");
		appendBinaryStringInfo(&out, bytes.data, bytes.len);
	}
	if ((queue->fields & OUTBOX_FIELD_ENQUEUED_AT) != 0)
		appendStringInfo(&out, ",\"enqueued_at\":" INT64_FORMAT,
						 outbox_unix_us(msg->enqueued_at) / 1000);
	if ((queue->fields & OUTBOX_FIELD_QUEUE) != 0)
		append_member(&out, "queue", outbox_utf8_bytes(queue->name, strlen(queue->name)));
	appendStringInfoChar(&out, '}');
	outbox_add_arg(args, out.data, out.len);
}
