/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Which databases get a relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Only a process connected to a database can see whether it has the
 * extension.  The launcher is connected to none.  So it starts a relay in every
 * database that allows connections and is no template, and a relay that finds
 * no extension ends and says so.  Such a database is left alone until somebody
 * asks for a relay: CREATE EXTENSION does, and so does a commit that enqueued
 * and found no relay.  Databases are tried one after the other, as each try
 * takes one of the server's background workers for a moment.  A relay in a
 * template would be in the way of CREATE DATABASE.
 *
 * The launcher looks at pg_database once a minute, to find new databases (made
 * from a template that has the extension, or restored).
 *
 * The launcher restarts relays, not the postmaster: a relay whose database has
 * been dropped must not come back, so pg_database is read first.  A relay's
 * state is in its slot, not in the worker handle, so that a restarted launcher
 * takes over the relays that are running.
 *
 * A relay is a connection that would make DROP DATABASE fail.  The object
 * access hook stops the relay in time, and DROP DATABASE waits for its end.
 * The same hook tells the relay of DROP EXTENSION.
 *
 * If the launcher dies, relays go on; it comes back and looks at the slots.
 *
 *-------------------------------------------------------------------------
 */
#include "launcher.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "clock.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "wake.h"

#define SCAN_INTERVAL_MS		60000	/* between two looks at pg_database */
#define RESTART_DELAY_MS		1000	/* before a relay that ran for a while */
#define RESTART_DELAY_LONG_MS	5000	/* before one that ended sooner */
#define RAN_FOR_A_WHILE_MS		10000
#define SLOW_START_MS			3000	/* then other relays are started, too */
#define ATTACH_TIMEOUT_MS		60000	/* then a relay is given up */
#define LOOK_INTERVAL_MS		1000	/* while a relay is starting */

typedef enum DatabaseState
{
	DB_DUE,						/* start a relay at next_try */
	DB_STARTED,					/* registered, not seen yet */
	DB_RUNNING,
	DB_WITHOUT					/* does not have the extension */
} DatabaseState;

typedef struct Database
{
	Oid			oid;
	DatabaseState state;
	bool		exists;			/* in the last look at pg_database */
	OutboxSlot *slot;			/* kept while the database has a relay */
	BackgroundWorkerHandle *handle;
	OutboxTime	started;
	OutboxTime	next_try;		/* 0: at once */
} Database;

static List *databases = NIL;
static object_access_hook_type prev_object_access = NULL;
static bool complained_of_no_worker = false;
static bool scan_due = true;

/*
 * Stop the relay of a database, if there is one.
 */
static void
stop_relay(Oid database)
{
	OutboxSlot *slot = outbox_find_slot(database);
	int			pid = 0;

	if (slot == NULL)
		return;
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	if (pg_atomic_read_u32(&slot->database) == database)
		pid = slot->pid;
	LWLockRelease(outbox_shared->lock);
	if (pid != 0)
		kill(pid, SIGTERM);
}

static Database *
find_database(Oid oid)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->oid == oid)
			return db;
	}
	return NULL;
}

static Database *
add_database(Oid oid, DatabaseState state)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Database   *db = palloc0(sizeof(Database));

	db->oid = oid;
	db->state = state;
	db->exists = true;
	databases = lappend(databases, db);
	MemoryContextSwitchTo(old);
	return db;
}

/*
 * Give up a database's slot.  With unless_told the slot is kept, and false
 * returned, if somebody has told the relay something that it has not seen.
 */
static bool
free_slot(OutboxSlot *slot, bool unless_told)
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

/*
 * Give a database a slot.  A slot that it still has keeps what the views show
 * of the last relay.  Returns NULL if no slot is free.
 */
static OutboxSlot *
take_slot(Oid database)
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
	if (fresh)
	{
		slot->state = OUTBOX_STARTING;
		slot->since = GetCurrentTimestamp();
		slot->why[0] = '\0';
		slot->last_error[0] = '\0';
		slot->last_error_at = 0;
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

/*
 * Read pg_database: new databases are due, dropped ones are forgotten.
 */
static void
scan_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;
	ListCell   *lc;

	foreach(lc, databases)
		((Database *) lfirst(lc))->exists = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tup);
		Database   *db;

		if (!form->datallowconn || form->datistemplate ||
			form->datconnlimit == OUTBOX_INVALID_DATABASE)
			continue;
		db = find_database(form->oid);
		if (db == NULL)
			db = add_database(form->oid, DB_DUE);
		db->exists = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	PopActiveSnapshot();
	CommitTransactionCommand();

	foreach(lc, databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->exists)
			continue;
		if (db->state == DB_STARTED || db->state == DB_RUNNING)
		{
			/* dropped, or a template now, or one that takes no connections */
			stop_relay(db->oid);
			continue;
		}
		if (db->slot != NULL)
			(void) free_slot(db->slot, false);
		databases = foreach_delete_current(databases, lc);
		pfree(db);
	}
}

/*
 * Take the requests of backends: a database that had no extension may have it
 * now.
 */
static void
take_requests(void)
{
	Oid			requests[OUTBOX_MAX_REQUESTS];
	int			n;
	bool		overflow;
	ListCell   *lc;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	n = outbox_shared->nrequests;
	memcpy(requests, outbox_shared->requests, n * sizeof(Oid));
	overflow = outbox_shared->overflow;
	outbox_shared->nrequests = 0;
	outbox_shared->overflow = false;
	LWLockRelease(outbox_shared->lock);

	for (int i = 0; i < n; i++)
	{
		Database   *db = find_database(requests[i]);

		if (db == NULL)
			scan_due = true;	/* new, or a database that gets no relay */
		else if (db->state == DB_WITHOUT)
			db->state = DB_DUE;
	}
	if (overflow)
	{
		foreach(lc, databases)
		{
			Database   *db = (Database *) lfirst(lc);

			if (db->state == DB_WITHOUT)
				db->state = DB_DUE;
		}
	}
}

/*
 * See whether a relay has appeared, runs, or has ended.
 */
static void
look_after(Database *db, OutboxTime now)
{
	OutboxOutcome outcome;
	int			pid;
	pid_t		unused;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	outcome = db->slot->outcome;
	pid = db->slot->pid;
	LWLockRelease(outbox_shared->lock);

	if (outcome == OUTBOX_OUTCOME_NONE && pid != 0)
	{
		db->state = DB_RUNNING;
		return;
	}
	if (outcome == OUTBOX_OUTCOME_NONE)
	{
		bool		late = now >= outbox_in_ms(db->started, ATTACH_TIMEOUT_MS);

		/* not seen yet; has it ended before it could report? */
		if (!late && (db->handle == NULL ||
					  GetBackgroundWorkerPid(db->handle, &unused) != BGWH_STOPPED))
			return;
		if (late && db->handle != NULL)
		{
			ereport(LOG,
					(errmsg("outbox relay for database %u has not started within %d s, trying again",
							db->oid, ATTACH_TIMEOUT_MS / 1000)));
			TerminateBackgroundWorker(db->handle);
		}
	}

	if (db->handle != NULL)
		pfree(db->handle);
	db->handle = NULL;
	/* the database may have been dropped */
	scan_due = true;
	if (outcome == OUTBOX_OUTCOME_NOT_NEEDED)
	{
		if (free_slot(db->slot, true))
		{
			db->slot = NULL;
			db->state = DB_WITHOUT;
		}
		else
		{
			db->state = DB_DUE;
			db->next_try = now;
		}
	}
	else
	{
		bool		long_run = now >= outbox_in_ms(db->started, RAN_FOR_A_WHILE_MS);

		db->state = DB_DUE;
		db->next_try = outbox_in_ms(now, long_run ? RESTART_DELAY_MS :
									RESTART_DELAY_LONG_MS);
	}
}

static bool
register_relay(Database *db)
{
	BackgroundWorker worker;
	OutboxRelayArgs args;
	MemoryContext old;
	bool		ok;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "outbox", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "outbox_relay_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "outbox relay for database %u",
			 db->oid);
	strlcpy(worker.bgw_type, "outbox relay", BGW_MAXLEN);

	args.slot = db->slot - outbox_shared->slots;
	args.generation = db->slot->generation;
	args.database = db->oid;
	memcpy(worker.bgw_extra, &args, sizeof(args));

	old = MemoryContextSwitchTo(TopMemoryContext);
	ok = RegisterDynamicBackgroundWorker(&worker, &db->handle);
	MemoryContextSwitchTo(old);
	return ok;
}

static void
start_relay(Database *db, OutboxTime now)
{
	db->slot = take_slot(db->oid);
	if (db->slot != NULL && register_relay(db))
	{
		db->state = DB_STARTED;
		db->started = now;
		complained_of_no_worker = false;
		return;
	}
	if (!complained_of_no_worker)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start an outbox relay for database %u",
						db->oid),
				 errdetail("No background worker is free."),
				 errhint("Increase \"max_worker_processes\".")));
	complained_of_no_worker = true;
	db->handle = NULL;
	db->next_try = outbox_in_ms(now, RESTART_DELAY_LONG_MS);
}

static void
look_after_relays(OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->state == DB_STARTED || db->state == DB_RUNNING)
			look_after(db, now);
	}
}

/*
 * Start the relays that are due, one at a time; a relay that is slow to start
 * does not keep others waiting.  Returns how many milliseconds to wait.
 */
static long
start_relays(OutboxTime now)
{
	bool		trying = false;
	long		wait = SCAN_INTERVAL_MS;
	ListCell   *lc;

	foreach(lc, databases)
	{
		Database   *db = (Database *) lfirst(lc);

		trying |= db->state == DB_STARTED &&
			now < outbox_in_ms(db->started, SLOW_START_MS);
	}
	foreach(lc, databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->state != DB_DUE)
			continue;
		if (db->next_try > now)
			wait = Min(wait, outbox_ms_until(now, db->next_try));
		else if (!trying)
		{
			start_relay(db, now);
			trying = true;
		}
	}
	return trying ? Min(wait, LOOK_INTERVAL_MS) : wait;
}

static void
launcher_exit(int code, Datum arg)
{
	pg_atomic_write_u32(&outbox_shared->launcher_procno, OUTBOX_NOBODY);
}

/*
 * Take over the relays that a former launcher has started.
 */
static void
adopt_relays(void)
{
	for (int i = 0; i < outbox_shared->nslots; i++)
	{
		OutboxSlot *slot = &outbox_shared->slots[i];
		Oid			oid = pg_atomic_read_u32(&slot->database);
		Database   *db;

		if (!OidIsValid(oid))
			continue;
		db = add_database(oid, DB_STARTED);
		db->slot = slot;
		db->started = outbox_now();
	}
}

void
outbox_launcher_main(Datum main_arg)
{
	OutboxTime	next_scan = 0;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("outbox launcher");

	before_shmem_exit(launcher_exit, (Datum) 0);
	adopt_relays();
	pg_atomic_write_u32(&outbox_shared->launcher_procno, outbox_my_procno());

	for (;;)
	{
		OutboxTime	now;
		long		wait;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		now = outbox_now();
		take_requests();
		look_after_relays(now);
		if (scan_due || now >= next_scan)
		{
			scan_due = false;
			scan_databases();
			next_scan = outbox_in_ms(now, SCAN_INTERVAL_MS);
		}
		wait = start_relays(now);
		wait = Min(wait, outbox_ms_until(now, next_scan));

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, outbox_wait_event("OutboxLauncherMain"));
		ResetLatch(MyLatch);
	}
}

void
outbox_register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "outbox", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "outbox_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "outbox launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "outbox launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (access != OAT_DROP)
		return;
	if (class == DatabaseRelationId)
		stop_relay(object);
	else if (class == ExtensionRelationId &&
			 object == get_extension_oid(OUTBOX_EXTENSION, true))
		outbox_tell_at_commit();
}

void
outbox_install_drop_hook(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
