/*-------------------------------------------------------------------------
 *
 * tick.h
 *	  Find the rows that became visible between two snapshots.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: take snapshots; scan the index for rows of transactions that are
 *	  new in the later one.
 * Process: relay.
 * Transaction: the caller's, with an active snapshot.
 * Memory: the current context; a TickScan has one of its own.
 * Errors: those of index scans.
 * Locks: those of the open OutboxStaging.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_TICK_H
#define OUTBOX_RELAY_TICK_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "store/position.h"
#include "store/staging.h"

/* transactions whose entries are scanned; see outbox_tick_begin() */
typedef struct TickScan
{
	MemoryContext context;
	int			ntables;		/* the first ones are scanned */
	uint64		from;			/* all from this one on ... */
	uint64		below;			/* ... and below this one; */
	uint64	   *xids;			/* and these, none of them twice */
	int			nxids;
	int			size;

	/* how far it has got */
	bool		begun;
	int			table;
	int			range;			/* number of an xid; nxids: from ... below */
	bool		within;			/* ... and it goes on at this key */
	OutboxStagedKey key;

	/* entries of no use */
	uint64		useless_xid;	/* those of these came last ... */
	int32		useless_queue;
	int			useless;		/* ... and so many */
} TickScan;

/* the active snapshot as a set, and WAL's insert position behind its commits */
extern OutboxSnap *outbox_take_snapshot(XLogRecPtr *lsn);

/* a snapshot as text, to be cast to pg_snapshot in SQL */
extern Datum outbox_snap_text(const OutboxSnap *snap);

/* a scan of nothing, in this context; add what lies between two snapshots */
extern void outbox_tick_begin(TickScan *scan, int ntables,
							  MemoryContext context);
extern void outbox_tick_cover(TickScan *scan, const OutboxSnap *prev,
							  const OutboxSnap *cur);

/*
 * Visit the entries.  False if the visit has stopped the scan, which goes on
 * there with the next call, perhaps in a later transaction.
 */
extern bool outbox_tick_scan(TickScan *scan, OutboxStaging *staging,
							 OutboxWalkVisit visit, void *arg);

/*
 * The entry is of no use to the visit, which returns this.  If many like it came one
 * after the other, go to the key that the visit has set.
 */
extern OutboxWalk outbox_tick_pass_over(TickScan *scan,
										const OutboxStagedEntry *entry);

/* free what the scan has allocated, whether it is at its end or not */
extern void outbox_tick_end(TickScan *scan);

#endif							/* OUTBOX_RELAY_TICK_H */
