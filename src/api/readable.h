/*-------------------------------------------------------------------------
 *
 * readable.h
 *	  Bytes that Redis gets, as people and tests read them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: show payloads and arguments of commands as text and JSON.
 * Process: backend.  Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: none but those of memory: whatever the bytes are, there is a form.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_READABLE_H
#define OUTBOX_READABLE_H

#include "outbox.h"

#include "convert.h"

/*
 * Returns bytes as text: themselves if they are text, else \x and hexadecimal
 * digits, which begin no text that is shown as itself.
 */
extern struct varlena *outbox_readable_text(OutboxBytes bytes);

/* returns a message's payload as JSON: a document, else a string */
extern struct varlena *outbox_readable_payload(const OutboxMessage *msg);

#endif							/* OUTBOX_READABLE_H */
