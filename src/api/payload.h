/*-------------------------------------------------------------------------
 *
 * payload.h
 *	  A payload as it was given, as the bytes that Redis gets.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: check a payload against its queue's payload type.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context, or are the value.
 * Errors: INVALID_TEXT_REPRESENTATION or INVALID_PARAMETER_VALUE for what is
 *	  not of the queue's type, STATEMENT_TOO_COMPLEX for JSON that is nested too
 *	  deep; those of encoding conversion.  None says what the payload is.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PAYLOAD_H
#define OUTBOX_PAYLOAD_H

#include "outbox.h"

#include "utils/jsonb.h"

/*
 * Returns the bytes to be staged for a value of SQL type jsonb, json, text or
 * bytea, which is not null.
 */
extern struct varlena *outbox_payload_bytes(const OutboxQueue *queue, Oid type,
											Datum value);

/* the same for a value in a document; NULL for a null */
extern struct varlena *outbox_payload_of_element(const OutboxQueue *queue,
												 JsonbValue *element);

#endif							/* OUTBOX_PAYLOAD_H */
