/*-------------------------------------------------------------------------
 *
 * capture_columns.h
 *	  Which columns of a table a capture writes.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: the arguments of a capture's trigger, and the columns of the table
 *	  that they name.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: UNDEFINED_COLUMN; FEATURE_NOT_SUPPORTED for a virtual column;
 *	  INVALID_PARAMETER_VALUE and NULL_VALUE_NOT_ALLOWED for a wrong list;
 *	  OBJECT_NOT_IN_PREREQUISITE_STATE if there is no primary key.
 * Locks: the caller holds one on the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_COLUMNS_H
#define OUTBOX_CAPTURE_COLUMNS_H

#include "api/capture_settings.h"
#include "api/row_json.h"

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* the trigger's arguments */
enum
{
	OUTBOX_CAPTURE_QUEUE,
	OUTBOX_CAPTURE_COLUMNS,		/* text[] as text; empty: all */
	OUTBOX_CAPTURE_KEY,			/* the same; empty: the primary key's */
	OUTBOX_CAPTURE_SETTINGS,	/* jsonb as text; empty: none */
	OUTBOX_CAPTURE_ARGS
};

typedef struct OutboxCapture
{
	/* captured columns, those of the key and those of the primary key */
	int			ncolumns;
	OutboxJsonColumn *columns;	/* in the table's order */
	bool	   *captured;		/* false: the column is only part of a key */
	bool	   *identifies;		/* the column is part of a key */
	int			nkey;
	int		   *key;			/* indexes into columns, in the key's order */
	OutboxCaptureSettings settings;
} OutboxCapture;

/* returns the columns of the primary key, their numbers; NIL if there is none */
extern List *outbox_primary_key(Relation rel);

/*
 * Returns the columns that a trigger's arguments name; an error if one is
 * missing.  An argument may be NULL, for one that is empty.
 */
extern OutboxCapture *outbox_capture_resolve(Relation rel, char *const *args);

#endif							/* OUTBOX_CAPTURE_COLUMNS_H */
