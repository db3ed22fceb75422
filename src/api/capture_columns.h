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

#include "api/row_json.h"

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* the trigger's arguments */
enum
{
	OUTBOX_CAPTURE_QUEUE,
	OUTBOX_CAPTURE_COLUMNS,		/* text[] as text; empty: all */
	OUTBOX_CAPTURE_KEY,			/* the same; empty: the primary key's */
	OUTBOX_CAPTURE_ARGS
};

typedef struct OutboxCapture
{
	int			ncolumns;		/* captured columns, and those of the key */
	OutboxJsonColumn *columns;	/* in the table's order */
	bool	   *captured;		/* false: the column is only part of the key */
	int			nkey;
	int		   *key;			/* indexes into columns, in the key's order */
} OutboxCapture;

/* returns the columns that the arguments name; an error if one is missing */

extern OutboxCapture *outbox_capture_resolve(Relation rel, const char *columns,
											 const char *key);

#endif							/* OUTBOX_CAPTURE_COLUMNS_H */
