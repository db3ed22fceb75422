/*-------------------------------------------------------------------------
 *
 * queue_state.c
 *	  The states of a queue: it flows, stands still, or its cursor is read.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		from		what happens							to
 *		unknown		its cursor is asked for					asked
 *		unknown		its options cannot be used				blocked
 *		asked		the cursor has been read				flowing
 *		asked		the cursor has to be taken over			asked
 *		asked		another relay took it over before		unknown
 *		asked		Redis refuses the queue, the key holds
 *					no cursor, or a table is locked			blocked
 *		flowing		Redis refuses the queue, or a message
 *					and the policy is to block				blocked
 *		flowing		the cursor differs again and again			blocked
 *		flowing		Redis refuses a message, which is to be
 *					skipped; the cursor differs; or a table
 *					is locked when a failure is recorded	unknown
 *		flowing		the queue is paused						paused
 *		any			its slot is between two nodes of a
 *					cluster, or no node has it				blocked
 *		any			its slot is at another node				unknown
 *		blocked		retry_at has come						asked
 *		blocked		its policy is altered					unknown
 *		paused		it is resumed							unknown
 *		any other	its options are altered					unknown
 *		any			the link is taken down					unknown
 *
 * States are set in this file only; other files call the function that is named
 * after what they have found.  A queue that leaves "flowing" forgets its plan:
 * before it flows again its cursor is read, and it continues from there.
 * Answers to batches that were sent before are ignored, because the state is
 * another one or the cursor differs.
 *
 * A blocked queue asks for its cursor again at retry_at, later each time.  For
 * users it stands still from the first refusal until a message has been
 * delivered, though it is asked and flows in between: so still_since is kept
 * across these states.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/queue_state.h"

#include "guc.h"
#include "queue/partition.h"
#include "redis/errors.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/shown.h"
#include "relay/base/step.h"
#include "relay/base/wanted.h"
#include "relay/deliver/plan.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* a blocked queue is tried again after this, doubled each time up to a limit */
#define RETRY_DELAY_MS		250
#define RETRY_MAX_DELAY_MS	10000
#define RETRY_MAX_DOUBLINGS 6
StaticAssertDecl((RETRY_DELAY_MS << RETRY_MAX_DOUBLINGS) >= RETRY_MAX_DELAY_MS,
				 "enough doublings reach the longest delay");

/* a queue whose slot is moving is tried again after this, doubled likewise */
#define SLOT_DELAY_MS		50
#define SLOT_MAX_DELAY_MS	1000
#define SLOT_MAX_DOUBLINGS	5

/* so often in a row another node is asked at once */
#define REDIRECTED_AT_ONCE	5

/* a server that comes back sooner is waited for */
#define AWAY_MS				5000

/* so often in a row a cursor that differs is read again at once */
#define DIFFERS_AT_ONCE		3

static QueueState *
mine(const RelayQueue *queue)
{
	outbox_wake_queue(queue);
	return unconstify(QueueState *, queue->state);
}

void
outbox_queue_state_init(RelayQueue *queue)
{
	queue->state = outbox_make_part(queue, sizeof(QueueState));
	mine(queue)->state = QUEUE_UNKNOWN;
}

static void
stands_still(QueueState *state, TimestampTz since)
{
	if (state->still_since == 0)
		state->still_seen_at = outbox_now();
	state->still_since = since;
}

void
outbox_queue_is_asked(RelayQueue *queue)
{
	mine(queue)->state = QUEUE_ASKED;
}

void
outbox_queue_flows(RelayQueue *queue)
{
	mine(queue)->state = QUEUE_FLOWING;
	if (queue->settings->paused_at != 0)
		outbox_pause_queue_delivery(queue);
	outbox_want_plan(PLAN_CURSOR);
}

static bool
has_trouble(const QueueState *state)
{
	return state->failures != 0 || state->differed != 0 || state->redirected != 0 ||
		state->slot_waits != 0 || state->is_logged || state->still_since != 0;
}

void
outbox_queue_delivers(RelayQueue *queue)
{
	QueueState *state;

	/* most often there is nothing to forget, and a queue may rest */
	if (!has_trouble(queue->state))
		return;
	state = mine(queue);
	state->failures = 0;
	state->differed = 0;
	state->redirected = 0;
	state->slot_waits = 0;
	state->is_logged = false;
	state->still_since = 0;
}

void
outbox_queue_is_unknown(RelayQueue *queue)
{
	mine(queue)->state = QUEUE_UNKNOWN;
	outbox_discard_plan(queue);
}

void
outbox_queue_is_altered(RelayQueue *queue)
{
	outbox_queue_is_unknown(queue);
	mine(queue)->still_since = 0;
	mine(queue)->slot_waits = 0;
	outbox_want_plan(PLAN_QUEUES);
}

void
outbox_pause_queue_delivery(RelayQueue *queue)
{
	QueueState *state = mine(queue);

	outbox_stop_plan(queue);
	state->state = QUEUE_PAUSED;
	state->failures = 0;
	stands_still(state, queue->settings->paused_at);
	state->why[0] = '\0';
}

/*
 * The id of a message that was planned, as text; NULL if it can't be found.
 */
static char *
planned_id(const PlanEntry *entry)
{
	MemoryContext context = CurrentMemoryContext;
	OutboxStaging staging;
	OutboxMessage msg;
	char	   *id = NULL;

	/* one that was tried again has no place */
	if (entry->offset == InvalidOffsetNumber || !outbox_begin_locked_step(NULL, 0))
		return NULL;
	if (outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES))
	{
		if (outbox_fetch_planned(&staging, entry, &msg))
		{
			id = MemoryContextAlloc(context, OUTBOX_UUID_TEXT_LEN + 1);
			outbox_uuid_text(&msg.id, id);
		}
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return id;
}

void
outbox_block_queue(Relay *relay, RelayQueue *queue, const PlanEntry *entry,
				   const char *error)
{
	QueueState *state = mine(queue);
	int			delay = RETRY_DELAY_MS << Min(state->failures, RETRY_MAX_DOUBLINGS);
	char	   *id = entry != NULL ? planned_id(entry) : NULL;
	bool		is_news = false;
	char	   *text;

	outbox_stop_plan(queue);
	state->state = QUEUE_BLOCKED;
	state->slot_waits = 0;
	state->retry_at = outbox_in_ms(outbox_now(), Min(delay, RETRY_MAX_DELAY_MS));
	if (state->still_since == 0)
		stands_still(state, GetCurrentTimestamp());
	outbox_show_error(queue, error);
	if (id != NULL)
		snprintf(state->why, sizeof(state->why), "message %s: %s", id,
				 queue->shown->last_error);
	else
		strlcpy(state->why, queue->shown->last_error, sizeof(state->why));
	text = psprintf("%s stands still: %s", outbox_queue_title(queue->settings),
					state->why);
	outbox_set_error(relay->slot, text);
	state->failures++;
	if (!state->is_logged)
	{
		is_news = outbox_may_log(&state->allowance, outbox_now());
		state->is_logged = is_news;
	}
	ereport(is_news ? WARNING : DEBUG1,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg_internal("%s", text),
			 errhint("It is tried again until Redis accepts it.")));
}

/*
 * Who reads the cursor somewhere else than the script moves it, as behind a
 * proxy that sends reads to a replica, would read it for ever.
 */
void
outbox_cursor_differs(Relay *relay, RelayQueue *queue)
{
	QueueState *state = mine(queue);

	if (++state->differed > DIFFERS_AT_ONCE)
	{
		outbox_block_queue(relay, queue, NULL,
						   "its cursor is another one in Redis than was read just before");
		return;
	}
	ereport(outbox_may_log(&state->allowance, outbox_now()) ? LOG : DEBUG1,
			(errmsg("cursor of %s in Redis has been moved, reading it again",
					outbox_queue_title(queue->settings))));
	outbox_queue_is_unknown(queue);
}

/*
 * Like a queue that stands still, but it is nobody's fault: it is no warning, and
 * it is tried again soon.
 */
void
outbox_queue_waits_for_slot(RelayQueue *queue, const char *why)
{
	QueueState *state = mine(queue);
	int			delay = SLOT_DELAY_MS << Min(state->slot_waits, SLOT_MAX_DOUBLINGS);

	outbox_stop_plan(queue);
	state->state = QUEUE_BLOCKED;
	state->retry_at = outbox_in_ms(outbox_now(), Min(delay, SLOT_MAX_DELAY_MS));
	if (state->still_since == 0)
		stands_still(state, GetCurrentTimestamp());
	strlcpy(state->why, why, sizeof(state->why));
	if (state->slot_waits++ == 0)
		ereport(outbox_may_log(&state->allowance, outbox_now()) ? LOG : DEBUG1,
				(errmsg("%s waits: %s", outbox_queue_title(queue->settings),
						state->why)));
}

bool
outbox_queue_is_redirected(RelayQueue *queue, const char *error)
{
	QueueState *state = mine(queue);

	if (++state->redirected % (REDIRECTED_AT_ONCE + 1) == 0)
	{
		outbox_queue_waits_for_slot(queue,
									psprintf("nodes of the cluster name each other: %s", error));
		return false;
	}
	outbox_queue_is_unknown(queue);
	outbox_want_plan(PLAN_QUEUES);
	return true;
}

bool
outbox_queue_lacks_slot(const RelayQueue *queue)
{
	const QueueState *state = queue->state;

	return state->slot_waits > 0 && state->state != QUEUE_FLOWING &&
		state->state != QUEUE_PAUSED;
}

OutboxTime
outbox_queue_away_since(const RelayQueue *queue)
{
	const QueueState *state = queue->state;

	return outbox_queue_lacks_slot(queue) ? state->still_seen_at :
		state->state == QUEUE_UNKNOWN || state->state == QUEUE_ASKED ?
		queue->home->away_since : 0;
}

bool
outbox_queue_is_away(const RelayQueue *queue)
{
	OutboxTime	since = outbox_queue_away_since(queue);
	int64		ms = Min(AWAY_MS, outbox_retention * INT64CONST(1000));

	return since != 0 && outbox_now() >= outbox_in_ms(since, ms);
}

void
outbox_queue_error(Relay *relay, RelayQueue *queue, const char *error)
{
	if (outbox_is_refusal(error))
		outbox_block_queue(relay, queue, NULL, error);
	else
		outbox_link_fail(queue->link, error);
}
