/*-------------------------------------------------------------------------
 *
 * basis.h
 *	  The WAL that a tick rests on.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: have on disk what a tick's messages and its snapshot rest on, and no
 *	  more than that.
 * Process: relay.
 * Transaction: outbox_flush_basis() looks into the commit log, and needs none.
 * Memory: the caller's.
 * Errors: those of writing WAL and of reading the commit log.
 * Locks: XactTruncationLock, shared, for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_BASIS_H
#define OUTBOX_RELAY_BASIS_H

#include "outbox.h"

#include "access/xlogdefs.h"
#include "store/position.h"

/* transactions that are asked for; of more all is flushed */
#define OUTBOX_BASIS_XIDS	1024

typedef struct TickBasis
{
	XLogRecPtr	inserted;		/* WAL's insert position at the snapshot */
	uint64		xmax;			/* of the snapshot */
	bool		all;			/* all up to there is needed */
	int			nxids;			/* transactions whose messages are sent */
	uint64		xids[OUTBOX_BASIS_XIDS];
} TickBasis;

/* begin with what the snapshot rests on */
extern void outbox_basis_begin(TickBasis *basis, const OutboxSnap *snap,
							   XLogRecPtr inserted);

/* a message of this transaction is sent, too */
extern void outbox_basis_add(TickBasis *basis, uint64 xid);

/* flush what is needed; returns the position up to which the tick has WAL */
extern XLogRecPtr outbox_flush_basis(const TickBasis *basis);

#endif							/* OUTBOX_RELAY_BASIS_H */
