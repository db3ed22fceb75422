/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  The relay's slot, and whether its database is a copy.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A relay runs in the slot that the launcher has given it.  The launcher may
 * have given up waiting for this process and started another one; the slot's
 * generation tells, and then this process ends.  It also ends if somebody does
 * something to the database for which no relay may be there (slots.c).  When a
 * relay ends, however it ends, it writes so into the slot and wakes the launcher.
 *
 * A database that is a copy of another one has the other one's messages, and
 * perhaps its Redis.  CREATE DATABASE copies the row of outbox.relay_state,
 * which then has another database's oid.  pg_dump leaves that table out, but
 * messages out of a dump are in outbox.deferred with the reason "restored".
 * In both cases everything is held until an operator has decided.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/attach.h"

#include "lock.h"
#include "miscadmin.h"
#include "relay/base/hold.h"
#include "slots.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "store/query.h"
#include "store/tables.h"
#include "utils/timestamp.h"

volatile sig_atomic_t outbox_told_to_end = false;

static uint32 attached_generation;

/*
 * If the slot had an outcome before the process ended, the launcher may have
 * given the slot to another relay by now: then it must not be touched.
 */
static void
relay_detach(int code, Datum arg)
{
	OutboxSlot *slot = (OutboxSlot *) DatumGetPointer(arg);

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (slot->generation != attached_generation)
	{
		LWLockRelease(outbox_shared->lock);
		return;
	}
	pg_atomic_write_u32(&slot->procno, OUTBOX_NOBODY);
	slot->pid = 0;
	slot->npublished = -1;
	slot->published = DSM_HANDLE_INVALID;
	slot->nservers = 0;
	slot->totals_at = 0;
	if (slot->outcome == OUTBOX_OUTCOME_NONE)
		slot->outcome = !outbox_told_to_end ? OUTBOX_OUTCOME_FAILED :
			outbox_kept_away_by(pg_atomic_read_u32(&slot->database)) != 0 ?
			OUTBOX_OUTCOME_AWAY : OUTBOX_OUTCOME_TOLD;
	slot->state = OUTBOX_NOT_RUNNING;
	slot->since = GetCurrentTimestamp();
	strlcpy(slot->why, slot->outcome == OUTBOX_OUTCOME_FAILED ?
			"the relay has failed, see the server's log; it is started again" :
			slot->outcome == OUTBOX_OUTCOME_AWAY ?
			"the relay is away while the database is copied, renamed, moved or dropped" :
			"the relay has been told to end; it is started again",
			OUTBOX_TEXT_SIZE);
	LWLockRelease(outbox_shared->lock);
	outbox_wake_procno(pg_atomic_read_u32(&outbox_shared->launcher_procno));
}

OutboxSlot *
outbox_relay_attach(const OutboxRelayArgs *args)
{
	OutboxSlot *slot = &outbox_shared->slots[args->slot];
	bool		ours;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	ours = slot->generation == args->generation &&
		pg_atomic_read_u32(&slot->database) == args->database &&
		slot->pid == 0;
	if (ours && outbox_kept_away_by(args->database) != 0)
	{
		slot->outcome = OUTBOX_OUTCOME_AWAY;
		ours = false;
	}
	if (ours)
	{
		attached_generation = args->generation;
		slot->pid = MyProcPid;
		slot->state = OUTBOX_STARTING;
		slot->since = GetCurrentTimestamp();
		slot->why[0] = '\0';
		slot->server[0] = '\0';
		slot->address[0] = '\0';
		slot->staging_kept_by[0] = '\0';
		slot->replicas_behind[0] = '\0';
		memset(slot->longest, 0, sizeof(slot->longest));
		slot->server_commands.count = 0;
		pg_atomic_write_u32(&slot->procno, outbox_my_procno());
	}
	LWLockRelease(outbox_shared->lock);
	if (!ours)
	{
		outbox_wake_procno(pg_atomic_read_u32(&outbox_shared->launcher_procno));
		proc_exit(0);
	}
	before_shmem_exit(relay_detach, PointerGetDatum(slot));
	return slot;
}

void
outbox_relay_leave(Relay *relay)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	relay->slot->outcome = OUTBOX_OUTCOME_NOT_NEEDED;
	LWLockRelease(outbox_shared->lock);
	proc_exit(0);
}

/*
 * The first relay of a database gives it a source.  So a database that was
 * made from a template without a source gets its own.
 */
static void
make_source(void)
{
	outbox_query("INSERT INTO outbox.relay_state (source, database)"
				 " SELECT gen_random_uuid(), " OUTBOX_THIS_DATABASE
				 " WHERE NOT EXISTS (SELECT FROM outbox.relay_state)",
				 NULL, 0);
}

/*
 * Hold everything if the database says so.  True if its source has changed.  SPI
 * is connected.
 */
static bool
take_state(Relay *relay, bool deferred)
{
	static bool restored = false;
	bool		changed;
	bool		isnull;
	char	   *source;
	char	   *held;

	if (deferred)
		restored = outbox_query("SELECT FROM outbox.deferred"
								" WHERE reason = 'restored' LIMIT 1",
								NULL, 0) > 0;
	if (outbox_query("SELECT source::text, held, held_why,"
					 " database = " OUTBOX_THIS_DATABASE
					 " FROM outbox.relay_state", NULL, 0) != 1)
	{
		outbox_hold(OUTBOX_HELD_COPY,
					"outbox.relay_state does not have exactly one row");
		return false;
	}
	source = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	held = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	changed = strcmp(source, relay->source) != 0;
	strlcpy(relay->source, source, sizeof(relay->source));
	if (held != NULL)
		outbox_hold(held, SPI_getvalue(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 3));
	else if (!DatumGetBool(outbox_result(0, 4, &isnull)))
		outbox_hold(OUTBOX_HELD_COPY,
					"this database was copied from another one");
	else if (restored)
		outbox_hold(OUTBOX_HELD_RESTORED, "messages came out of a dump");
	else
		outbox_stop_holding(changed);
	return changed;
}

/*
 * Whatever is in the table, one row that says so turns delivery off.
 */
static void
take_delivery(void)
{
	if (outbox_query("SELECT since::timestamptz(0)::text FROM outbox.delivery"
					 " WHERE NOT enabled ORDER BY since LIMIT 1", NULL, 0) > 0)
		outbox_turn_off(SPI_getvalue(SPI_tuptable->vals[0],
									 SPI_tuptable->tupdesc, 1));
	else
		outbox_turn_on();
}

bool
outbox_read_relay_state(Relay *relay, bool deferred, bool *changed)
{
	bool		has_source;

	SPI_connect();
	has_source = outbox_query("SELECT FROM outbox.relay_state", NULL, 0) > 0;
	if (!has_source && outbox_lock_to_write(OUTBOX_REL_RELAY_STATE))
	{
		make_source();
		has_source = true;
	}
	if (has_source)
	{
		take_delivery();
		*changed = take_state(relay, deferred);
	}
	SPI_finish();
	return has_source;
}
