/*-------------------------------------------------------------------------
 *
 * capture_payload.h
 *	  The payload of a captured change.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: write a change of a row as JSON, if need be without what is too large.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context, which gets the garbage of
 *	  output functions, too.
 * Errors: those of output functions and of encoding conversion.
 * Locks: the caller holds one on the table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_PAYLOAD_H
#define OUTBOX_CAPTURE_PAYLOAD_H

#include "api/capture_columns.h"

#include "executor/tuptable.h"

typedef enum OutboxOperation
{
	OUTBOX_INSERTED,
	OUTBOX_UPDATED,
	OUTBOX_DELETED,
	OUTBOX_READ					/* by a backfill */
} OutboxOperation;

#define OUTBOX_OPERATIONS (OUTBOX_READ + 1)

/* a change of a row; all values of the slots have been got */
typedef struct OutboxChange
{
	OutboxOperation operation;
	const char *head;			/* the payload's beginning */
	TupleTableSlot *old;		/* NULL if there was none */
	TupleTableSlot *new;		/* NULL if there is none */
	const bool *changed;		/* by column, of an update */
} OutboxChange;

/* returns the beginning of payloads: operation, schema and table */
extern char *outbox_change_head(const char *operation, const char *schema,
								const char *table);

/*
 * Returns the payload in UTF-8, whole.  With a limit NULL if it is longer; it may
 * also be NULL if it is only found to be so when it is converted, or a value is so
 * large that it isn't written in the first place.
 */
extern struct varlena *outbox_change_payload(const OutboxCapture *capture,
											 const OutboxChange *change, size_t limit);

/*
 * Returns the payload without as many columns as needed, the largest ones, or
 * with all_columns without all of them; NULL if not even the key fits.
 */
extern struct varlena *outbox_change_shortened(const OutboxCapture *capture,
											   const OutboxChange *change, size_t limit,
											   bool all_columns);

/* returns the payload without anything of the row */
extern struct varlena *outbox_change_bare(const OutboxChange *change);

/*
 * Returns the key of the message, NULL if it has none: the value of a key of one
 * column as text, else a JSON array.
 */
extern struct varlena *outbox_change_key(const OutboxCapture *capture,
										 const OutboxChange *change);

#endif							/* OUTBOX_CAPTURE_PAYLOAD_H */
