/*-------------------------------------------------------------------------
 *
 * plan_rows.h
 *	  Rows in the order of their seqs, as many as memory is given to them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: collect rows in any order, hand them out by seq.
 * Process: relay.
 * Transaction: none needed.
 * Memory: an array of at most "limit" entries, in the context that is given.
 * Errors: none but lack of memory.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_PLAN_ROWS_H
#define OUTBOX_RELAY_PLAN_ROWS_H

#include "outbox.h"

#include "storage/block.h"
#include "storage/off.h"

/* a row: its number and its place */
typedef struct PlanEntry
{
	uint64		seq;
	BlockNumber block;
	OffsetNumber offset;
	uint16		table;
} PlanEntry;

/* segments that are still to be sorted, see plan_rows.c */
#define PLAN_SEGMENTS	64

typedef struct PlanRows
{
	PlanEntry  *entries;
	int			n;
	int			next;			/* entries before it have been handed out */
	int			sorted;			/* entries before it are in order */
	int			size;			/* room for so many entries */
	int			limit;			/* which may become this */
	bool		cut;			/* there are more rows, from cut_seq on */
	uint64		cut_seq;
	int			nsegments;
	int			segments[PLAN_SEGMENTS];	/* their ends, the first one last */
} PlanRows;

/* how many entries there is room for in all of them */
extern int	outbox_rows_size_in_all(void);

/* the memory of the entries is freed with its context */
extern void outbox_rows_free(PlanRows *rows);

/* forget all rows, and give back the memory of many */
extern void outbox_rows_forget(PlanRows *rows);

/*
 * Add a row.  If there is no room for it, about half of the rows are kept,
 * those with the lowest seqs.
 */
extern void outbox_rows_add(PlanRows *rows, MemoryContext context,
							const PlanEntry *entry);

static inline bool
outbox_rows_left(const PlanRows *rows)
{
	return rows->next < rows->n;
}

/*
 * The next row; there must be one.  No rows may be added from then on.  Of
 * several rows of one message it is the one in the last table, and the others
 * are not handed out.
 */
extern const PlanEntry *outbox_rows_first(PlanRows *rows);
extern void outbox_rows_advance(PlanRows *rows);

/* there are more rows, but the rest has to be looked for again */
extern void outbox_rows_forget_rest(PlanRows *rows);

#endif							/* OUTBOX_RELAY_PLAN_ROWS_H */
