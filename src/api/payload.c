/*-------------------------------------------------------------------------
 *
 * payload.c
 *	  A payload as it was given, as the bytes that Redis gets.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What a driver sends for a value depends on the driver and on its mode: JSON
 * comes as jsonb, as json, as text or as bytea, and bytes come as bytea, or as
 * text in bytea's hexadecimal form.  So a queue says what its payloads are, and
 * what arrives for the same document is the same:
 *
 *		queue	jsonb	json	text				bytea
 *		json	printed	checked	checked				checked
 *		text	printed	as is	as is, not \x<hex>	refused
 *		bytea	printed	as is	its UTF-8, or \x<hex>	as is
 *
 * Checked means that it is one JSON value, to the byte what is sent then: white
 * space, the order of members, members that come twice and the digits of numbers
 * are the caller's.  In a queue of json, too, text that begins with \x is the
 * hexadecimal form of bytes.  A text that a JSON document never is, and a person
 * never means, is thereby never taken for one.
 *
 * A driver that caches a statement by its text alone (SQLx of Rust) sends what it
 * is given next in binary format as the type that it was given first.  If that
 * was text, jsonb arrives as text: its version, which is a byte 1, and JSON.  A
 * boolean is such a byte alone.  That is refused; numbers and arrays have zeros
 * in them, and text hasn't.
 *
 * Messages say where JSON is wrong, and not what is there: they get into the
 * server's log.
 *
 *-------------------------------------------------------------------------
 */
#include "api/payload.h"

#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "convert.h"
#include "mb/pg_wchar.h"
#include "targets/json_text.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

static inline void
append_two(StringInfo buf, char a, char b)
{
	appendStringInfoCharMacro(buf, a);
	appendStringInfoCharMacro(buf, b);
}

static void
append_scalar(StringInfo buf, const JsonbValue *v)
{
	OutboxBytes string;
	Datum		number;

	switch (v->type)
	{
		case jbvNull:
			appendStringInfoString(buf, "null");
			break;
		case jbvBool:
			appendStringInfoString(buf, v->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			number = NumericGetDatum(v->val.numeric);
			appendStringInfoString(buf, DatumGetCString(DirectFunctionCall1(numeric_out, number)));
			break;
		case jbvString:
			string = (OutboxBytes) {v->val.string.val, v->val.string.len};
			outbox_append_json_string(buf, string);
			break;
		default:
			elog(ERROR, "unknown jsonb scalar type");
	}
}

/*
 * Append what jsonb's output function prints.
 */
static void
append_jsonb(StringInfo buf, JsonbContainer *root)
{
	JsonbIterator *it = JsonbIteratorInit(root);
	bool		is_scalar = JsonContainerIsScalar(root);
	bool		first = true;
	JsonbIteratorToken token;
	JsonbValue	v;

	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		bool		begins = token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT;
		bool		ends = token == WJB_END_ARRAY || token == WJB_END_OBJECT;

		if (is_scalar && (begins || ends))
			continue;
		if (!first && !ends)
			append_two(buf, ',', ' ');
		if (token == WJB_BEGIN_ARRAY)
			appendStringInfoCharMacro(buf, '[');
		else if (token == WJB_BEGIN_OBJECT)
			appendStringInfoCharMacro(buf, '{');
		else if (token == WJB_END_ARRAY)
			appendStringInfoCharMacro(buf, ']');
		else if (token == WJB_END_OBJECT)
			appendStringInfoCharMacro(buf, '}');
		else
			append_scalar(buf, &v);
		if (token == WJB_KEY)
			append_two(buf, ':', ' ');
		first = begins || token == WJB_KEY;
	}
}

/*
 * JsonbToCString() prints the same.  It escapes strings character by character,
 * which is most of what it costs.
 */
static struct varlena *
print_jsonb(Jsonb *jsonb)
{
	StringInfoData buf;

	initStringInfo(&buf);
	enlargeStringInfo(&buf, VARHDRSZ + VARSIZE(jsonb));
	buf.len = VARHDRSZ;
	append_jsonb(&buf, &jsonb->root);
	SET_VARSIZE(buf.data, buf.len);
	return outbox_text_to_utf8((struct varlena *) buf.data);
}

/*
 * Is this the hexadecimal form of bytes, or meant to be?
 */
static bool
is_hex_form(const struct varlena *text)
{
	return VARSIZE_ANY_EXHDR(text) >= 2 && memcmp(VARDATA_ANY(text), "\\x", 2) == 0;
}

/*
 * Returns the bytes of a hexadecimal form, or NULL if it is none.
 */
static struct varlena *
decode_hex(const struct varlena *text)
{
	const char *hex = VARDATA_ANY(text) + 2;
	size_t		digits = VARSIZE_ANY_EXHDR(text) - 2;
	struct varlena *bytes;

	if (digits % 2 != 0)
		return NULL;
	bytes = palloc(VARHDRSZ + digits / 2);
	SET_VARSIZE(bytes, VARHDRSZ + digits / 2);
	for (size_t i = 0; i < digits; i += 2)
	{
		int			high = outbox_hex_digit(hex[i]);
		int			low = outbox_hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return NULL;
		VARDATA(bytes)[i / 2] = (char) (high << 4 | low);
	}
	return bytes;
}

static struct varlena *
decode_hex_or_error(const OutboxQueue *queue, const struct varlena *text)
{
	struct varlena *bytes = decode_hex(text);
	bool		is_json = queue->payload_type == OUTBOX_PAYLOAD_JSON;

	if (bytes == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("payload begins with \\x and is not hexadecimal"),
				 errdetail("Queue \"%s\" has payloads of type %s, and text that begins with \\x stands for bytes there.",
						   queue->name,
						   is_json ? "json" : "bytea"),
				 is_json ? errhint("Send a document as jsonb, json, text or bytea.") :
				 errhint("For the text itself, cast it: convert_to(..., 'UTF8').")));
	return bytes;
}

static void
not_json(const OutboxQueue *queue, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("payload is not valid JSON"),
			 errdetail("Queue \"%s\" has payloads of type json. %s", queue->name, detail),
			 errhint("For a JSON string use to_jsonb(...::text); a queue for other payloads has the setting \"payload_type\" text or bytea.")));
}

/*
 * An error unless the bytes are one JSON value in UTF-8.
 */
static void
check_json(const OutboxQueue *queue, const struct varlena *bytes)
{
	char	   *data = VARDATA_ANY(bytes);
	int			len = VARSIZE_ANY_EXHDR(bytes);
	JsonLexContext *lex;

	if (!pg_verify_mbstr(PG_UTF8, data, len, true))
		not_json(queue, "The bytes are no text in UTF-8.");
	lex = outbox_json_lex(data, len);
	if (pg_parse_json(lex, &nullSemAction) != JSON_SUCCESS)
		not_json(queue, psprintf("What begins at byte %d is wrong.",
								 (int) ((lex->token_start != NULL ? lex->token_start : data + len) -
										data) + 1));
	outbox_json_lex_free(lex);
}

/*
 * An error if text is the binary format of jsonb, or of true.
 */
static void
check_not_binary(const OutboxQueue *queue, const struct varlena *text)
{
	const char *data = VARDATA_ANY(text);
	int			len = VARSIZE_ANY_EXHDR(text);
	JsonLexContext *lex;

	if (len == 0 || data[0] != 1)
		return;
	lex = outbox_json_lex((char *) data + 1, len - 1);
	if (len == 1 || pg_parse_json(lex, &nullSemAction) == JSON_SUCCESS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload is the binary format of another type"),
				 errdetail("Queue \"%s\" got text, and it is what jsonb or boolean look like in a driver's binary format.",
						   queue->name),
				 errhint("Cast the parameter to its type, so that each type has its own statement.")));
	outbox_json_lex_free(lex);
}

static struct varlena *
json_bytes(const OutboxQueue *queue, Oid type, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	if (type == TEXTOID && is_hex_form(bytes))
		bytes = decode_hex_or_error(queue, bytes);
	else if (type != BYTEAOID)
		bytes = outbox_text_to_utf8(bytes);
	check_json(queue, bytes);
	return bytes;
}

static struct varlena *
text_bytes(const OutboxQueue *queue, Oid type, Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	if (type == BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload is bytea"),
				 errdetail("Queue \"%s\" has payloads of type text.", queue->name),
				 errhint("Cast it: convert_from(..., 'UTF8'); a queue for bytes has the setting \"payload_type\" bytea.")));
	if (type == TEXTOID && is_hex_form(text) && decode_hex(text) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload is the hexadecimal form of bytes"),
				 errdetail("Queue \"%s\" has payloads of type text, and drivers send bytes as text like this.",
						   queue->name),
				 errhint("Send text; a queue for bytes has the setting \"payload_type\" bytea.")));
	text = outbox_text_to_utf8(text);
	if (type == TEXTOID)
		check_not_binary(queue, text);
	return text;
}

static struct varlena *
bytea_bytes(const OutboxQueue *queue, Oid type, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	if (type == BYTEAOID)
		return bytes;
	if (type == TEXTOID && is_hex_form(bytes))
		return decode_hex_or_error(queue, bytes);
	bytes = outbox_text_to_utf8(bytes);
	if (type == TEXTOID)
		check_not_binary(queue, bytes);
	return bytes;
}

struct varlena *
outbox_payload_bytes(const OutboxQueue *queue, Oid type, Datum value)
{
	if (type == JSONBOID)
		return print_jsonb(DatumGetJsonbP(value));
	switch (queue->payload_type)
	{
		case OUTBOX_PAYLOAD_JSON:
			return json_bytes(queue, type, value);
		case OUTBOX_PAYLOAD_TEXT:
			return text_bytes(queue, type, value);
		default:
			return bytea_bytes(queue, type, value);
	}
}

struct varlena *
outbox_payload_of_element(const OutboxQueue *queue, JsonbValue *element)
{
	if (element->type == jbvNull && queue->payload_type != OUTBOX_PAYLOAD_JSON)
		return NULL;
	if (element->type == jbvString && queue->payload_type != OUTBOX_PAYLOAD_JSON)
	{
		text	   *t = cstring_to_text_with_len(element->val.string.val,
												 element->val.string.len);

		return outbox_payload_bytes(queue, TEXTOID, PointerGetDatum(t));
	}
	return print_jsonb(JsonbValueToJsonb(element));
}
