/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  One of many things fails, and the others go on without it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message of one queue that can't be read, since its row is damaged or was
 * edited by hand, must not hold up what is done for all queues together.  So it is
 * left out, and tried again as a mishap is: some seconds later, at most half a
 * minute.  What is left out is in memory only: the next relay finds it again.
 *
 * Errors that are nobody's fault (a full disk, no memory, a lock) would let one
 * thing after the other be left out: they stay what they are.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/aside.h"

#include "store/query.h"

bool
outbox_is_error_of_data(void)
{
	switch (ERRCODE_TO_CATEGORY(geterrcode()))
	{
		case ERRCODE_INTERNAL_ERROR:	/* among them damaged rows */
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return true;
	}
	return false;
}

static AsideThing *
find_thing(Aside *aside, uint64 number)
{
	for (int i = 0; i < aside->n; i++)
		if (aside->things[i].number == number)
			return &aside->things[i];
	return NULL;
}

bool
outbox_set_aside(Aside *aside, uint64 number, const char *what,
				 MemoryContext context)
{
	AsideThing *thing = find_thing(aside, number);

	if (thing == NULL)
	{
		if (aside->n == OUTBOX_MOST_ASIDE)
			return false;
		thing = &aside->things[aside->n++];
		thing->number = number;
		aside->mishap.text[0] = '\0';	/* so it is logged */
	}
	thing->is_aside = true;
	strlcpy(aside->what, what, sizeof(aside->what));
	aside->mishap.what = aside->what;
	outbox_it_has_failed(&aside->mishap, context);
	return true;
}

bool
outbox_is_aside(const Aside *aside, uint64 number)
{
	const AsideThing *thing = find_thing(unconstify(Aside *, aside), number);

	return thing != NULL && thing->is_aside;
}

Datum
outbox_aside_numbers(const Aside *aside)
{
	uint64		numbers[OUTBOX_MOST_ASIDE];
	int			n = 0;

	for (int i = 0; i < aside->n; i++)
		if (aside->things[i].is_aside)
			numbers[n++] = aside->things[i].number;
	return outbox_int8_array(numbers, n);
}

bool
outbox_try_aside_again(Aside *aside, OutboxTime now)
{
	bool		any = false;

	if (aside->n == 0 || !outbox_may_try(&aside->mishap, now))
		return false;
	for (int i = 0; i < aside->n; i++)
	{
		any |= aside->things[i].is_aside;
		aside->things[i].is_aside = false;
	}
	if (!any)
		outbox_has_not_failed(&aside->mishap, now);
	if (aside->mishap.since == 0)
		aside->n = 0;
	return any;
}
