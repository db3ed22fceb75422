/*-------------------------------------------------------------------------
 *
 * plan_rows.c
 *	  Rows in the order of their seqs, as many as memory is given to them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * There may be millions of rows, and the relay must not spend its time sorting
 * them before it sends the first.  So they are put in order as they are handed
 * out: the array is parted into a lower and an upper half, the lower one again,
 * until a few thousand entries are left, and only these are sorted.  When they
 * have been handed out, the segment behind them is next.
 *
 *		handed out | sorted | segment | segment, twice as long | ...
 *				 next	 sorted
 *
 * The first parting goes through all entries, two million at most, which takes
 * some milliseconds; what follows takes less.  Rows that were found in order,
 * as those of one transaction are, stay as they are.
 *
 * A message may have rows in several tables.  Of these the one that was written
 * last counts: a dead letter before a deferred row before a staged one.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/plan_rows.h"

#include "utils/memutils.h"

StaticAssertDecl(sizeof(PlanEntry) == 16, "an entry of a plan has 16 bytes");

/* an array up to this size is kept */
#define KEEP			1024

/* entries that are sorted at once */
#define SORT_ROWS		4096

/* entries that are asked for the middle of all seqs */
#define SAMPLE			63

static int	size_in_all = 0;

static inline int
compare_entries(const PlanEntry *a, const PlanEntry *b)
{
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return (int) b->table - (int) a->table;
}

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE PlanEntry
#define ST_COMPARE(a, b) compare_entries(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

int
outbox_rows_size_in_all(void)
{
	return size_in_all;
}

void
outbox_rows_free(PlanRows *rows)
{
	size_in_all -= rows->size;
	rows->size = 0;
}

void
outbox_rows_forget(PlanRows *rows)
{
	rows->n = rows->next = rows->sorted = 0;
	rows->nsegments = 0;
	rows->cut = false;
	if (rows->size > KEEP)
	{
		pfree(rows->entries);
		rows->entries = NULL;
		outbox_rows_free(rows);
	}
}

static void
grow(PlanRows *rows, MemoryContext context)
{
	int			size = Min(Max(rows->size * 2, 64), rows->limit);

	if (rows->entries == NULL)
		rows->entries = MemoryContextAllocHuge(context,
											   size * sizeof(PlanEntry));
	else
		rows->entries = repalloc_huge(rows->entries, size * sizeof(PlanEntry));
	size_in_all += size - rows->size;
	rows->size = size;
}

/*
 * A seq that about half of the entries are below, and at least one.
 */
static uint64
middle_seq(const PlanRows *rows)
{
	PlanEntry	sample[SAMPLE];

	Assert(rows->n >= 8 * SAMPLE);
	for (int i = 0; i < SAMPLE; i++)
		sample[i] = rows->entries[(int) ((int64) rows->n * i / SAMPLE)];
	sort_entries(sample, SAMPLE);
	return sample[SAMPLE / 2].seq;
}

/*
 * Keep the lower half.  Rows of one message stay together.
 */
static void
cut(PlanRows *rows)
{
	int			n = 0;

	rows->cut = true;
	rows->cut_seq = middle_seq(rows);
	for (int i = 0; i < rows->n; i++)
		if (rows->entries[i].seq < rows->cut_seq)
			rows->entries[n++] = rows->entries[i];
	rows->n = n;
}

void
outbox_rows_add(PlanRows *rows, MemoryContext context, const PlanEntry *entry)
{
	Assert(rows->sorted == 0);
	if (rows->n == rows->limit)
		cut(rows);
	if (rows->cut && entry->seq >= rows->cut_seq)
		return;
	if (rows->n == rows->size)
		grow(rows, context);
	rows->entries[rows->n++] = *entry;
}

/*
 * Part entries so that none of the first ones is greater than one of the
 * others.  Returns how many first ones there are: at least one, and not all.
 */
static int
part(PlanEntry *entries, int n)
{
	PlanEntry	pivot;
	int			i = -1;
	int			j = n;

	{
		PlanEntry	three[] = {entries[0], entries[n / 2], entries[n - 2]};

		sort_entries(three, lengthof(three));
		pivot = three[1];
	}
	for (;;)
	{
		while (compare_entries(&entries[++i], &pivot) < 0)
			;
		while (compare_entries(&entries[--j], &pivot) > 0)
			;
		if (i >= j)
			return j + 1;
		{
			PlanEntry	swap = entries[i];

			entries[i] = entries[j];
			entries[j] = swap;
		}
	}
}

static bool
in_order(const PlanRows *rows)
{
	for (int i = 1; i < rows->n; i++)
		if (compare_entries(&rows->entries[i - 1], &rows->entries[i]) > 0)
			return false;
	return true;
}

/*
 * Put the next entries in order.
 */
static void
sort_some(PlanRows *rows)
{
	int			end = rows->nsegments > 0 ?
	rows->segments[rows->nsegments - 1] : rows->n;

	if (rows->sorted == 0 && in_order(rows))
	{
		rows->sorted = rows->n;
		return;
	}
	while (end - rows->sorted > SORT_ROWS && rows->nsegments < PLAN_SEGMENTS)
	{
		end = rows->sorted + part(&rows->entries[rows->sorted],
								  end - rows->sorted);
		rows->segments[rows->nsegments++] = end;
	}
	sort_entries(&rows->entries[rows->sorted], end - rows->sorted);
	rows->sorted = end;
	if (rows->nsegments > 0)
		rows->nsegments--;
}

const PlanEntry *
outbox_rows_first(PlanRows *rows)
{
	Assert(outbox_rows_left(rows));
	if (rows->next == rows->sorted)
		sort_some(rows);
	return &rows->entries[rows->next];
}

void
outbox_rows_advance(PlanRows *rows)
{
	uint64		seq = rows->entries[rows->next++].seq;

	while (outbox_rows_left(rows) && outbox_rows_first(rows)->seq == seq)
		rows->next++;
}

void
outbox_rows_forget_rest(PlanRows *rows)
{
	rows->n = rows->sorted = rows->next;
	rows->nsegments = 0;
	rows->cut = true;
}
