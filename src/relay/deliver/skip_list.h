/*-------------------------------------------------------------------------
 *
 * skip_list.h
 *	  The skip list of a cursor, in memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: keep skipped messages in the order of their seqs.
 * Process: relay.
 * Transaction: none.
 * Memory: the caller's context.
 * Errors: out of memory.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_SKIP_LIST_H
#define OUTBOX_RELAY_SKIP_LIST_H

#include "outbox.h"

/* a skipped message */
typedef struct Skip
{
	uint64		seq;
	const char *error;			/* why; "": behind another one */
} Skip;

extern void outbox_sort_skips(Skip *skips, int n);

/* returns a sorted copy, with the errors */
extern Skip *outbox_copy_skips(const Skip *skips, int n);

/* returns the number of the first that is not before this seq; n: none */
extern int	outbox_find_skip(const Skip *skips, int n, uint64 seq);

#endif							/* OUTBOX_RELAY_SKIP_LIST_H */
