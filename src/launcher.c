/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Which databases get a relay.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		due ──► started ──► running
 *		 ▲         │  │        │
 *		 ├─────────┘  ▼        │
 *		 │         without     │
 *		 └─────────────────────┘
 *
 * Only a process connected to a database can see whether it has the
 * extension.  The launcher is connected to none.  So it starts a relay in every
 * database that allows connections and is no template, and a relay that finds
 * no extension ends and says so.  Such a database is left alone until somebody
 * asks for a relay: CREATE EXTENSION does, and so does a commit that enqueued
 * and found no relay.
 *
 * All that are due are started at once, the one that has waited longest first,
 * as far as the server has background workers.  A database without the extension
 * gives its worker back at once, and is not due again; so any number of those
 * delays the others for a moment only.  Those that got no worker wait in the same
 * order.  A worker may be given back at any time by somebody who tells us
 * nothing, so all is tried again every few seconds.  The views tell why there is
 * no relay, without a slot for each that waits.
 *
 * The launcher looks at pg_database once a minute, and when a backend says that
 * it has changed (database_ddl.c).  Requests are taken ten times a second at
 * most: whoever enqueues in a template asks for a relay with each commit.
 *
 * The launcher restarts relays, not the postmaster: a relay whose database has
 * been dropped must not come back, so pg_database is read first.  A relay that
 * fails again and again is started less and less often.  A relay's state is in
 * its slot, not in the worker handle, so that a restarted launcher takes over
 * the relays that are running.
 *
 * If the launcher dies, relays go on; it comes back and looks at the slots.
 *
 *-------------------------------------------------------------------------
 */
#include "launcher.h"

#include "databases.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "shmem.h"
#include "slots.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SCAN_INTERVAL_MS		60000	/* between two looks at pg_database */
#define REQUEST_INTERVAL_MS		100 /* between two looks at requests */
#define RESTART_DELAY_MS		1000	/* before a relay that has ended;
										 * doubled each time if it has failed
										 * soon */
#define RESTART_MAX_DELAY_MS	30000
#define RESTART_MAX_DOUBLINGS	5
#define RAN_FOR_A_WHILE_MS		10000
#define NO_WORKER_MS			5000	/* then the log tells who has none,
										 * and all is tried again */
#define ATTACH_TIMEOUT_MS		60000	/* then a relay is given up */
#define LOOK_INTERVAL_MS		1000	/* while a relay is starting */

StaticAssertDecl((RESTART_DELAY_MS << RESTART_MAX_DOUBLINGS) >= RESTART_MAX_DELAY_MS,
				 "enough doublings reach the longest delay");

static bool scan_due = true;

/*
 * A backend has asked for a relay: a database that had no extension may have it
 * now.
 */
static void
take_request(Oid oid, OutboxTime now)
{
	Database   *db = outbox_find_database(oid);

	if (db == NULL)
		scan_due = true;		/* new, or a database that gets no relay */
	else if (db->state == DB_WITHOUT)
		outbox_set_due(db, now);
}

/*
 * Take what backends have left for us.  Returns how many milliseconds to wait
 * before this is to be done again.
 */
static long
take_requests(OutboxTime now)
{
	static OutboxTime next = 0;
	Oid			requests[OUTBOX_MAX_REQUESTS];
	int			n = 0;
	bool		overflow = false;
	ListCell   *lc;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	scan_due |= outbox_shared->scan_wanted;
	outbox_shared->scan_wanted = false;
	if (now >= next)
	{
		n = outbox_shared->nrequests;
		memcpy(requests, outbox_shared->requests, n * sizeof(Oid));
		overflow = outbox_shared->overflow;
		outbox_shared->nrequests = 0;
		outbox_shared->overflow = false;
	}
	LWLockRelease(outbox_shared->lock);

	for (int i = 0; i < n; i++)
		take_request(requests[i], now);
	if (overflow)
		foreach(lc, outbox_databases)
			take_request(((Database *) lfirst(lc))->oid, now);
	if (n > 0)
		next = outbox_in_ms(now, REQUEST_INTERVAL_MS);
	return next > now ? outbox_ms_until(now, next) : SCAN_INTERVAL_MS;
}

/*
 * A relay that was registered has not entered its slot: may it still do so?
 */
static bool
may_still_come(Database *db, OutboxTime now)
{
	pid_t		unused;

	if (now >= outbox_in_ms(db->started, ATTACH_TIMEOUT_MS))
	{
		if (!outbox_close_slot(db->slot))
			return true;
		ereport(LOG,
				(errmsg("outbox relay for database \"%s\" has not started within %d s, trying again",
						NameStr(db->name), ATTACH_TIMEOUT_MS / 1000)));
		if (db->handle != NULL)
			TerminateBackgroundWorker(db->handle);
		return false;
	}
	return db->handle == NULL ||
		GetBackgroundWorkerPid(db->handle, &unused) != BGWH_STOPPED;
}

static void
relay_has_failed(Database *db, OutboxTime now)
{
	int			delay;

	if (now >= outbox_in_ms(db->started, RAN_FOR_A_WHILE_MS))
		db->failures = 0;
	delay = Min(RESTART_DELAY_MS << Min(db->failures, RESTART_MAX_DOUBLINGS),
				RESTART_MAX_DELAY_MS);
	db->failures++;
	outbox_set_due(db, outbox_in_ms(now, delay));
}

static void
relay_has_ended(Database *db, OutboxOutcome outcome, OutboxTime now)
{
	/* the database may have been dropped */
	scan_due = true;
	switch (outcome)
	{
		case OUTBOX_OUTCOME_NOT_NEEDED:
			outbox_set_due(db, now);
			if (outbox_free_slot(db->slot, true))
			{
				db->slot = NULL;
				db->state = DB_WITHOUT;
			}
			break;
		case OUTBOX_OUTCOME_AWAY:
			outbox_set_due(db, now);
			break;
		case OUTBOX_OUTCOME_TOLD:
			outbox_set_due(db, outbox_in_ms(now, RESTART_DELAY_MS));
			break;
		case OUTBOX_OUTCOME_NONE:
			outbox_set_state(db->slot, OUTBOX_NOT_RUNNING,
							 "the relay could not be started, see the server's log; it is tried again");
			relay_has_failed(db, now);
			break;
		case OUTBOX_OUTCOME_FAILED:
			relay_has_failed(db, now);
			break;
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

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	outcome = db->slot->outcome;
	pid = db->slot->pid;
	LWLockRelease(outbox_shared->lock);

	if (outcome == OUTBOX_OUTCOME_NONE && pid != 0)
	{
		db->state = DB_RUNNING;
		if (!db->exists)
			outbox_end_relay(db->oid);
		return;
	}
	if (outcome == OUTBOX_OUTCOME_NONE && may_still_come(db, now))
		return;
	if (db->handle != NULL)
		pfree(db->handle);
	db->handle = NULL;
	relay_has_ended(db, outcome, now);
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

/*
 * False if no worker is free.
 */
static bool
start_relay(Database *db, OutboxTime now)
{
	db->slot = outbox_slot_for(db);
	if (db->slot == NULL || !register_relay(db))
	{
		db->handle = NULL;
		return false;
	}
	db->state = DB_STARTED;
	db->started = now;
	db->told_of_no_worker = false;
	return true;
}

/*
 * The database waits.  Databases without the extension take workers for a moment,
 * so the log says nothing at once.
 */
static void
has_no_worker(Database *db, OutboxTime now)
{
	outbox_give_slot_back(db);
	if (db->told_of_no_worker || now < outbox_in_ms(db->next_try, NO_WORKER_MS))
		return;
	db->told_of_no_worker = true;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free for an outbox relay in database \"%s\"",
					NameStr(db->name)),
			 errdetail("Messages stay staged until there is one."),
			 errhint("Increase \"max_worker_processes\".")));
}

/*
 * What the views tell of all databases that have no slot.
 */
static void
publish_lack_of_workers(bool lack)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	if (!lack)
		outbox_shared->no_worker_since = 0;
	else if (outbox_shared->no_worker_since == 0)
		outbox_shared->no_worker_since = now;
	LWLockRelease(outbox_shared->lock);
}

static void
look_after_relays(OutboxTime now)
{
	ListCell   *lc;

	foreach(lc, outbox_databases)
	{
		Database   *db = (Database *) lfirst(lc);

		if (db->state == DB_STARTED || db->state == DB_RUNNING)
			look_after(db, now);
	}
}

/*
 * Start the relays that are due.  Returns how many milliseconds to wait.
 */
static long
start_relays(OutboxTime now)
{
	long		wait = SCAN_INTERVAL_MS;
	List	   *due = outbox_due_databases(now, &wait);
	bool		is_free = true;
	ListCell   *lc;

	foreach(lc, due)
	{
		Database   *db = (Database *) lfirst(lc);

		is_free = is_free && start_relay(db, now);
		if (!is_free)
			has_no_worker(db, now);
	}
	list_free(due);
	publish_lack_of_workers(!is_free);
	if (!is_free)
		wait = Min(wait, NO_WORKER_MS);

	foreach(lc, outbox_databases)
		if (((Database *) lfirst(lc))->state == DB_STARTED)
		wait = Min(wait, LOOK_INTERVAL_MS);
	return wait;
}

/*
 * pg_cancel_backend() has no query to cancel here.
 */
static void
launcher_sigint(SIGNAL_ARGS)
{
}

static void
launcher_exit(int code, Datum arg)
{
	pg_atomic_write_u32(&outbox_shared->launcher_procno, OUTBOX_NOBODY);
}

/*
 * Take over the relays that a former launcher has started.  One that has not
 * entered its slot yet may have ended, which nobody will tell us: it is started
 * again.
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
		db = outbox_add_database(oid, outbox_close_slot(slot) ? DB_DUE : DB_STARTED);
		db->slot = slot;
		db->started = outbox_now();
	}
}

/*
 * postgresql.conf must not change how the launcher reads pg_database.
 */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_isolation", "read committed"},
		{"statement_timeout", "0"},
		OUTBOX_SETTINGS_OF_VERSION
		{"lock_timeout", "0"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET,
						PGC_S_OVERRIDE);
}

void
outbox_launcher_main(Datum main_arg)
{
	OutboxTime	next_scan = 0;

	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, launcher_sigint);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("outbox launcher");
	fix_settings();

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
		wait = take_requests(now);
		look_after_relays(now);
		if (scan_due || now >= next_scan)
		{
			scan_due = false;
			outbox_scan_databases();
			next_scan = outbox_in_ms(now, SCAN_INTERVAL_MS);
		}
		wait = Min(wait, start_relays(now));
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
