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
 *-------------------------------------------------------------------------
 */
#include "wake.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "shmem.h"

typedef enum WakeFlag
{
	WAKE_NOT,
	WAKE_DELIVER,
	WAKE_TELL
} WakeFlag;

static bool registered = false;
static WakeFlag wake_flag = WAKE_NOT;

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

static void
wake_callback(XactEvent event, void *arg)
{
	WakeFlag	flag = wake_flag;

	if (flag == WAKE_NOT || event == XACT_EVENT_PRE_PREPARE)
		return;
	if (event == XACT_EVENT_PRE_COMMIT)
	{
		if (synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
			wake_relay();
		return;
	}
	wake_flag = WAKE_NOT;
	if (event != XACT_EVENT_COMMIT)
		return;
	if (flag == WAKE_TELL)
		tell_relay();
	else
		wake_relay();
}

static void
set_flag(WakeFlag flag)
{
	if (!registered)
	{
		RegisterXactCallback(wake_callback, NULL);
		registered = true;
	}
	wake_flag = Max(wake_flag, flag);
}

void
outbox_wake_at_commit(void)
{
	set_flag(WAKE_DELIVER);
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
