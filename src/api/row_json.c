/*-------------------------------------------------------------------------
 *
 * row_json.c
 *	  Columns of a user's row as JSON.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A value is written as to_json() writes it in a session with certain settings,
 * whatever the settings of the session at hand are.
 *
 * to_json() looks up the value's type and its output function each time, which
 * for a row of plain columns is most of the work; and to set all of the settings
 * is as much work again.  So the most common types are written here, in the same
 * way, by functions that ask for no setting.  For all others to_json() is called,
 * and a column says whether it needs the settings.  (The regression test compares
 * the two; 186 tries each type with each setting.)
 *
 * to_json() takes its argument's type from the expression that it is called in,
 * so each column has a small expression.
 *
 *-------------------------------------------------------------------------
 */
#include "api/row_json.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "targets/json_text.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

int
outbox_json_set_settings(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"},
		{"IntervalStyle", "postgres"}, {"bytea_output", "hex"},
		{"extra_float_digits", "1"}, {"lc_monetary", "C"},
		{"quote_all_identifiers", "off"}, {"search_path", "pg_catalog, pg_temp"}
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static OutboxJsonStyle
style_of(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return OUTBOX_JSON_BOOL;
		case INT2OID:
			return OUTBOX_JSON_INT2;
		case INT4OID:
			return OUTBOX_JSON_INT4;
		case INT8OID:
			return OUTBOX_JSON_INT8;
		case FLOAT4OID:
			return OUTBOX_JSON_FLOAT4;
		case FLOAT8OID:
			return OUTBOX_JSON_FLOAT8;
		case NUMERICOID:
			return OUTBOX_JSON_NUMERIC;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return OUTBOX_JSON_DATETIME;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return OUTBOX_JSON_TEXT;
		case UUIDOID:
			return OUTBOX_JSON_OUTPUT;
		case BYTEAOID:
			return OUTBOX_JSON_BYTES;
		case JSONOID:
		case JSONBOID:
			return OUTBOX_JSON_JSON;
		default:
			return OUTBOX_JSON_ANY;
	}
}

/*
 * Does the form of a value depend on settings?  Of types that are not known here
 * it may.
 */
static bool
needs_settings(Oid type)
{
	Oid			element = get_element_type(type);
	Oid			cast;

	switch (getBaseType(OidIsValid(element) ? element : type))
	{
		case FLOAT4OID:
		case FLOAT8OID:
		case BYTEAOID:
		case TIMESTAMPTZOID:
			/* by to_json(), if they are in an array */
			return OidIsValid(element);
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
		case BITOID:
		case VARBITOID:
		case TSVECTOROID:
		case OIDOID:
		case XID8OID:
		case PG_LSNOID:
			return false;
		default:
			/* to_json() uses a cast to json, if there is one */
			return !type_is_enum(type) ||
				find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT,
									  &cast) == COERCION_PATH_FUNC;
	}
}

/*
 * Have to_json() know the type of its argument.
 */
static void
set_to_json(FmgrInfo *function, Const *arg)
{
	fmgr_info(F_TO_JSON, function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID, list_make1(arg),
											 InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL),
					   function);
}

void
outbox_json_column(OutboxJsonColumn *col, Form_pg_attribute att)
{
	StringInfoData label;
	Oid			output;
	bool		is_varlena;

	col->attnum = att->attnum;
	col->name = pstrdup(NameStr(att->attname));
	col->type = getBaseType(att->atttypid);
	col->typlen = att->attlen;
	col->typbyval = att->attbyval;
	col->style = style_of(col->type);
	col->needs_settings = needs_settings(col->type);
	initStringInfo(&label);
	escape_json(&label, col->name);
	appendStringInfoChar(&label, ':');
	col->label = label.data;
	col->label_len = label.len;

	getTypeOutputInfo(att->atttypid, &output, &is_varlena);
	fmgr_info(output, &col->output);
	col->as_text = false;
	if (col->style == OUTBOX_JSON_ANY)
		set_to_json(&col->to_json, makeNullConst(att->atttypid, att->atttypmod,
												 att->attcollation));
}

void
outbox_json_as_text(OutboxJsonColumn *col, bool bigint, bool numeric)
{
	Oid			element = get_element_type(col->type);
	Oid			type = OidIsValid(element) ? getBaseType(element) : col->type;

	col->as_text = (type == INT8OID && bigint) || (type == NUMERICOID && numeric);
	if (col->as_text && OidIsValid(element))
		set_to_json(&col->text_to_json, makeNullConst(TEXTARRAYOID, -1, InvalidOid));
}

static void
append_integer(StringInfo buf, int64 value)
{
	char		digits[MAXINT8LEN + 1];

	appendBinaryStringInfo(buf, digits, pg_lltoa(value, digits));
}

/*
 * NaN and infinities are no numbers in JSON.  They end in a letter.
 */
static void
append_number(StringInfo buf, const char *number)
{
	if (isdigit((unsigned char) number[strlen(number) - 1]))
		appendStringInfoString(buf, number);
	else
		escape_json(buf, number);
}

static char *
encode_time(OutboxJsonColumn *col, Datum value)
{
	static const int utc = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, col->type,
							  col->type == TIMESTAMPTZOID ? &utc : NULL);
}

static char *
float4_text(Datum value)
{
	char	   *result = palloc(FLOAT_SHORTEST_DECIMAL_LEN);

	float_to_shortest_decimal_buf(DatumGetFloat4(value), result);
	return result;
}

static char *
float8_text(Datum value)
{
	char	   *result = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);

	double_to_shortest_decimal_buf(DatumGetFloat8(value), result);
	return result;
}

static char *
bytes_text(Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
	size_t		len = VARSIZE_ANY_EXHDR(bytes);
	char	   *result = palloc(2 + 2 * len + 1);

	memcpy(result, "\\x", 2);
	result[2 + hex_encode(VARDATA_ANY(bytes), len, result + 2)] = '\0';
	return result;
}

static void
append_quoted(StringInfo buf, const char *s)
{
	appendStringInfoChar(buf, '"');
	appendStringInfoString(buf, s);
	appendStringInfoChar(buf, '"');
}

static void
append_text(StringInfo buf, struct varlena *t)
{
	OutboxBytes bytes = {VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)};

	outbox_append_json_string(buf, bytes);
}

static void
append_json(StringInfo buf, FmgrInfo *to_json, Datum value)
{
	text	   *json = DatumGetTextPP(FunctionCall1(to_json, value));

	appendBinaryStringInfo(buf, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

void
outbox_json_value(StringInfo buf, OutboxJsonColumn *col, Datum value,
				  bool isnull)
{
	if (isnull)
	{
		appendStringInfoString(buf, "null");
		return;
	}
	switch (col->style)
	{
		case OUTBOX_JSON_BOOL:
			appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
			break;
		case OUTBOX_JSON_INT2:
			append_integer(buf, DatumGetInt16(value));
			break;
		case OUTBOX_JSON_INT4:
			append_integer(buf, DatumGetInt32(value));
			break;
		case OUTBOX_JSON_INT8:
			append_integer(buf, DatumGetInt64(value));
			break;
		case OUTBOX_JSON_FLOAT4:
			append_number(buf, float4_text(value));
			break;
		case OUTBOX_JSON_FLOAT8:
			append_number(buf, float8_text(value));
			break;
		case OUTBOX_JSON_NUMERIC:
			append_number(buf, OutputFunctionCall(&col->output, value));
			break;
		case OUTBOX_JSON_DATETIME:
			append_quoted(buf, encode_time(col, value));
			break;
		case OUTBOX_JSON_TEXT:
			append_text(buf, PG_DETOAST_DATUM_PACKED(value));
			break;
		case OUTBOX_JSON_OUTPUT:
			append_quoted(buf, OutputFunctionCall(&col->output, value));
			break;
		case OUTBOX_JSON_BYTES:
			escape_json(buf, bytes_text(value));
			break;
		case OUTBOX_JSON_JSON:
			appendStringInfoString(buf, OutputFunctionCall(&col->output, value));
			break;
		case OUTBOX_JSON_ANY:
			append_json(buf, &col->to_json, value);
			break;
	}
}

/*
 * An array of numbers becomes one of their texts by way of its own text.
 */
void
outbox_json_member(StringInfo buf, OutboxJsonColumn *col, Datum value, bool isnull)
{
	appendBinaryStringInfo(buf, col->label, col->label_len);
	if (!col->as_text || isnull)
		outbox_json_value(buf, col, value, isnull);
	else if (col->style == OUTBOX_JSON_ANY)
		append_json(buf, &col->text_to_json,
					OidInputFunctionCall(F_ARRAY_IN, OutputFunctionCall(&col->output, value),
										 TEXTOID, -1));
	else
		escape_json(buf, OutputFunctionCall(&col->output, value));
}

char *
outbox_json_text(OutboxJsonColumn *col, Datum value)
{
	switch (col->style)
	{
		case OUTBOX_JSON_DATETIME:
			return encode_time(col, value);
		case OUTBOX_JSON_FLOAT4:
			return float4_text(value);
		case OUTBOX_JSON_FLOAT8:
			return float8_text(value);
		case OUTBOX_JSON_BYTES:
			return bytes_text(value);
		default:
			return OutputFunctionCall(&col->output, value);
	}
}
