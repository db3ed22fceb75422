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
 * Memory: the current context; a TickScan until it has been scanned.
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
	uint64		from;			/* all from this one on ... */
	uint64		below;			/* ... and below this one; */
	uint64	   *xids;			/* and these */
	int			nxids;
	int			size;
} TickScan;

/* the active snapshot as a set, and WAL's insert position behind its commits */
extern OutboxSnap *outbox_take_snapshot(XLogRecPtr *lsn);

/* a snapshot as text, to be cast to pg_snapshot in SQL */
extern Datum outbox_snap_text(const OutboxSnap *snap);

/* a scan of nothing; add what lies between two snapshots; visit the entries */
extern void outbox_tick_begin(TickScan *scan);
extern void outbox_tick_cover(TickScan *scan, const OutboxSnap *prev,
							  const OutboxSnap *cur);
extern void outbox_tick_scan(TickScan *scan, OutboxStaging *staging,
							 OutboxStagedVisit visit, void *arg);

#endif							/* OUTBOX_RELAY_TICK_H */
