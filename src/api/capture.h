/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  Tables whose changes are enqueued.
 *
 * Purpose: what a capture's trigger was told, and what that means for a table.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: UNDEFINED_COLUMN, FEATURE_NOT_SUPPORTED, INVALID_PARAMETER_VALUE,
 *	  OBJECT_NOT_IN_PREREQUISITE_STATE.
 * Locks: the caller holds one on the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_H
#define OUTBOX_CAPTURE_H

#include "api/row_json.h"

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* the trigger's arguments */
enum
{
	OUTBOX_CAPTURE_QUEUE,
	OUTBOX_CAPTURE_COLUMNS,		/* text[] as text; empty: all */
	OUTBOX_CAPTURE_KEY,			/* likewise; empty: the primary key's */
	OUTBOX_CAPTURE_ARGS
};

/* which columns of a table are captured */
typedef struct OutboxCapture
{
	int			ncolumns;		/* captured ones, and those of the key */
	OutboxJsonColumn *columns;	/* in the table's order */
	bool	   *captured;		/* or only part of the key */
	int			nkey;
	int		   *key;			/* which of the columns, in the key's order */
} OutboxCapture;

extern OutboxCapture *outbox_capture_resolve(Relation rel, const char *columns,
											 const char *key);

#endif							/* OUTBOX_CAPTURE_H */
