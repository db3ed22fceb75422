/*-------------------------------------------------------------------------
 *
 * args.h
 *	  Arguments of functions that are not strict.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: read arguments, with an error for a null where a value is needed.
 * Process: backend.
 * Transaction: the caller's.
 * Memory: results are palloc'ed in the current context.
 * Errors: NULL_VALUE_NOT_ALLOWED.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ARGS_H
#define OUTBOX_ARGS_H

#include "outbox.h"

#include "fmgr.h"
#include "utils/builtins.h"

/* an error if the argument is null */
static inline void
outbox_need_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
}

/* returns the argument; an error if it is null */
static inline char *
outbox_needed_text_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	outbox_need_arg(fcinfo, n, what);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* returns the argument, or NULL if it is null */
static inline char *
outbox_text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

#endif							/* OUTBOX_ARGS_H */
