/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Wake the relay if, and only if, this transaction commits.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Each backend has a flag, and a transaction callback, registered once, that
 * reads it.  At XACT_EVENT_COMMIT the transaction's rows are visible to a new
 * snapshot, so a relay that is woken finds them.  The callback may not fail: it
 * reads shared memory and sets a latch.
 *
 * PREPARE TRANSACTION drops the flag, and COMMIT PREPARED may run in any
 * session.  The relay finds such messages by itself, as it looks for messages
 * once a second.
 *
 * A sleeping relay is also woken before the commit record is flushed.  By the
 * time the commit is visible, the relay has looked in vain, but its code and
 * data are in the caches, and it reacts faster to the second wake.  That saves
 * a sixth of the time from commit to Redis on an idle server.  With
 * synchronous_commit = off there is no flush to wait for.
 *
 * Whoever changes queues or drops the extension tells the relay by a second
 * flag: cache invalidations are sent after this callback, so the relay must
 * not trust its caches when it is woken for that.
 *
 * While Redis is away the relay is deaf to commits, so that an outage costs
 * callers nothing.
 *
 * The relay has to know when the first deferred message is due.  So a commit
 * that has deferred messages lowers the time in the slot to the earliest of its
 * own.  If that has changed the time, the commit wakes the relay, even a deaf
 * one, as nothing tells it the time again.  If not, the relay knows of an
 * earlier time, or will, and looks at the table then.  There is no early wake,
 * since deferred messages are in no hurry.
 *
 *-------------------------------------------------------------------------
 */
#include "wake.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utils/timestamp.h"

typedef enum WakeFlag
{
	WAKE_NOT,
	WAKE_DELIVER,
	WAKE_TELL,
	WAKE_TELL_STATE
} WakeFlag;

/* no message was deferred; due times are finite */
#define DUE_NEVER DT_NOEND

static bool registered = false;
static WakeFlag wake_flag = WAKE_NOT;
static TimestampTz wake_due = DUE_NEVER;

/*
 * Wake the relay for new rows.
 */
static void
wake_relay(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot == NULL)
	{
		outbox_request_relay(MyDatabaseId);
		return;
	}
	pg_memory_barrier();
	if (pg_atomic_read_u32(&slot->deaf) == 0)
		outbox_wake_procno(pg_atomic_read_u32(&slot->procno));
}

/*
 * Tell the relay that queues or the extension have changed.  The lock is
 * needed because a relay may be ending at this moment, for want of the
 * extension: then the launcher sees the flag.
 */
static void
tell_relay(uint32 what)
{
	OutboxSlot *slot;

	if (outbox_shared == NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	slot = outbox_find_slot(MyDatabaseId);
	if (slot != NULL)
	{
		pg_atomic_fetch_or_u32(&slot->told, what);
		outbox_wake_procno(pg_atomic_read_u32(&slot->procno));
	}
	LWLockRelease(outbox_shared->lock);
	if (slot == NULL)
		outbox_request_relay(MyDatabaseId);
}

/*
 * Tell the relay when the first of the deferred messages is due.
 */
static void
lower_due(TimestampTz due)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot == NULL)
		outbox_request_relay(MyDatabaseId);
	else if (outbox_lower_due(slot, due))
		outbox_wake_procno(pg_atomic_read_u32(&slot->procno));
}

static void
wake_callback(XactEvent event, void *arg)
{
	WakeFlag	flag = wake_flag;
	TimestampTz due = wake_due;

	if ((flag == WAKE_NOT && due == DUE_NEVER) ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	if (event == XACT_EVENT_PRE_COMMIT)
	{
		if (flag != WAKE_NOT && synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
			wake_relay();
		return;
	}
	wake_flag = WAKE_NOT;
	wake_due = DUE_NEVER;
	if (event != XACT_EVENT_COMMIT)
		return;
	if (due != DUE_NEVER)
		lower_due(due);
	if (flag >= WAKE_TELL)
		tell_relay(flag == WAKE_TELL ? OUTBOX_TOLD_QUEUES : OUTBOX_TOLD_STATE);
	else if (flag == WAKE_DELIVER)
		wake_relay();
}

static void
register_callback(void)
{
	if (!registered)
	{
		RegisterXactCallback(wake_callback, NULL);
		registered = true;
	}
}

static void
set_flag(WakeFlag flag)
{
	register_callback();
	wake_flag = Max(wake_flag, flag);
}

void
outbox_wake_at_commit(void)
{
	set_flag(WAKE_DELIVER);
}

void
outbox_wake_when_due(TimestampTz due_at)
{
	register_callback();
	wake_due = Min(wake_due, due_at);
}

void
outbox_tell_at_commit(void)
{
	set_flag(WAKE_TELL);
}

void
outbox_tell_state_at_commit(void)
{
	set_flag(WAKE_TELL_STATE);
}

void
outbox_tell_now(void)
{
	tell_relay(OUTBOX_TOLD_QUEUES);
}
