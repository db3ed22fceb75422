/*-------------------------------------------------------------------------
 *
 * turns.c
 *	  The longest turns of the relay's loop, from shared memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * While the relay is in a long turn, no queue of the database is delivered.
 * These figures say how long that was, and for what.  They begin with the relay
 * and whenever somebody resets them.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "api/row.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "shmem.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/* columns of outbox.turn_stats() */
enum
{
	TURN_STEP,
	TURN_CLOCK,
	TURN_MS,
	TURN_AT,
	TURN_QUEUE,
	TURN_ROWS,
	TURN_COLUMNS
};

static const char *const step_names[OUTBOX_STEPS] = {
	[OUTBOX_STEP_OTHER] = "other",
	[OUTBOX_STEP_SETTINGS] = "settings",
	[OUTBOX_STEP_QUEUES] = "queues",
	[OUTBOX_STEP_LINK] = "link",
	[OUTBOX_STEP_ANSWERS] = "answers",
	[OUTBOX_STEP_REFUSALS] = "refusals",
	[OUTBOX_STEP_CURSORS] = "cursors",
	[OUTBOX_STEP_RECONCILE] = "reconcile",
	[OUTBOX_STEP_DELAYED] = "delayed",
	[OUTBOX_STEP_CONSUMERS] = "consumers",
	[OUTBOX_STEP_PLAN] = "plan",
	[OUTBOX_STEP_BATCHES] = "batches",
	[OUTBOX_STEP_RETRIES] = "retries",
	[OUTBOX_STEP_RESEND] = "resend",
	[OUTBOX_STEP_BACKLOG] = "backlog",
	[OUTBOX_STEP_COUNTS] = "counts",
	[OUTBOX_STEP_PURGE] = "purge",
	[OUTBOX_STEP_TOTALS] = "totals",
	[OUTBOX_STEP_ROTATION] = "rotation"
};

PG_FUNCTION_INFO_V1(outbox_turn_stats);
PG_FUNCTION_INFO_V1(outbox_reset_turn_stats);

static void
put_turn(ReturnSetInfo *result, OutboxStep step, const char *clock,
		 const OutboxTurn *turn)
{
	Datum		values[TURN_COLUMNS] = {0};
	bool		nulls[TURN_COLUMNS] = {0};

	if (turn->us == 0)
		return;
	values[TURN_STEP] = CStringGetTextDatum(step_names[step]);
	values[TURN_CLOCK] = CStringGetTextDatum(clock);
	values[TURN_MS] = Float8GetDatum(turn->us / 1000.0);
	values[TURN_AT] = TimestampTzGetDatum(turn->at);
	values[TURN_QUEUE] = Int32GetDatum(turn->queue);
	nulls[TURN_QUEUE] = turn->queue == 0;
	values[TURN_ROWS] = Int64GetDatum(turn->rows);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * outbox.turn_stats()
 */
Datum
outbox_turn_stats(PG_FUNCTION_ARGS)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	OutboxLongest longest[OUTBOX_STEPS] = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (slot != NULL)
	{
		LWLockAcquire(outbox_shared->lock, LW_SHARED);
		memcpy(longest, slot->longest, sizeof(longest));
		LWLockRelease(outbox_shared->lock);
	}
	for (int i = 0; i < OUTBOX_STEPS; i++)
	{
		put_turn(result, i, "cpu", &longest[i].cpu);
		put_turn(result, i, "wall", &longest[i].wall);
	}
	PG_RETURN_NULL();
}

/*
 * outbox.reset_turn_stats()
 */
Datum
outbox_reset_turn_stats(PG_FUNCTION_ARGS)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);

	if (slot != NULL)
	{
		LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
		memset(slot->longest, 0, sizeof(slot->longest));
		LWLockRelease(outbox_shared->lock);
	}
	PG_RETURN_VOID();
}
