/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  What relays, launcher and backends share.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * There are as many slots as background workers can run.  The launcher gives
 * a slot to a database, the relay fills it, and commits read a few words of it,
 * among them the relay's process number.  A stale process number wakes an
 * unrelated process, which finds nothing to do and sleeps again; so commits
 * need no lock.
 *
 * If a relay dies, its exit callback clears the slot.  If it is killed so that
 * callbacks do not run, the postmaster resets all shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "shmem.h"

#include "miscadmin.h"
#include "postmaster/bgworker_internals.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

OutboxShared *outbox_shared = NULL;

static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(OutboxShared, slots),
					mul_size(max_worker_processes, sizeof(OutboxSlot)));
}

static void
shmem_request(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("outbox", 1);
}

static void
slot_init(OutboxSlot *slot)
{
	pg_atomic_init_u32(&slot->database, InvalidOid);
	pg_atomic_init_u32(&slot->procno, OUTBOX_NOBODY);
	pg_atomic_init_u32(&slot->deaf, 0);
	pg_atomic_init_u32(&slot->told, 0);
	pg_atomic_init_u32(&slot->staging_current, 0);
	pg_atomic_init_u64(&slot->due, PG_UINT64_MAX);
	pg_atomic_init_u64(&slot->waiting, 0);
	pg_atomic_init_u64(&slot->oldest, 0);
	pg_atomic_init_u64(&slot->delivered, 0);
	pg_atomic_init_u64(&slot->last_success, 0);
	pg_atomic_init_u64(&slot->backlog_counts, 0);
	pg_atomic_init_u32(&slot->count_wanted, 0);
	pg_atomic_init_u32(&slot->errand_wanted, 0);
}

static void
shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup)
		prev_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	outbox_shared = ShmemInitStruct("outbox", shared_size(), &found);
	if (!found)
	{
		memset(outbox_shared, 0, shared_size());
		outbox_shared->lock = &(GetNamedLWLockTranche("outbox"))->lock;
		pg_atomic_init_u32(&outbox_shared->launcher_procno, OUTBOX_NOBODY);
		outbox_run_init(&outbox_shared->run);
		outbox_shared->nslots = max_worker_processes;
		for (int i = 0; i < outbox_shared->nslots; i++)
			slot_init(&outbox_shared->slots[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
outbox_shmem_init_hooks(void)
{
	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

OutboxSlot *
outbox_find_slot(Oid database)
{
	if (outbox_shared == NULL)
		return NULL;
	for (int i = 0; i < outbox_shared->nslots; i++)
	{
		OutboxSlot *slot = &outbox_shared->slots[i];

		if (pg_atomic_read_u32(&slot->database) == database)
			return slot;
	}
	return NULL;
}

void
outbox_wake_procno(uint32 procno)
{
	if (procno != OUTBOX_NOBODY)
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

/*
 * If the launcher has not taken this database's last request yet, it need not
 * be woken again.
 */
void
outbox_request_relay(Oid database)
{
	bool		wake = false;
	int			i;

	if (outbox_shared == NULL)
		return;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < outbox_shared->nrequests; i++)
		if (outbox_shared->requests[i] == database)
			break;
	if (i == OUTBOX_MAX_REQUESTS)
		outbox_shared->overflow = true;
	else if (i == outbox_shared->nrequests)
	{
		outbox_shared->requests[outbox_shared->nrequests++] = database;
		wake = true;
	}
	LWLockRelease(outbox_shared->lock);

	if (wake)
		outbox_wake_procno(pg_atomic_read_u32(&outbox_shared->launcher_procno));
}

void
outbox_request_scan(void)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	outbox_shared->scan_wanted = true;
	LWLockRelease(outbox_shared->lock);
	outbox_wake_procno(pg_atomic_read_u32(&outbox_shared->launcher_procno));
}

bool
outbox_lower_due(OutboxSlot *slot, TimestampTz due)
{
	uint64		old = pg_atomic_read_u64(&slot->due);

	while ((uint64) due < old)
		if (pg_atomic_compare_exchange_u64(&slot->due, &old, (uint64) due))
			return true;
	return false;
}

/*
 * The reason may change without the state; "since" is about the state.
 */
void
outbox_set_state(OutboxSlot *slot, OutboxRelayState state, const char *why)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (slot->state != state || slot->since == 0)
		slot->since = GetCurrentTimestamp();
	slot->state = state;
	strlcpy(slot->why, why ? why : "", OUTBOX_TEXT_SIZE);
	LWLockRelease(outbox_shared->lock);
}

void
outbox_set_error(OutboxSlot *slot, const char *error)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, error, OUTBOX_TEXT_SIZE);
	slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(outbox_shared->lock);
}
