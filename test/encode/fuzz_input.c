/*-------------------------------------------------------------------------
 *
 * fuzz_input.c
 *	  What the fuzzer says, as queues, messages and text.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Text is made twice, in the server's encoding and in UTF-8, so that what is
 * expected owes nothing to a conversion.  Lengths and numbers are often those at
 * which an encoding changes.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define MAX_HEADERS		300

OutboxQueue queue;
Text		queue_name;
Text		redis_key;
OutboxArgs	args;

uint64
take(Input *in, int bytes)
{
	uint64		n = 0;

	while (bytes-- > 0)
		n = n << 8 | (in->at < in->end ? *in->at++ : 0);
	return n;
}

bool
take_bool(Input *in)
{
	return take(in, 1) & 1;
}

/*
 * A number from 0 to max, often one at which something changes.
 */
int64
take_number(Input *in, int64 max)
{
	static const int64 edges[] = {
		0, 1, 24, 25, 26, 127, 128, 1800, 16383, 16384, 2097151, 2097152,
		268435455, 268435456, PG_INT32_MAX, INT64CONST(2147483648),
		INT64CONST(34359738367), INT64CONST(34359738368)
	};
	int			how = take(in, 1);
	int64		n = how < lengthof(edges) ? edges[how] :
		how < 64 ? max - (how & 3) : (int64) (take(in, how < 160 ? 2 : 5));

	return Max(0, Min(n, max));
}

static size_t
take_length(Input *in)
{
	static const int edges[] = {
		15, 16, 17, 31, 32, 33, 127, 128, 255, 256, 257, 16383, 16384, 65535, 65536
	};
	int			n = take(in, 1);

	return n < 240 ? n % 24 : edges[n - 240 < lengthof(edges) ? n - 240 : 0];
}

static void
append_utf8(StringInfo out, uint32 c)
{
	unsigned char buf[4];

	unicode_to_utf8(c, buf);
	appendBinaryStringInfo(out, (char *) buf, pg_utf_mblen(buf));
}

/*
 * A character that the server's encoding has: no zero, no half of one.
 */
void
append_character(Text *text, Input *in)
{
	uint32		c = take(in, 1);

	if (c == 0)
		c = 'x';
	if (c >= 0x80 && GetDatabaseEncoding() == PG_UTF8)
	{
		c = (c & 0x7f) << 8 | take(in, 1);
		c = c < 0x4000 ? c + 0x80 : 0x10000 + (c - 0x4000) * 64;
		append_utf8(&text->server, c);
	}
	else
		appendStringInfoChar(&text->server, (char) c);
	append_utf8(&text->utf8, c);
}

void
append_text(Text *text, const char *ascii)
{
	appendStringInfoString(&text->server, ascii);
	appendStringInfoString(&text->utf8, ascii);
}

void
init_text(Text *text)
{
	initStringInfo(&text->server);
	initStringInfo(&text->utf8);
}

/* text with just so many bytes in UTF-8, or up to three more */
Text
take_text(Input *in, const char *prefix)
{
	size_t		length = take_length(in);
	Text		text;

	init_text(&text);
	append_text(&text, prefix);
	while (text.utf8.len < length && in->at < in->end)
		append_character(&text, in);
	while (text.utf8.len < length)
		append_text(&text, "y");
	return text;
}

void
append_json(StringInfo out, const StringInfoData *s)
{
	appendStringInfoChar(out, '"');
	for (int i = 0; i < s->len; i++)
	{
		unsigned char c = s->data[i];

		if (c < 0x20 || c == '"' || c == '\\')
			appendStringInfo(out, "\\u%04x", c);
		else
			appendStringInfoChar(out, c);
	}
	appendStringInfoChar(out, '"');
}

Jsonb *
parse_json(char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

struct varlena *
make_jsonb(Input *in, char *text)
{
	Jsonb	   *jsonb = parse_json(text);

	return make_value(in, VARDATA(jsonb), VARSIZE(jsonb) - VARHDRSZ);
}

/*
 * Headers; of those of one name the last one is kept.
 */
static void
take_headers(Input *in, Model *m)
{
	static const int edges[] = {15, 16, 17, 31, 32, 255, 256, MAX_HEADERS};
	int			n = take(in, 1);
	StringInfoData json;

	n = n < 248 ? n % 6 : edges[n - 248];
	m->headers = palloc((n + 1) * sizeof(Header));
	initStringInfo(&json);
	for (int i = 0; i < n; i++)
	{
		Header		header;
		int			j = 0;

		header.name = take_text(in, "");
		if (n > 6)
			append_text(&header.name, psprintf("%d", i));
		header.value = take_text(in, "");
		appendStringInfoChar(&json, i == 0 ? '{' : ',');
		append_json(&json, &header.name.server);
		appendStringInfoChar(&json, ':');
		append_json(&json, &header.value.server);
		while (j < m->nheaders && strcmp(m->headers[j].name.utf8.data,
										 header.name.utf8.data) != 0)
			j++;
		m->headers[j] = header;
		m->nheaders = Max(m->nheaders, j + 1);
	}
	appendStringInfoString(&json, n == 0 ? "{}" : "}");
	m->msg.headers = make_jsonb(in, json.data);
}

static void
take_payload(Input *in, Model *m)
{
	size_t		len = take_length(in);
	StringInfoData bytes;
	Text		text;

	initStringInfo(&bytes);
	switch (take(in, 1) % 3)
	{
		case 0:
			m->msg.kind = OUTBOX_PAYLOAD_BYTEA;
			for (size_t i = 0; i < len; i++)
				appendStringInfoChar(&bytes, (char) take(in, 1));
			break;
		case 1:
			m->msg.kind = OUTBOX_PAYLOAD_TEXT;
			text = take_text(in, "");
			bytes = text.utf8;
			break;
		default:
			m->msg.kind = OUTBOX_PAYLOAD_JSON;
			text = take_text(in, "");
			append_json(&bytes, &text.utf8);
			break;
	}
	m->payload = (OutboxBytes) {bytes.data, bytes.len};
	m->msg.payload = make_value(in, bytes.data, bytes.len);
}

Model *
take_message(Input *in)
{
	Model	   *m = palloc0(sizeof(Model));
	int			parts = take(in, 1);
	char	   *id = m->id;

	for (int i = 0; i < UUID_LEN; i++)
	{
		m->msg.id.data[i] = take(in, 1);
		id += sprintf(id, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					  m->msg.id.data[i]);
	}
	m->msg.attempts = take(in, 2) & 0x7fff;
	m->msg.enqueued_at = args.now - m->msg.attempts * INT64CONST(1000003);
	take_payload(in, m);
	init_text(&m->type);
	init_text(&m->key);
	if (parts & 1)
	{
		m->type = take_text(in, "");
		m->msg.type = make_value(in, m->type.server.data, m->type.server.len);
	}
	if (parts & 2)
	{
		m->key = take_text(in, "");
		m->msg.key = make_value(in, m->key.server.data, m->key.server.len);
	}
	if (parts & 4)
		take_headers(in, m);
	return m;
}

void
take_queue(Input *in, OutboxTarget target)
{
	memset(&queue, 0, sizeof(queue));
	memset(&args, 0, sizeof(args));
	initStringInfo(&args.data);
	args.now = take(in, 7) % INT64CONST(6300000000000000);
	queue.target = target;
	queue_name = take_text(in, "q");
	redis_key = take_text(in, "r");
	queue.name = queue_name.server.data;
	queue.redis_key = redis_key.utf8.data;
}

void
append_stringinfo(StringInfo out, const StringInfoData *s)
{
	appendBinaryStringInfo(out, s->data, s->len);
}
