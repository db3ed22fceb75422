/*-------------------------------------------------------------------------
 *
 * delayed.c
 *	  Stage delayed messages when they are due.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * When a delayed message is due, one transaction deletes its row and stages it
 * with a new identity.  From there it is delivered like any other message.
 * The relay knows when the next message is due from the index, and from shared
 * memory, where a commit that has deferred messages writes the earliest time.
 * Rows that another session has locked, to take the messages back, are left
 * alone and looked at again soon.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/delayed.h"

#include <limits.h>

#include "relay/base/hold.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "store/deferred.h"
#include "store/query.h"
#include "utils/timestamp.h"

/* rows staged in one transaction */
#define MOVE_ROWS		500

static TimestampTz due_at = DT_NOEND;	/* of the next message; DT_NOEND: none */
static OutboxTime not_before = 0;	/* no attempt before this */

/*
 * SPI is connected.
 */
static void
find_next_due(void)
{
	/* a row without a time has been edited by hand; it is never due */
	due_at = DT_NOEND;
	if (outbox_query("SELECT due_at FROM outbox.deferred"
					 " WHERE reason = 'delayed' AND due_at IS NOT NULL"
					 " ORDER BY due_at LIMIT 1", NULL, 0) > 0)
		due_at = outbox_result_int64(0, 1);
}

void
outbox_look_for_delayed(void)
{
	static const StepLock locks[] = {{OUTBOX_REL_DEFERRED, false}};

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return;
	SPI_connect();
	find_next_due();
	SPI_finish();
	outbox_end_step();
}

/*
 * Take the earliest time that commits have written since the last turn.
 */
static void
listen_to_commits(Relay *relay)
{
	uint64		due = pg_atomic_read_u64(&relay->slot->due);

	if (due != PG_UINT64_MAX)
		due = pg_atomic_exchange_u64(&relay->slot->due, PG_UINT64_MAX);
	if (due != PG_UINT64_MAX)
		due_at = Min(due_at, (TimestampTz) due);
}

/*
 * True if any was due.
 */
static bool
move_rows(TimestampTz now)
{
	OutboxParam params[] = {
		{"now", TIMESTAMPTZOID, TimestampTzGetDatum(now)}
	};
	uint64		n;

	SPI_connect();
	n = outbox_query("WITH moved AS (DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
					 "SELECT ctid FROM outbox.deferred"
					 " WHERE reason = 'delayed' AND due_at <= $now"
					 " ORDER BY due_at, seq LIMIT " CppAsString2(MOVE_ROWS)
					 " FOR UPDATE SKIP LOCKED)) RETURNING *)"
					 " SELECT * FROM moved ORDER BY due_at, seq",
					 params, lengthof(params));
	outbox_stage_result();
	find_next_due();
	SPI_finish();
	return n > 0;
}

void
outbox_stage_delayed(Relay *relay, OutboxTime now)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_DEFERRED, true},
		{OUTBOX_REL_STAGING_1, true},
		{OUTBOX_REL_STAGING_2, true}
	};
	TimestampTz wall;
	bool		moved = false;

	listen_to_commits(relay);
	if (due_at == DT_NOEND || not_before > now || outbox_is_held())
		return;
	wall = GetCurrentTimestamp();
	if (due_at > wall)
		return;

	if (outbox_begin_locked_step(locks, lengthof(locks)))
	{
		moved = move_rows(wall);
		outbox_end_step();
	}
	if (moved)
		outbox_want_plan(PLAN_STAGED);
	else
		not_before = outbox_in_ms(now, OUTBOX_LOOK_AGAIN_MS);
}

long
outbox_ms_until_delayed(OutboxTime now)
{
	long		until_due;

	if (due_at == DT_NOEND || outbox_is_held())
		return LONG_MAX;
	until_due = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due_at);
	return Max(until_due, outbox_ms_until(now, not_before));
}
