/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Snapshots as sets of transactions, and the cursor's position.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: decide what a position covers; read and write it as text.
 * Process: relay.  Pure: no catalog, no socket, no clock.
 * Transaction: none needed.
 * Memory: snapshots are reference-counted in the memory context that was
 *	  current when they were made; text goes into the caller's StringInfo.
 * Errors: none; outbox_position_parse() returns false for a text that is no
 *	  position.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_POSITION_H
#define OUTBOX_POSITION_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "lib/stringinfo.h"

/*
 * The set of transactions that had ended when a snapshot was taken: all below
 * xmax except those in xip.  xip is sorted and holds top transactions only, as
 * staged rows have the top transaction's id.
 */
typedef struct OutboxSnap
{
	int			refcount;
	uint64		xmax;
	int			nxip;
	uint64		xip[FLEXIBLE_ARRAY_MEMBER];
} OutboxSnap;

/*
 * How far a queue has got: it covers all messages that are visible in prev, and
 * those visible in cur up to and including seq.
 */
typedef struct OutboxPosition
{
	XLogRecPtr	lsn;			/* flushed when cur was taken, or later */
	OutboxSnap *prev;
	OutboxSnap *cur;
	uint64		seq;
} OutboxPosition;

/* returns a snapshot; xip must be sorted and below xmax */
extern OutboxSnap *outbox_snap_make(uint64 xmax, int nxip, const uint64 *xip);

/* the same from a list in any order, which gets sorted */
extern OutboxSnap *outbox_snap_from_list(uint64 xmax, int nxip, uint64 *xip);

/* compares two uint64, for qsort() and bsearch() */
extern int	outbox_compare_xids(const void *a, const void *b);

/*
 * Returns a copy that does not see "below" and later ids, which are given out anew,
 * nor what was in progress then: it may have ended elsewhere only.
 */
extern OutboxSnap *outbox_snap_clip(const OutboxSnap *snap, uint64 below,
									const OutboxSnap *then);

/* count a reference; returns snap */
extern OutboxSnap *outbox_snap_ref(OutboxSnap *snap);

/* drop a reference, and with the last one the snapshot; snap may be NULL */
extern void outbox_snap_unref(OutboxSnap *snap);

/* had this transaction ended when the snapshot was taken? */
extern bool outbox_snap_sees(const OutboxSnap *snap, uint64 xid);

/* does the first one see all that the second one sees?  False if in doubt */
extern bool outbox_snap_contains(const OutboxSnap *snap, const OutboxSnap *other);

/* append a snapshot in the form of type pg_snapshot */
extern void outbox_snap_print(StringInfo out, const OutboxSnap *snap);

/* does the position cover this message? */
extern bool outbox_position_covers(const OutboxPosition *pos, uint64 xid,
								   uint64 seq);

/* does the first one cover all that the second one covers?  False if in doubt */
extern bool outbox_position_contains(const OutboxPosition *pos,
									 const OutboxPosition *other);

/*
 * Append a position without its seq, which the cursor has in another field.  The
 * token is the one of the connection that moves the cursor there.
 */
extern void outbox_position_print(StringInfo out, XLogRecPtr lsn,
								  const OutboxSnap *prev,
								  const OutboxSnap *cur, const char *token);

/* read a position and its seq; returns false if the text is no position */
extern bool outbox_position_parse(const char *pos, const char *seq,
								  OutboxPosition *result);

#endif							/* OUTBOX_POSITION_H */
