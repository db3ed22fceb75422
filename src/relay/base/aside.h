/*-------------------------------------------------------------------------
 *
 * aside.h
 *	  One of many things fails, and the others go on without it.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: leave out, for some time, what can't be read.
 * Process: relay.
 * Transaction: as mishap.h; for outbox_aside_numbers() none is needed.
 * Memory: static; the array is the caller's context's.
 * Errors: as mishap.h.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_ASIDE_H
#define OUTBOX_RELAY_ASIDE_H

#include "relay/base/mishap.h"

/* more than these are not left out, and hold up the others */
#define OUTBOX_MOST_ASIDE	64

typedef struct AsideThing
{
	uint64		number;
	bool		is_aside;		/* else it may be tried again */
} AsideThing;

/* things of one kind that have failed; a static variable for each kind */
typedef struct Aside
{
	Mishap		mishap;			/* that of the last one */
	char		what[OUTBOX_OBSTACLE_SIZE];
	AsideThing	things[OUTBOX_MOST_ASIDE];
	int			n;
} Aside;

/* in PG_CATCH(): is it an error of what was read, and not of the server? */
extern bool outbox_is_error_of_data(void);

/*
 * In PG_CATCH(): end the error and its transaction, and leave this thing out.
 * what: "outbox cannot ...".  False, and nothing is done, if there are too many.
 */
extern bool outbox_set_aside(Aside *aside, uint64 number, const char *what,
							 MemoryContext context);

extern bool outbox_is_aside(const Aside *aside, uint64 number);

/* the numbers of what is left out, as an array of bigint */
extern Datum outbox_aside_numbers(const Aside *aside);

/* when it is time, nothing is left out any more; true if something was */
extern bool outbox_try_aside_again(Aside *aside, OutboxTime now);

#endif							/* OUTBOX_RELAY_ASIDE_H */
