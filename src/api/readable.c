/*-------------------------------------------------------------------------
 *
 * readable.c
 *	  Bytes that Redis gets, as people and tests read them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Redis gets UTF-8 and bytes of any kind, and a column of a view has one type.
 * So text is itself, and what is no text is in bytea's hexadecimal form, which a
 * cast to bytea reads:
 *
 *		as text		UTF-8 without control characters (but tab and line ends) that
 *					the database's encoding has, and that does not begin with \x
 *		as JSON		of a payload that was JSON when it was enqueued, itself; of
 *					one that was text, a JSON string
 *
 * The rules don't depend on chance: a message of asynq, which has control
 * characters always, is always hexadecimal.
 *
 * Somebody may have edited a row.  Whatever is there, the view goes on: what is
 * not what its kind says is a string in hexadecimal form.
 *
 *-------------------------------------------------------------------------
 */
#include "api/readable.h"

#include "catalog/namespace.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(outbox_readable_payload_sql);

/*
 * Returns text in the database's encoding, or NULL if the bytes are no text that
 * it has.
 */
static char *
to_server(OutboxBytes bytes)
{
	int			encoding = GetDatabaseEncoding();
	Size		size = (Size) bytes.len * MAX_CONVERSION_GROWTH + 1;
	Oid			convert;
	char	   *result;

	if (memchr(bytes.data, '\0', bytes.len) != NULL ||
		!pg_verify_mbstr(PG_UTF8, bytes.data, (int) bytes.len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(bytes.data, bytes.len);
	convert = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(convert) || size > MaxAllocSize)
		return NULL;
	result = palloc(size);
	if (pg_do_encoding_conversion_buf(convert, PG_UTF8, encoding,
									  (unsigned char *) unconstify(char *, bytes.data),
									  (int) bytes.len, (unsigned char *) result,
									  (int) size, true) != (int) bytes.len)
		return NULL;
	return result;
}

static char *
hex_form(OutboxBytes bytes)
{
	char	   *result = palloc(2 + 2 * bytes.len + 1);

	memcpy(result, "\\x", 2);
	(void) hex_encode(bytes.data, bytes.len, result + 2);
	result[2 + 2 * bytes.len] = '\0';
	return result;
}

static bool
has_control_characters(OutboxBytes bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
	{
		unsigned char c = bytes.data[i];

		if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return true;
	}
	return false;
}

struct varlena *
outbox_readable_text(OutboxBytes bytes)
{
	char	   *text = NULL;

	if (!(bytes.len >= 2 && memcmp(bytes.data, "\\x", 2) == 0) &&
		!has_control_characters(bytes))
		text = to_server(bytes);
	return cstring_to_text(text != NULL ? text : hex_form(bytes));
}

static struct varlena *
json_string(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	escape_json(&out, text);
	return cstring_to_text_with_len(out.data, out.len);
}

static bool
is_json(OutboxBytes bytes)
{
	JsonLexContext *lex = outbox_json_lex(unconstify(char *, bytes.data),
										  (int) bytes.len);
	bool		result = pg_parse_json(lex, &nullSemAction) == JSON_SUCCESS;

	outbox_json_lex_free(lex);
	return result;
}

struct varlena *
outbox_readable_payload(const OutboxMessage *msg)
{
	OutboxBytes bytes = {VARDATA_ANY(msg->payload), VARSIZE_ANY_EXHDR(msg->payload)};
	char	   *text = msg->kind == OUTBOX_PAYLOAD_BYTEA ? NULL : to_server(bytes);

	if (text == NULL)
		return json_string(hex_form(bytes));
	if (msg->kind != OUTBOX_PAYLOAD_JSON)
		return json_string(text);
	return is_json(bytes) ? cstring_to_text(text) : json_string(hex_form(bytes));
}

/*
 * outbox.readable_payload(payload, kind)
 */
Datum
outbox_readable_payload_sql(PG_FUNCTION_ARGS)
{
	OutboxMessage msg = {
		.payload = PG_GETARG_BYTEA_PP(0),
		.kind = PG_GETARG_CHAR(1)
	};

	PG_RETURN_POINTER(outbox_readable_payload(&msg));
}
