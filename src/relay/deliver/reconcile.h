/*-------------------------------------------------------------------------
 *
 * reconcile.h
 *	  The skip list of a cursor, and what the tables know of it.
 *
 * Purpose: make the tables agree with a cursor that has been read.
 * Process: relay.
 * Transaction: its own.
 * Memory: the seqs to drop are palloc'ed in the current context.
 * Errors: those of SQL.
 * Locks: those of outbox_lock_failures(), if they can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_RECONCILE_H
#define OUTBOX_RELAY_RECONCILE_H

#include "outbox.h"

#include "relay/base/state.h"
#include "store/position.h"

/* a queue's cursor, as it is in Redis */
typedef struct StoredCursor
{
	const char *text;			/* the position without seq; "": there is none */
	const char *seq;
	uint64		applied;		/* messages since the cursor began */
	int			nskips;
	uint64	   *skips;			/* seqs */
	const char **errors;		/* why each was skipped; "": behind another one */
} StoredCursor;

/*
 * The position is clipped already if it is of an older timeline.  *drop are
 * seqs that shall leave the skip list.  False if a table is locked.
 */
extern bool outbox_reconcile(RelayQueue *queue, const StoredCursor *cursor,
							 const OutboxPosition *pos, bool older,
							 int *ndrop, uint64 **drop);

#endif							/* OUTBOX_RELAY_RECONCILE_H */
