/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  Slots are given and taken back; relays are ended and kept away.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A process that does something to a database for which nobody may be connected
 * to it (database_ddl.c) adds itself to a list in shared memory, and ends the
 * relay.  The list is read under the lock under which a relay enters its slot:
 * either the relay was there first and is ended, or the list was and the relay
 * leaves at once.  The launcher starts none for a database in the list.
 *
 * A process takes itself from the list when its transaction ends, however it
 * ends.  If it is killed so that not even that happens, the postmaster makes
 * all shared memory anew.
 *
 *-------------------------------------------------------------------------
 */
#include "slots.h"

#include <signal.h>

#include "miscadmin.h"
#include "utils/timestamp.h"

bool
outbox_may_have_relay(const FormData_pg_database *database)
{
	return database->datallowconn && !database->datistemplate &&
		database->datconnlimit != OUTBOX_INVALID_DATABASE;
}

bool
outbox_free_slot(OutboxSlot *slot, bool unless_told)
{
	bool		told;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	told = pg_atomic_exchange_u32(&slot->told, 0) != 0 && unless_told;
	if (!told)
	{
		pg_atomic_write_u32(&slot->procno, OUTBOX_NOBODY);
		pg_atomic_write_u32(&slot->database, InvalidOid);
		slot->generation++;
		slot->pid = 0;
	}
	LWLockRelease(outbox_shared->lock);
	return !told;
}

OutboxSlot *
outbox_take_slot(Oid database)
{
	OutboxSlot *slot = outbox_find_slot(database);
	bool		fresh = slot == NULL;

	if (slot == NULL)
		slot = outbox_find_slot(InvalidOid);
	if (slot == NULL)
		return NULL;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	slot->generation++;
	slot->pid = 0;
	slot->outcome = OUTBOX_OUTCOME_NONE;
	slot->npublished = -1;
	slot->published = DSM_HANDLE_INVALID;
	slot->nservers = 0;
	if (fresh)
	{
		slot->state = OUTBOX_STARTING;
		slot->since = GetCurrentTimestamp();
		slot->why[0] = '\0';
		slot->last_error[0] = '\0';
		slot->last_error_at = 0;
		slot->errand.pid = 0;
		pg_atomic_write_u64(&slot->waiting, 0);
		pg_atomic_write_u64(&slot->oldest, 0);
		pg_atomic_write_u64(&slot->delivered, 0);
		pg_atomic_write_u64(&slot->last_success, 0);
	}
	pg_atomic_write_u32(&slot->deaf, 0);
	pg_atomic_write_u32(&slot->told, 0);
	pg_atomic_write_u32(&slot->procno, OUTBOX_NOBODY);
	pg_atomic_write_u32(&slot->database, database);
	LWLockRelease(outbox_shared->lock);
	return slot;
}

bool
outbox_close_slot(OutboxSlot *slot)
{
	bool		empty;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	empty = slot->pid == 0;
	if (empty)
		slot->generation++;
	LWLockRelease(outbox_shared->lock);
	return empty;
}

/*
 * The lock is held: a relay that is in its slot has not ended.
 */
static void
end_relay(Oid database)
{
	OutboxSlot *slot = outbox_find_slot(database);

	if (slot != NULL && slot->pid != 0)
		kill(slot->pid, SIGTERM);
}

void
outbox_end_relay(Oid database)
{
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	end_relay(database);
	LWLockRelease(outbox_shared->lock);
}

/*
 * If the list is full, the relay is ended, and comes back after its usual
 * delay.
 */
void
outbox_keep_relay_away(Oid database)
{
	bool		listed = false;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < outbox_shared->naway; i++)
	{
		const OutboxAway *away = &outbox_shared->away[i];

		listed |= away->database == database && away->pid == MyProcPid;
	}
	if (!listed && outbox_shared->naway < OUTBOX_MAX_AWAY)
		outbox_shared->away[outbox_shared->naway++] =
			(OutboxAway) {database, MyProcPid};
	end_relay(database);
	LWLockRelease(outbox_shared->lock);
}

void
outbox_let_relays_back(void)
{
	int			n = 0;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < outbox_shared->naway; i++)
		if (outbox_shared->away[i].pid != MyProcPid)
			outbox_shared->away[n++] = outbox_shared->away[i];
	outbox_shared->naway = n;
	LWLockRelease(outbox_shared->lock);
}

int
outbox_kept_away_by(Oid database)
{
	for (int i = 0; i < outbox_shared->naway; i++)
		if (outbox_shared->away[i].database == database)
			return outbox_shared->away[i].pid;
	return 0;
}
