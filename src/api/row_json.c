/*-------------------------------------------------------------------------
 *
 * row_json.c
 *	  Columns of a user's row as JSON.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A value is written as to_json() writes it.  But to_json() looks up the
 * value's type and its output function each time, which for a row of plain
 * columns is most of the work.  So the most common types are written here, in
 * the same way, and to_json() is called for all others.  (The regression test
 * compares the two.)
 *
 * to_json() takes its argument's type from the expression that it is called in,
 * so each column has a small expression.
 *
 *-------------------------------------------------------------------------
 */
#include "api/row_json.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

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
		case FLOAT8OID:
		case NUMERICOID:
			return OUTBOX_JSON_NUMBER;
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
		default:
			return OUTBOX_JSON_ANY;
	}
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
	initStringInfo(&label);
	escape_json(&label, col->name);
	appendStringInfoChar(&label, ':');
	col->label = label.data;

	getTypeOutputInfo(att->atttypid, &output, &is_varlena);
	fmgr_info(output, &col->output);
	if (col->style == OUTBOX_JSON_ANY)
	{
		Const	   *arg = makeNullConst(att->atttypid, att->atttypmod,
										att->attcollation);

		fmgr_info(F_TO_JSON, &col->to_json);
		fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID,
												 list_make1(arg), InvalidOid,
												 InvalidOid,
												 COERCE_EXPLICIT_CALL),
						   &col->to_json);
	}
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
encode_time(OutboxJsonColumn *col, Datum value, bool utc)
{
	static const int offset = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, col->type,
							  utc && col->type == TIMESTAMPTZOID ? &offset : NULL);
}

static void
append_quoted(StringInfo buf, const char *s)
{
	appendStringInfoChar(buf, '"');
	appendStringInfoString(buf, s);
	appendStringInfoChar(buf, '"');
}

void
outbox_json_value(StringInfo buf, OutboxJsonColumn *col, Datum value,
				  bool isnull, bool utc)
{
	text	   *json;

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
		case OUTBOX_JSON_NUMBER:
			append_number(buf, OutputFunctionCall(&col->output, value));
			break;
		case OUTBOX_JSON_DATETIME:
			append_quoted(buf, encode_time(col, value, utc));
			break;
		case OUTBOX_JSON_TEXT:
			escape_json(buf, TextDatumGetCString(value));
			break;
		case OUTBOX_JSON_OUTPUT:
			append_quoted(buf, OutputFunctionCall(&col->output, value));
			break;
		case OUTBOX_JSON_ANY:
			json = DatumGetTextPP(FunctionCall1(&col->to_json, value));
			appendBinaryStringInfo(buf, VARDATA_ANY(json),
								   VARSIZE_ANY_EXHDR(json));
			break;
	}
}

char *
outbox_json_text(OutboxJsonColumn *col, Datum value)
{
	if (col->style == OUTBOX_JSON_DATETIME)
		return encode_time(col, value, true);
	return OutputFunctionCall(&col->output, value);
}
