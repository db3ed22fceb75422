/*-------------------------------------------------------------------------
 *
 * standby.c
 *	  How far the synchronous standby has got.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * With synchronous_standby_names a commit is visible when the standby has it.
 * But who waits for the standby is the backend that commits.  Transactions whose
 * backends were killed in that wait are visible after the restart, whether the
 * standby has them or not; and what the relay itself commits has not waited.  If
 * Redis got what rests on either, a failover could forget it.
 *
 * So one position is kept: what leaves rests on WAL up to there.  It is raised
 *
 *		with the record of this server's run		own_run.c
 *		with each tick that has rows				plan_scan.c
 *		when a cursor is taken over					read_cursor.c
 *		when a message was given up					failure.c
 *
 * and nothing leaves before the standby has flushed it.  While it has not, no
 * tick begins (deliver.c): with a position that rises all the time, the wait
 * would never end.
 *
 * The relay never blocks in that wait.  Walsenders keep the position of the
 * standbys in WalSndCtl, whether anybody waits or not.  It is 0 after a restart,
 * until a standby has answered: then the standby has nothing yet.
 *
 * What consumers return is recorded before it is trimmed in Redis, and nothing else
 * waits for that: it has a position of its own.
 *
 * Without synchronous standbys all of this is a comparison.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/base/standby.h"

#include "guc.h"
#include "relay/base/step.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

/* a wait is shown when it has lasted so long */
#define SHOW_MS			1000

/* how often to look: at first, and when it is shown */
#define POLL_MS			1

static XLogRecPtr rests_on = InvalidXLogRecPtr;
static XLogRecPtr standby_has = InvalidXLogRecPtr;
static OutboxTime waits_since = 0;	/* 0: it does not wait */

void
outbox_rest_on(XLogRecPtr lsn)
{
	rests_on = Max(rests_on, outbox_end_of_record(lsn));
}

static bool
is_waited_for(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0' &&
		outbox_wait_for_standby && max_wal_senders > 0;
}

static bool
has(XLogRecPtr end)
{
	if (!is_waited_for() || standby_has >= end)
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	standby_has = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return standby_has >= end;
}

bool
outbox_standby_has(XLogRecPtr lsn)
{
	return has(outbox_end_of_record(lsn));
}

bool
outbox_standby_has_it(void)
{
	bool		result = has(rests_on);

	if (result)
		waits_since = 0;
	else if (waits_since == 0)
		waits_since = outbox_now();
	return result;
}

static bool
is_long(OutboxTime now)
{
	return waits_since != 0 && now >= outbox_in_ms(waits_since, SHOW_MS);
}

long
outbox_standby_poll_ms(OutboxTime now)
{
	return is_long(now) ? OUTBOX_LOOK_AGAIN_MS : POLL_MS;
}

const char *
outbox_standby_trouble(OutboxTime now)
{
	if (outbox_standby_has_it() || !is_long(now))
		return NULL;
	if (standby_has == InvalidXLogRecPtr)
		return psprintf("no synchronous standby has answered since this server started, it has to have WAL up to %X/%X",
						LSN_FORMAT_ARGS(rests_on));
	return psprintf("the synchronous standby has WAL up to %X/%X and has to have it up to %X/%X",
					LSN_FORMAT_ARGS(standby_has), LSN_FORMAT_ARGS(rests_on));
}
