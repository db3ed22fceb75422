/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Snapshots as sets of transactions, and the cursor's position.
 *
 * Purpose: decide what a position covers; read and write it as text.
 * Process: relay. Pure: no catalog, no socket, no clock.
 * Transaction: none needed.
 * Memory: snapshots are reference-counted in the memory context that was
 *	  current when they were made; text goes into the caller's StringInfo.
 * Errors: outbox_position_parse() returns false for what it can't read.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TICK_H
#define OUTBOX_TICK_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "lib/stringinfo.h"

/*
 * The transactions that have ended, as a snapshot saw them: all below xmax
 * except those in xip.  xip is sorted and holds top transactions only, as
 * staged rows carry the top transaction's id.
 */
typedef struct OutboxSnap
{
	int			refcount;
	uint64		xmax;
	int			nxip;
	uint64		xip[FLEXIBLE_ARRAY_MEMBER];
} OutboxSnap;

/*
 * How far a queue has got: everything visible in prev, and what is visible in
 * cur up to and including seq.
 */
typedef struct OutboxPosition
{
	TimeLineID	timeline;
	XLogRecPtr	lsn;			/* flushed when cur was taken */
	OutboxSnap *prev;
	OutboxSnap *cur;
	uint64		seq;
} OutboxPosition;

/* a snapshot of a sorted list; of one in any order, which is sorted then */
extern OutboxSnap *outbox_snap_make(uint64 xmax, int nxip, const uint64 *xip);
extern OutboxSnap *outbox_snap_from_list(uint64 xmax, int nxip, uint64 *xip);
extern int	outbox_compare_xids(const void *a, const void *b);

/* a copy that sees nothing from "below" on: those ids will be given out again */
extern OutboxSnap *outbox_snap_clip(const OutboxSnap *snap, uint64 below);
extern OutboxSnap *outbox_snap_ref(OutboxSnap *snap);
extern void outbox_snap_unref(OutboxSnap *snap);

/* had this transaction ended when the snapshot was taken? */
extern bool outbox_snap_sees(const OutboxSnap *snap, uint64 xid);

/* append it as pg_snapshot writes it */
extern void outbox_snap_print(StringInfo out, const OutboxSnap *snap);

/* is this message within the position? */
extern bool outbox_position_covers(const OutboxPosition *pos, uint64 xid,
								   uint64 seq);

/* append it without its seq, which the cursor keeps beside it */
extern void outbox_position_print(StringInfo out, TimeLineID timeline,
								  XLogRecPtr lsn, const OutboxSnap *prev,
								  const OutboxSnap *cur);

/* false if this is not a position of ours */
extern bool outbox_position_parse(const char *pos, const char *seq,
								  OutboxPosition *result);

#endif							/* OUTBOX_TICK_H */
