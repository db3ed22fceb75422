/*-------------------------------------------------------------------------
 *
 * skip_list.c
 *	  The skip list of a cursor, in memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A list may have hundreds of thousands of seqs.  Redis gives them in no order; most
 * errors are the same as the one before, and share its text.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/skip_list.h"

#include "utils/memutils.h"

static int
compare_skips(const void *a, const void *b)
{
	uint64		left = ((const Skip *) a)->seq;
	uint64		right = ((const Skip *) b)->seq;

	return left < right ? -1 : left > right;
}

void
outbox_sort_skips(Skip *skips, int n)
{
	qsort(skips, n, sizeof(Skip), compare_skips);
}

Skip *
outbox_copy_skips(const Skip *skips, int n)
{
	Skip	   *copy = MemoryContextAllocHuge(CurrentMemoryContext,
											  (n + 1) * sizeof(Skip));
	const char *last = NULL;

	for (int i = 0; i < n; i++)
	{
		if (last == NULL || strcmp(last, skips[i].error) != 0)
			last = pstrdup(skips[i].error);
		copy[i] = (Skip) {skips[i].seq, last};
	}
	outbox_sort_skips(copy, n);
	return copy;
}

int
outbox_find_skip(const Skip *skips, int n, uint64 seq)
{
	int			low = 0;

	while (low < n)
	{
		int			middle = low + (n - low) / 2;

		if (skips[middle].seq < seq)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}
