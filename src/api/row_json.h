/*-------------------------------------------------------------------------
 *
 * row_json.h
 *	  Columns of a user's row as JSON.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write a value as to_json() does, without looking up its type for
 *	  each row.
 * Process: backend.  Transaction: the caller's.
 * Memory: a column's state is palloc'ed in the context that is current when it
 *	  is made; appending leaves the garbage of output functions in the current
 *	  context.
 * Errors: those of output functions.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ROW_JSON_H
#define OUTBOX_ROW_JSON_H

#include "outbox.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

/* how a value is written */
typedef enum OutboxJsonStyle
{
	OUTBOX_JSON_BOOL,
	OUTBOX_JSON_INT2,
	OUTBOX_JSON_INT4,
	OUTBOX_JSON_INT8,
	OUTBOX_JSON_FLOAT4,			/* numbers are quoted if not finite */
	OUTBOX_JSON_FLOAT8,
	OUTBOX_JSON_NUMERIC,
	OUTBOX_JSON_DATETIME,
	OUTBOX_JSON_TEXT,
	OUTBOX_JSON_OUTPUT,			/* its output, which never needs escapes */
	OUTBOX_JSON_BYTES,
	OUTBOX_JSON_JSON,			/* as it is */
	OUTBOX_JSON_ANY				/* by to_json() */
} OutboxJsonStyle;

typedef struct OutboxJsonColumn
{
	AttrNumber	attnum;
	char	   *name;
	char	   *label;			/* "name": as JSON has it */
	int			label_len;
	Oid			type;			/* the domain's base type */
	int16		typlen;
	bool		typbyval;
	OutboxJsonStyle style;
	bool		needs_settings; /* the form of its values depends on settings */
	bool		as_text;		/* numbers, also in an array, are to be
								 * strings */
	FmgrInfo	output;
	FmgrInfo	to_json;		/* for OUTBOX_JSON_ANY */
	FmgrInfo	text_to_json;	/* for an array of text, with as_text */
} OutboxJsonColumn;

/*
 * Set the session's settings so that a value of any type is written in the form in
 * which a column's is; returns the level for AtEOXact_GUC(), which undoes it.
 */
extern int	outbox_json_set_settings(void);

/* fill in how a column is written */
extern void outbox_json_column(OutboxJsonColumn *col, Form_pg_attribute att);

/*
 * Have values of bigint, or numeric, and of arrays of these, written as strings
 * by outbox_json_member().
 */
extern void outbox_json_as_text(OutboxJsonColumn *col, bool bigint, bool numeric);

/* append the column's name and a value */
extern void outbox_json_member(StringInfo buf, OutboxJsonColumn *col,
							   Datum value, bool isnull);

/* append a value as JSON, numbers as numbers; timestamptz is in UTC */
extern void outbox_json_value(StringInfo buf, OutboxJsonColumn *col,
							  Datum value, bool isnull);

/* returns a value as text instead */
extern char *outbox_json_text(OutboxJsonColumn *col, Datum value);

#endif							/* OUTBOX_ROW_JSON_H */
