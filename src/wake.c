/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Wake the relay if, and only if, this transaction commits.
 *
 * Design notes
 *
 * A flag per backend, looked at in a transaction callback that is registered
 * once.  At XACT_EVENT_COMMIT the transaction's rows are visible to a new
 * snapshot, so whoever is woken finds them.  The callback may not fail: it
 * reads shared memory and sets a latch.
 *
 * PREPARE TRANSACTION drops the flag, and COMMIT PREPARED may run in any
 * session; such messages are found by the relay's own looking around, which
 * it does every second.
 *
 * A relay that sleeps is woken before the commit record is flushed, too: by
 * the time the commit is visible it has looked around in vain, its code and
 * data are in the caches, and the wake that counts finds it faster.  That is
 * worth a sixth of the time from commit to Redis on an idle server.  With
 * synchronous_commit = off there is nothing to wait for.
 *
 * Whoever changes queues or drops the extension tells the relay by a second
 * flag: cache invalidations are sent after this callback, so the relay must
 * not trust its caches when it is woken for that.
 *
 * While Redis is away the relay is deaf to commits, so that an outage costs
 * callers nothing.
 *
 * Of messages that may not go yet the relay needs to know when the first one
 * may.  So a commit that has deferred some lowers the time in the slot to its
 * own earliest, and wakes the relay if that has changed it: else the relay
 * knows of an earlier one, or will, and looks at the table then.  It is told
 * also while it is deaf, as it can't ask again.  There is no early wake: who
 * has deferred messages isn't in a hurry.
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
	WAKE_TELL
} WakeFlag;

/* no message is deferred; due times are finite */
#define DUE_NEVER DT_NOEND

static bool registered = false;
static WakeFlag wake_flag = WAKE_NOT;
static TimestampTz wake_due = DUE_NEVER;

/*
 * There are rows to deliver.
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
 * Queues or the extension itself have changed.  With the lock, as a relay may
 * be leaving just now because there was no extension: then the launcher finds
 * that it has been told.
 */
static void
tell_relay(void)
{
	OutboxSlot *slot;

	if (outbox_shared == NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	slot = outbox_find_slot(MyDatabaseId);
	if (slot != NULL)
	{
		pg_atomic_write_u32(&slot->told, 1);
		outbox_wake_procno(pg_atomic_read_u32(&slot->procno));
	}
	LWLockRelease(outbox_shared->lock);
	if (slot == NULL)
		outbox_request_relay(MyDatabaseId);
}

/*
 * There are messages for later, the first of them for then.
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
	if (flag == WAKE_TELL)
		tell_relay();
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
outbox_tell_now(void)
{
	tell_relay();
}
