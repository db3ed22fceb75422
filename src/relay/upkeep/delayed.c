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
 * If a row can't be read, those that are due with it are staged one at a time, and
 * the one that fails is set aside.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/delayed.h"

#include <limits.h>

#include "queue/partition.h"
#include "relay/base/aside.h"
#include "relay/base/hold.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "store/deferred.h"
#include "store/query.h"
#include "utils/timestamp.h"

/* rows staged in one transaction, and bytes after which no further one is */
#define MOVE_ROWS		200
#define MOVE_BYTES		1048576

/* those that are due, as many as are staged at once */
#define DUE_ROWS " WHERE reason = 'delayed' AND due_at BETWEEN $from AND $now" \
	" AND seq <> ALL ($aside) ORDER BY due_at, seq LIMIT $rows" \
	" FOR UPDATE SKIP LOCKED"

/* how often rows are looked for that no commit has told of */
#define FULL_LOOK_MS	10000

/* ... and such a look may take this part of the relay's time */
#define FULL_LOOK_PART	50

static TimestampTz due_at = DT_NOEND;	/* of the next message; DT_NOEND: none */
static OutboxTime not_before = 0;	/* no attempt before this */

/*
 * No message is due before this, as far as commits have told; and when to look
 * for others.
 */
static TimestampTz none_before = DT_NOBEGIN;
static OutboxTime full_look_at = 0;

/* rows that can't be read, by their seq */
static Aside aside = {{"stage delayed messages"}};

/* so many more rows are staged one at a time; the one that is being staged */
static int	careful = 0;
static uint64 trying;
static int32 trying_of;			/* its queue */
static char trying_to[OUTBOX_OBSTACLE_SIZE];

/*
 * SPI is connected.  While an old snapshot lives, the index keeps entries of all
 * messages that have been staged since: those before none_before are passed over,
 * but by a full look.
 */
static void
find_next_due(void)
{
	static SPIPlanPtr plan = NULL;
	OutboxTime	began = outbox_now();
	bool		full = began >= full_look_at;
	OutboxParam params[] = {
		{"from", TIMESTAMPTZOID,
		TimestampTzGetDatum(full ? DT_NOBEGIN : none_before)},
		{"aside", INT8ARRAYOID, outbox_aside_numbers(&aside)}
	};

	/* a row without a time has been edited by hand; it is never due */
	due_at = DT_NOEND;
	if (outbox_query_in_order(&plan, "SELECT due_at FROM outbox.deferred"
							  " WHERE reason = 'delayed' AND due_at >= $from"
							  " AND seq <> ALL ($aside)"
							  " ORDER BY due_at LIMIT 1", params, lengthof(params)) > 0)
		due_at = outbox_result_int64(0, 1);
	none_before = due_at;
	if (full)
		full_look_at = outbox_now() +
			Max(FULL_LOOK_MS * INT64CONST(1000),
				(outbox_now() - began) * FULL_LOOK_PART);
}

void
outbox_look_for_delayed(void)
{
	static const StepLock locks[] = {{OUTBOX_REL_DEFERRED, false}};

	if (outbox_now() < full_look_at ||
		!outbox_begin_locked_step(locks, lengthof(locks)))
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
	{
		due_at = Min(due_at, (TimestampTz) due);
		none_before = Min(none_before, (TimestampTz) due);
	}
}

/*
 * Lock the first row that is due, and remember it for the case that it can't be read.
 */
static void
lock_first(const OutboxParam *params, int nparams)
{
	RelayQueue *queue;

	trying = 0;
	if (outbox_query("SELECT seq, queue, id FROM outbox.deferred" DUE_ROWS,
					 params, nparams) == 0)
		return;
	trying = (uint64) outbox_result_int64(0, 1);
	trying_of = (int32) outbox_result_int64(0, 2);
	queue = outbox_find_queue(trying_of);
	snprintf(trying_to, sizeof(trying_to),
			 "stage the delayed message %s of %s",
			 SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3),
			 queue != NULL ? outbox_queue_title(queue->settings) : "an unknown queue");
}

/*
 * True if any was due.
 */
static bool
move_rows(TimestampTz now)
{
	OutboxParam params[] = {
		{"now", TIMESTAMPTZOID, TimestampTzGetDatum(now)},
		{"from", TIMESTAMPTZOID, TimestampTzGetDatum(none_before)},
		{"aside", INT8ARRAYOID, outbox_aside_numbers(&aside)},
		{"rows", INT8OID, Int64GetDatum(careful > 0 ? 1 : MOVE_ROWS)}
	};
	uint64		n;

	SPI_connect();
	if (careful > 0)
		lock_first(params, lengthof(params));
	n = outbox_query("WITH moved AS (DELETE FROM outbox.deferred WHERE ctid = ANY (ARRAY("
					 "SELECT place FROM (SELECT place,"
					 " sum(bytes) OVER (ORDER BY due_at, seq) - bytes AS before"
					 " FROM (SELECT ctid AS place, due_at, seq,"
					 " octet_length(payload)::bigint AS bytes FROM outbox.deferred"
					 DUE_ROWS ") AS due) AS sums"
					 " WHERE before < " CppAsString2(MOVE_BYTES)
					 ")) RETURNING *)"
					 " SELECT * FROM moved ORDER BY due_at, seq",
					 params, lengthof(params));
	outbox_stage_result();
	find_next_due();
	SPI_finish();
	return n > 0;
}

/*
 * True if any was due.
 */
static bool
stage_due(TimestampTz now)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_DEFERRED, true},
		{OUTBOX_REL_STAGING_1, true},
		{OUTBOX_REL_STAGING_2, true},
		{OUTBOX_REL_SEQ, true}
	};
	bool		moved;

	if (!outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	outbox_turn_does(OUTBOX_STEP_DELAYED);
	moved = move_rows(now);
	outbox_end_step();
	if (careful > 0)
		careful--;
	return moved;
}

/*
 * In PG_CATCH(): find the row that can't be read, or go on without it.  False if it
 * is none.
 */
static bool
can_go_on_without(MemoryContext context)
{
	RelayQueue *queue;

	if (!outbox_is_error_of_data())
		return false;
	if (careful == 0)
	{
		/* the error will be met again, and told then */
		careful = MOVE_ROWS;
		(void) outbox_end_error(context);
		return true;
	}
	if (trying == 0 || !outbox_set_aside(&aside, trying, trying_to, context))
		return false;
	queue = outbox_known_queue(trying_of);
	if (queue != NULL)
		outbox_show_error(queue, psprintf("cannot %s: %s", trying_to, aside.mishap.text));
	return true;
}

void
outbox_stage_delayed(Relay *relay, OutboxTime now)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool again;
	TimestampTz wall;

	listen_to_commits(relay);
	if (outbox_try_aside_again(&aside, now))
	{
		due_at = none_before = DT_NOBEGIN;
		careful = MOVE_ROWS;
	}
	if (due_at == DT_NOEND || not_before > now || outbox_is_held())
		return;
	wall = GetCurrentTimestamp();
	if (due_at > wall)
		return;

	PG_TRY();
	{
		again = stage_due(wall);
	}
	PG_CATCH();
	{
		/* what is due next may not be known */
		full_look_at = 0;
		if (!can_go_on_without(context))
			PG_RE_THROW();
		again = true;
	}
	PG_END_TRY();
	if (again)
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
