/*-------------------------------------------------------------------------
 *
 * tick.h
 *	  Find what became visible between two snapshots.
 *
 * Purpose: take snapshots; scan the index for rows of transactions that are
 *	  new in the later one.
 * Process: relay.
 * Transaction: the caller's, with an active snapshot.
 * Memory: a snapshot in the context that is current; a TickScan in the
 *	  current context until it has been scanned.
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

/* the transactions to look at; see outbox_tick_begin() */
typedef struct TickScan
{
	uint64		from;			/* all from here on */
	uint64		below;			/* up to here */
	uint64	   *xids;			/* and these */
	int			nxids;
	int			size;
} TickScan;

/* the active snapshot as a set, and how far WAL had been written then */
extern OutboxSnap *outbox_take_snapshot(XLogRecPtr *lsn);

/* have WAL flushed up to an insert position */
extern void outbox_flush_wal(XLogRecPtr lsn);

/* a snapshot as SQL takes it: text, to be cast to pg_snapshot */
extern Datum outbox_snap_text(const OutboxSnap *snap);

/* nothing is to be looked at; then add what lies between two snapshots */
extern void outbox_tick_begin(TickScan *scan);
extern void outbox_tick_cover(TickScan *scan, const OutboxSnap *prev,
							  const OutboxSnap *cur);
extern void outbox_tick_scan(TickScan *scan, OutboxStaging *staging,
							 OutboxStagedVisit visit, void *arg);

#endif							/* OUTBOX_RELAY_TICK_H */
