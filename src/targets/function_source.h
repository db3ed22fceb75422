/*-------------------------------------------------------------------------
 *
 * function_source.h
 *	  Is a text the body of a Lua function?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: find out whether the source of a queue's function ends what is put
 *	  around it.
 * Process: backend and relay.  Pure: no catalog, no socket.
 * Transaction: none needed.
 * Memory: the result is palloc'ed in the current context.
 * Errors: none thrown; they are returned as text.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_FUNCTION_SOURCE_H
#define OUTBOX_FUNCTION_SOURCE_H

#include "outbox.h"

#include "convert.h"

/* returns what is wrong with the source, or NULL */
extern const char *outbox_function_fault(OutboxBytes source);

#endif							/* OUTBOX_FUNCTION_SOURCE_H */
