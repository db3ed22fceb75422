/*-------------------------------------------------------------------------
 *
 * own_run.c
 *	  Record this server's run before anything is delivered.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A relay records its server's run at once when it starts, flushed, also while
 * Redis is away: a run that ended before it was recorded can't be told from one
 * of another server.  While everything is held the run is not recorded.
 *
 * A server that was restored from a backup (server_run.c) is held first, in each
 * database that has runs of before.  relay_state.restored names the restored run
 * for which that was done.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/own_run.h"

#include "access/xlog.h"
#include "relay/attach.h"
#include "relay/base/hold.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/deliver/tick.h"
#include "store/query.h"
#include "store/run.h"
#include "utils/builtins.h"

/*
 * If this database was restored from a backup, and nobody knows of it yet, hold
 * it.  SPI is connected.
 */
static void
take_restored(void)
{
	const OutboxRunShared *run = &outbox_shared->run;
	OutboxParam params[] = {
		{"restored", TEXTOID, CStringGetTextDatum(run->restored)}
	};

	if (run->restored[0] != '\0' &&
		outbox_query("UPDATE outbox.relay_state SET restored = $restored"
					 " WHERE restored IS DISTINCT FROM $restored",
					 params, lengthof(params)) > 0 &&
		outbox_has_run_before(run->id))
		outbox_write_hold(OUTBOX_HELD_RESTORED,
						  "this server was restored from a backup");
}

static bool
database_says_held(void)
{
	return outbox_query("SELECT FROM outbox.relay_state WHERE held IS NOT NULL",
						NULL, 0) > 0;
}

static void
record(Relay *relay)
{
	OutboxRun	run;
	StringInfoData line;

	outbox_run_describe(&outbox_shared->run, &run);
	outbox_record_run(&run);
	relay->history = outbox_read_history(relay->context);
	initStringInfo(&line);
	outbox_line_print(&line, relay->history);
	relay->line = MemoryContextStrdup(relay->context, line.data);
}

bool
outbox_record_own_run(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_RUN, true},
		{OUTBOX_REL_RELAY_STATE, true},
		{OUTBOX_REL_DELIVERY, false}
	};

	XLogRecPtr	lsn;
	bool		unused;

	if (relay->history != NULL || outbox_is_held())
		return true;
	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	take_restored();
	if (database_says_held())
		(void) outbox_read_relay_state(relay,
									   outbox_lock_relation(OUTBOX_REL_DEFERRED),
									   &unused);
	else
		record(relay);
	SPI_finish();
	outbox_end_step();
	lsn = GetXLogInsertRecPtr();
	outbox_flush_wal(lsn);
	outbox_rest_on(lsn);
	return relay->history != NULL;
}
