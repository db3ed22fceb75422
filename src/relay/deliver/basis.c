/*-------------------------------------------------------------------------
 *
 * basis.c
 *	  The WAL that a tick rests on.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Before a tick leaves must be on disk
 *
 *		the commits of its messages' transactions
 *			else Redis gets what a crash undoes;
 *		a record of the last transaction that its snapshot calls ended, or of a
 *		later one
 *			else a crash gives out a transaction id again that the cursor calls
 *			ended, and the message of whoever gets it is not sent.
 *
 * To flush all WAL up to where it was inserted at the snapshot does that, and has
 * the relay wait for the disk with each tick, as others always write WAL.  But who
 * commits synchronously has flushed before anybody sees the commit, and so have
 * those who end prepared transactions.  Where all have done so nothing is left to be
 * flushed.  Of an asynchronous commit the commit log knows the WAL position, as long
 * as that matters; it knows it for some transactions together, so what it says may be
 * too much and is never too little.  Of a rollback, which nobody flushes, it
 * knows none: if the last transaction was rolled back, all is flushed.
 *
 * The position must be on disk, or a crash sets this server back behind its own
 * cursor; it must be behind all of that, or whoever is promoted from before it takes
 * the cursor for one that covers nothing new; and a record must end there, as a
 * server comes up where the last record ends.  What was flushed last does all
 * that.  It may lie within a record, but then it is where a page ends.  So if it is
 * where a page ends, all is flushed, too.
 *
 * Nothing else that is sent rests on WAL that is not on disk: a queue whose options
 * have changed goes on from its cursor, and all is flushed when that is taken over
 * (read_cursor.c).
 *
 * Transactions that ended long ago may have left the commit log.  What is flushed is
 * all then, as it is with many transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/basis.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "compat.h"
#include "relay/base/step.h"
#include "storage/lwlock.h"

/* transactions that ended so long ago are not asked for */
#define RECENT_XIDS		(1024 * 1024)

void
outbox_basis_begin(TickBasis *basis, const OutboxSnap *snap,
				   XLogRecPtr inserted)
{
	basis->inserted = inserted;
	basis->xmax = snap->xmax;
	basis->all = false;
	basis->nxids = 0;
}

void
outbox_basis_add(TickBasis *basis, uint64 xid)
{
	if (basis->nxids > 0 && basis->xids[basis->nxids - 1] == xid)
		return;
	if (basis->nxids == OUTBOX_BASIS_XIDS ||
		xid + RECENT_XIDS < basis->xmax)
		basis->all = true;
	else
		basis->xids[basis->nxids++] = xid;
}

/*
 * Up to where WAL is needed for this transaction.
 */
static XLogRecPtr
needed_for(const TickBasis *basis, uint64 full_xid, bool is_last)
{
	TransactionId xid = (TransactionId) full_xid;

	if (!TransactionIdIsNormal(xid) ||
		TransactionIdPrecedes(xid, outbox_oldest_in_commit_log()) ||
		(is_last && !TransactionIdDidCommit(xid)))
		return basis->inserted;
	return TransactionIdGetCommitLSN(xid);
}

static XLogRecPtr
needed(const TickBasis *basis)
{
	XLogRecPtr	result;

	if (basis->all)
		return basis->inserted;
	/* what is in the commit log now must not be removed meanwhile */
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	result = needed_for(basis, basis->xmax - 1, true);
	for (int i = 0; i < basis->nxids; i++)
		result = Max(result, needed_for(basis, basis->xids[i], false));
	LWLockRelease(XactTruncationLock);
	return result;
}

XLogRecPtr
outbox_flush_basis(const TickBasis *basis)
{
	XLogRecPtr	flushed;

	outbox_flush_wal(needed(basis));
	flushed = GetFlushRecPtr(NULL);
	if (flushed % XLOG_BLCKSZ != 0)
		return flushed;
	outbox_flush_wal(basis->inserted);
	return basis->inserted;
}
