/*-------------------------------------------------------------------------
 *
 * row.h
 *	  Columns of rows that functions return.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: set columns; a value that shared memory does not have is null.
 * Process: backend.  Transaction: the caller's.
 * Memory: values are palloc'ed in the current context.
 * Errors: none thrown.  Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ROW_H
#define OUTBOX_ROW_H

#include "outbox.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

/* an empty string is null */
static inline void
outbox_set_text(Datum *values, bool *nulls, int n, const char *s)
{
	nulls[n] = s[0] == '\0';
	if (!nulls[n])
		values[n] = CStringGetTextDatum(s);
}

/* 0 is null */
static inline void
outbox_set_time(Datum *values, bool *nulls, int n, TimestampTz t)
{
	nulls[n] = t == 0;
	values[n] = TimestampTzGetDatum(t);
}

/* the time from then to now; 0 is null */
static inline void
outbox_set_age(Datum *values, bool *nulls, int n, TimestampTz since)
{
	Interval   *age = palloc0(sizeof(Interval));

	nulls[n] = since == 0;
	age->time = Max(GetCurrentTimestamp() - since, 0);
	values[n] = IntervalPGetDatum(age);
}

#endif							/* OUTBOX_ROW_H */
