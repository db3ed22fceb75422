/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  Count the messages that wait.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * About once a second all is counted that waits.  Most of it need not be visited: a
 * queue that delivers has a plan, and all rows of its tick are in that (plan.c).  So
 * what waits is what the plan has left, and what is sent and not acknowledged.  Only
 * rows that the plan's snapshot doesn't see are visited; while all queues keep up that
 * is what was committed in the last moments.
 *
 * Of other queues, which are paused, refused or away from Redis, and of those that
 * have the same plan still, the rows are visited that became visible since the last
 * count, and messages that the cursor has covered since are subtracted.  Rows are
 * visited from the cursor on if that can't be done: if a cursor has been read and was
 * not where its last answer had left it; if a queue stops that was counted by a plan,
 * which may have rows of transactions that rolled back; if the queue became known
 * during a count, or after a row of an unknown one was met, since its messages may have
 * been there before.  Before the first connect no cursor is known but what totals
 * have of it, and the register "applied" says from which transaction on to count.
 *
 * Counts serve status and outbox_drop_queue(), never delivery.  They are made in
 * pieces and shown when they are complete; cursors move on meanwhile, so they are about
 * the positions that those had when the count began.  If a table is emptied meanwhile,
 * rows may be missed or counted twice, and the count begins anew; but one of some is
 * brought to its end, so that there is a figure.  While a plan of many rows is made a
 * count waits for it: else all of them would be visited twice.
 *
 * While everything is held, all messages are counted that would be delivered from
 * here if somebody released them, as that somebody wants to know.  It may take its
 * time, since nobody waits for it, but only a small part of all time.  If nothing
 * but outbox_enable(false) is the reason, what earlier relays have delivered does not
 * count.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/backlog.h"

#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
#include "relay/deliver/plan.h"
#include "relay/deliver/plan_scan.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/skip_batch.h"
#include "relay/deliver/tick.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* counting what is held takes at most this part of the time */
#define COUNT_HELD_PART		20

/* how often the time is looked at */
#define CHECK_ROWS		64

/* how often a count that a TRUNCATE has disturbed begins anew */
#define MAX_RESTARTS	3

/* how long a count waits for a plan that is made */
#define WAIT_FOR_PLAN_MS	5000

/* a count that is under way */
typedef struct BacklogScan
{
	bool		running;
	bool		in_piece;		/* still true in the next one: an error came */
	OutboxSnap *now;
	uint64		jumps;			/* outbox_cursor_jumps() when it began */
	TickScan	tick;
	const OutboxSnap *from[BACKLOG_ANEW + 1];	/* covered last, for each how */
	uint64		visited;
	uint32		files[OUTBOX_STAGING_TABLES];	/* of staging, when it began */
	int			restarts;		/* in a row */

	OutboxStaging *staging;		/* within a piece */
} BacklogScan;

static BacklogScan scan;
static bool wanted = false;
static bool wanted_now = false; /* somebody waits for it */
static OutboxTime plan_awaited_until = 0;	/* 0: the count waits for none */
static OutboxSnap *counted = NULL;	/* rows that it sees have been counted */
static uint64 count_from = 0;	/* if that is NULL: count from this xid on */
static uint64 jumps_counted = 0;	/* outbox_cursor_jumps() at the last count */

static OutboxTime count_held_at = OUTBOX_LONG_AGO;	/* the next time */

static QueueBacklog *
mine(const RelayQueue *queue)
{
	return unconstify(QueueBacklog *, queue->backlog);
}

void
outbox_backlog_init(RelayQueue *queue)
{
	queue->backlog = outbox_make_part(queue, sizeof(QueueBacklog));
	mine(queue)->inexact = outbox_unknown_queue_was_met();
}

static void
forget_position(QueueBacklog *backlog)
{
	outbox_snap_unref(backlog->from.prev);
	outbox_snap_unref(backlog->from.cur);
	memset(&backlog->from, 0, sizeof(OutboxPosition));
}

void
outbox_backlog_free(RelayQueue *queue)
{
	forget_position(mine(queue));
}

void
outbox_count_backlog_from(uint64 xid)
{
	count_from = xid;
}

static int64
left(const RelayQueue *queue, const BacklogCount *count)
{
	return count->counted -
		(int64) (queue->cursor->covered - count->covered_before);
}

int64
outbox_backlog_waiting(const RelayQueue *queue)
{
	return left(queue, &queue->backlog->shown);
}

/*
 * About when the oldest waiting message was enqueued: not before the last
 * message that was delivered.
 */
static TimestampTz
oldest_of(const RelayQueue *queue, const BacklogCount *count)
{
	return queue->cursor->covered != count->covered_then ?
		queue->cursor->newest : count->oldest;
}

TimestampTz
outbox_backlog_oldest(const RelayQueue *queue)
{
	return oldest_of(queue, &queue->backlog->shown);
}

static BacklogCount
nothing_counted(const RelayQueue *queue)
{
	return (BacklogCount) {
		.covered_before = queue->cursor->covered,
		.covered_then = queue->cursor->covered
	};
}

static void
count_row(RelayQueue *queue, TimestampTz enqueued_at)
{
	BacklogCount *count = &mine(queue)->next;

	if (left(queue, count) <= 0 || oldest_of(queue, count) == 0)
	{
		count->oldest = enqueued_at;
		count->covered_then = queue->cursor->covered;
	}
	count->counted++;
}

/*
 * True if the message of a deferred row has no row in staging any more.
 */
static bool
left_staging(OutboxStaging *staging, const OutboxStagedEntry *entry)
{
	if (entry->table == OUTBOX_TABLE_DEAD_LETTER)
		return false;
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		if (outbox_staging_has(staging, i, entry))
			return false;
	return true;
}

/*
 * Is the entry to be counted, if its row is visible?  If not, *key is where the next
 * one may be.
 */
static bool
is_to_be_counted(const RelayQueue *queue, const OutboxStagedEntry *entry,
				 OutboxStagedKey *key)
{
	const QueueBacklog *backlog = queue->backlog;
	const OutboxPosition *from = &backlog->from;

	*key = (OutboxStagedKey) {entry->xid, entry->queue + 1, 0};
	if (backlog->how == BACKLOG_NOT || !outbox_snap_sees(scan.now, entry->xid) ||
		(entry->table >= OUTBOX_STAGING_TABLES && backlog->how != BACKLOG_ANEW))
		return false;
	if (from->prev == NULL)
		return counted != NULL || entry->xid >= count_from;
	if (!outbox_position_covers(from, entry->xid, entry->seq))
		return true;
	if (!outbox_snap_sees(from->prev, entry->xid))
		*key = (OutboxStagedKey) {entry->xid, entry->queue, from->seq + 1};
	return false;
}

static OutboxWalk
count_visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	RelayQueue *queue;
	TimestampTz at;

	if (++scan.visited % CHECK_ROWS == 0 && outbox_piece_is_done())
		return OUTBOX_WALK_STOP;
	queue = outbox_find_queue(entry->queue);
	if (queue == NULL)
	{
		*key = (OutboxStagedKey) {entry->xid, entry->queue + 1, 0};
		return outbox_tick_pass_over(&scan.tick, entry);
	}
	if (!is_to_be_counted(queue, entry, key))
		return outbox_tick_pass_over(&scan.tick, entry);
	if (entry->table >= OUTBOX_STAGING_TABLES &&
		!left_staging(scan.staging, entry))
		return OUTBOX_WALK_ON;
	if (outbox_staging_visible(scan.staging, entry, &at))
		count_row(queue, at);
	return OUTBOX_WALK_ON;
}

static bool
table_was_emptied(const OutboxStaging *staging)
{
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		if (scan.files[i] != outbox_relation_file(staging->table[i]))
			return true;
	return false;
}

/*
 * Can nothing be added to the counts of any queue?
 */
static bool
all_are_inexact(void)
{
	return counted == NULL || outbox_cursor_jumps() != jumps_counted ||
		scan.restarts > 0;
}

/*
 * What a plan had may have been rolled back, which matters where it isn't sent: there
 * the figure would stand.
 */
static BacklogHow
how_to_count(const RelayQueue *queue, bool sends, bool all)
{
	const QueueBacklog *backlog = queue->backlog;
	bool		flows = sends && queue->state->state == QUEUE_FLOWING &&
	!queue->skipping->on;

	all |= backlog->inexact;
	if (flows && outbox_plan_is_whole(queue) &&
		(all || backlog->plan != queue->plan->number ||
		 (backlog->of_plan && outbox_count_planned(queue) == 0)))
		return BACKLOG_PLANNED;
	return all || (backlog->of_plan && !flows) ? BACKLOG_ANEW : BACKLOG_NEWER;
}

/*
 * True if any queue is counted anew.
 */
static bool
choose_how(Relay *relay)
{
	bool		sends = outbox_standby_has_it();
	bool		all = all_are_inexact();
	bool		anew = false;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		mine(queue)->how = how_to_count(queue, sends, all);
		anew |= queue->backlog->how == BACKLOG_ANEW;
	}
	return anew;
}

/*
 * What the queue's plan has left, and what was sent and is not acknowledged.
 */
static BacklogCount
count_planned(RelayQueue *queue, OutboxStaging *staging)
{
	BacklogCount count = nothing_counted(queue);
	int			planned = outbox_count_planned(queue);

	count.counted = planned + outbox_unacknowledged(queue, &count.oldest);
	if (planned > 0 && count.oldest == 0 &&
		!outbox_planned_time(staging, outbox_next_planned(queue), &count.oldest))
		count.oldest = GetCurrentTimestamp();
	return count;
}

/*
 * Visit what this doesn't cover.
 */
static void
visit_from(const OutboxPosition *from, BacklogHow how)
{
	if (from->prev != NULL)
	{
		/* most queues share one of two */
		if (from->prev != scan.from[how])
			outbox_tick_cover(&scan.tick, from->prev, scan.now);
		scan.from[how] = from->prev;
	}
	else
	{
		scan.tick.from = Min(scan.tick.from, counted == NULL ? count_from : 0);
		scan.tick.below = scan.now->xmax;
	}
}

/*
 * How far the queue needs no visits.
 */
static void
set_from(RelayQueue *queue)
{
	QueueBacklog *backlog = mine(queue);
	OutboxPosition from = {0};
	uint64		applied;

	if (backlog->how == BACKLOG_PLANNED)
		from.prev = from.cur = outbox_plan_cur(queue);
	else if (backlog->how == BACKLOG_ANEW)
		(void) outbox_cursor_known(queue, &from, &applied);
	else
		from.prev = from.cur = counted;
	if (from.prev != NULL)
	{
		outbox_snap_ref(from.prev);
		outbox_snap_ref(from.cur);
	}
	forget_position(backlog);
	backlog->from = from;
	visit_from(&from, backlog->how);
}

static void
begin_queue(RelayQueue *queue, OutboxStaging *staging)
{
	QueueBacklog *backlog = mine(queue);

	set_from(queue);
	backlog->next_of_plan = backlog->of_plan;
	switch (backlog->how)
	{
		case BACKLOG_PLANNED:
			backlog->next = count_planned(queue, staging);
			backlog->next_of_plan = outbox_count_planned(queue) > 0;
			backlog->plan = queue->plan->number;
			break;
		case BACKLOG_ANEW:
			backlog->next = nothing_counted(queue);
			backlog->next_of_plan = false;
			break;
		default:
			backlog->next = backlog->shown;
	}
}

static void
stop_count(void)
{
	outbox_tick_end(&scan.tick);
	outbox_snap_unref(scan.now);
	scan.running = false;
}

static void
begin_count(Relay *relay, OutboxStaging *staging)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;
	ListCell   *lc;

	scan.now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);
	scan.running = true;
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		scan.files[i] = outbox_relation_file(staging->table[i]);
	scan.jumps = outbox_cursor_jumps();
	/* if this fails, the next count begins anew */
	jumps_counted = PG_UINT64_MAX;
	outbox_tick_begin(&scan.tick, staging->ntables, relay->context);
	memset(scan.from, 0, sizeof(scan.from));
	foreach(lc, relay->queues)
		begin_queue(lfirst(lc), staging);

	/*
	 * rows of queues that are not known have to be met, by this scan or by
	 * plans
	 */
	if (relay->queues == NIL)
		visit_from(&(OutboxPosition) {.prev = counted, .cur = counted}, BACKLOG_NEWER);
}

static void
forget_counts(Relay *relay)
{
	ListCell   *lc;

	if (scan.running)
		stop_count();
	foreach(lc, relay->queues)
		mine(lfirst(lc))->shown = nothing_counted(lfirst(lc));
}

/*
 * Count all that is held.  False if somebody's lock is in the way, or the last
 * count is new enough.
 */
static bool
count_held(Relay *relay)
{
	static const StepLock locks[] = {
		{OUTBOX_REL_STAGING_1, false},
		{OUTBOX_REL_STAGING_2, false},
		{OUTBOX_REL_DEFERRED, false}
	};
	OutboxTime	begin = outbox_now();
	uint64		n;

	if (begin < count_held_at || !outbox_begin_locked_step(locks, lengthof(locks)))
		return false;
	SPI_connect();
	forget_counts(relay);
	n = outbox_query("SELECT queue, count(*), min(enqueued_at) FROM"
					 " (SELECT queue, seq, enqueued_at FROM " OUTBOX_STAGED " AS s"
					 " UNION SELECT queue, seq, enqueued_at FROM outbox.deferred"
					 " WHERE reason IN (" OUTBOX_NUMBERED ", 'restored')) AS m"
					 " GROUP BY queue", NULL, 0);
	for (uint64 i = 0; i < n; i++)
	{
		RelayQueue *queue = outbox_find_queue((int32) outbox_result_int64(i, 1));

		if (queue == NULL)
			continue;
		mine(queue)->shown.counted = outbox_result_int64(i, 2);
		mine(queue)->shown.oldest = outbox_result_int64(i, 3);
	}
	SPI_finish();
	outbox_end_step();
	jumps_counted = outbox_cursor_jumps() - 1;
	count_held_at = outbox_now() + COUNT_HELD_PART * (outbox_now() - begin);
	return true;
}

static void
end_count(Relay *relay, const OutboxStaging *staging)
{
	bool		emptied = table_was_emptied(staging);
	ListCell   *lc;

	outbox_tick_end(&scan.tick);
	scan.running = false;
	scan.restarts = 0;
	outbox_snap_unref(counted);
	counted = scan.now;
	jumps_counted = scan.jumps;
	foreach(lc, relay->queues)
	{
		QueueBacklog *backlog = mine(lfirst(lc));

		backlog->inexact = backlog->how == BACKLOG_NOT || emptied;
		if (backlog->how == BACKLOG_NOT)
			continue;
		backlog->shown = backlog->next;
		backlog->of_plan = backlog->next_of_plan;
		backlog->how = BACKLOG_NOT;
		forget_position(backlog);
	}
}

void
outbox_want_backlog(bool now)
{
	wanted = true;
	wanted_now |= now;
}

bool
outbox_is_counting_backlog(void)
{
	return scan.running || plan_awaited_until != 0;
}

/*
 * A plan of many rows will be known soon, and then it needs no visits.
 */
static bool
waits_for_plan(void)
{
	OutboxTime	now = outbox_now();
	bool		is_made = false;

	for (int i = 0; i < outbox_count_awake() && !is_made && !wanted_now; i++)
	{
		RelayQueue *queue = outbox_awake_queue(i);

		is_made = queue->state->state == QUEUE_FLOWING &&
			queue->plan->scan == SCAN_FAR;
	}
	if (is_made && plan_awaited_until == 0)
		plan_awaited_until = outbox_in_ms(now, WAIT_FOR_PLAN_MS);
	if (is_made && now < plan_awaited_until)
		return true;
	plan_awaited_until = 0;
	return false;
}

static bool
go_on_counting(Relay *relay, OutboxStaging *staging)
{
	uint64		before = scan.visited;
	bool		done;

	if (scan.running && (scan.in_piece || (scan.restarts < MAX_RESTARTS &&
										   table_was_emptied(staging))))
	{
		/* the next one may need more tables */
		stop_count();
		scan.restarts += scan.in_piece ? 0 : 1;
		scan.in_piece = false;
		wanted = wanted_now = true;
		return false;
	}
	scan.in_piece = true;
	if (!scan.running)
		begin_count(relay, staging);
	wanted = wanted_now = false;
	scan.staging = staging;
	done = outbox_tick_scan(&scan.tick, staging, count_visit, NULL);
	scan.in_piece = false;
	outbox_turn_worked(0, (int64) (scan.visited - before));
	if (done)
		end_count(relay, staging);
	return done;
}

/*
 * If somebody holds a lock, the next call tries again.
 */
bool
outbox_count_backlog(Relay *relay, bool *done)
{
	OutboxStaging staging;
	int			ntables;
	bool		ok;

	*done = false;
	if (outbox_is_held() && !outbox_is_only_off())
		return *done = count_held(relay);
	if (!scan.running && (!wanted || waits_for_plan()))
		return false;
	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	outbox_turn_does(OUTBOX_STEP_BACKLOG);
	ntables = scan.running ? scan.tick.ntables :
		choose_how(relay) ? OUTBOX_TABLES : OUTBOX_STAGING_TABLES;
	ok = outbox_staging_open(&staging, GetActiveSnapshot(), ntables);
	if (ok)
	{
		/* what was chosen may rest on plans that are gone by this */
		if (outbox_check_plan_files(relay, &staging) || scan.running)
			*done = go_on_counting(relay, &staging);
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return ok;
}
