/*-------------------------------------------------------------------------
 *
 * step.c
 *	  A step of the relay: a transaction that waits for nobody.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The relay reads and writes tables in steps only, and no step waits, neither
 * for Redis nor for a lock.  If the relay waited for the lock of a session
 * whose DDL waits for one of the relay's, that would be a deadlock; and while
 * it waited for one table, no queue would be delivered.  If a lock can't be
 * had at once, the step is tried again on a later turn.
 *
 * A step runs as the owner of our tables, to its very end: what others have
 * attached to the tables may run as late as at commit.  See owner.c.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/step.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "owner.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * The context to return to.  Before PostgreSQL 17 the current context is
 * TopMemoryContext after a commit, and what is allocated there is never freed.
 */
static MemoryContext step_context = NULL;

/* who the relay is between steps, a superuser */
static OutboxCaller relay_itself;
static bool is_owner = false;

void
outbox_begin_step(void)
{
	step_context = CurrentMemoryContext;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	is_owner = outbox_catalog_load();
	if (is_owner)
		outbox_become_owner(&relay_itself);
}

void
outbox_end_step(void)
{
	PopActiveSnapshot();
	if (is_owner)
		outbox_restore_settings(&relay_itself);
	CommitTransactionCommand();
	if (is_owner)
		outbox_restore_user(&relay_itself);
	is_owner = false;
	MemoryContextSwitchTo(step_context);
}

bool
outbox_take_locks(const StepLock *locks, int n)
{
	for (int i = 0; i < n; i++)
		if (!(locks[i].write ? outbox_lock_to_write(locks[i].relation) :
			  outbox_lock_relation(locks[i].relation)))
			return false;
	return true;
}

bool
outbox_begin_locked_step(const StepLock *locks, int n)
{
	outbox_begin_step();
	if (outbox_catalog_load() && outbox_take_locks(locks, n))
		return true;
	outbox_end_step();
	return false;
}

/*
 * An insert position may lie just behind the header of a page, where no record
 * ends, and XLogFlush() would complain; then the end of the page before is
 * meant.
 */
XLogRecPtr
outbox_end_of_record(XLogRecPtr lsn)
{
	uint32		offset = lsn % XLOG_BLCKSZ;
	uint32		header = XLogSegmentOffset(lsn, wal_segment_size) == offset ?
	SizeOfXLogLongPHD : SizeOfXLogShortPHD;

	return offset <= header ? lsn - offset : lsn;
}

void
outbox_flush_wal(XLogRecPtr lsn)
{
	XLogFlush(outbox_end_of_record(lsn));
}
