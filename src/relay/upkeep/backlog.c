/*-------------------------------------------------------------------------
 *
 * backlog.c
 *	  Count the messages that wait.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * About once a second the rows that became visible since the last count are
 * added to the counts of their queues, and messages that the cursors have
 * covered since are subtracted.  If a cursor has been read and was not where
 * its last answer had left it, as after the first connect or when a message has
 * stopped its batch, all rows that the cursors don't cover are counted again.
 * Before the first connect no cursor is known, and the register "applied" says
 * from which transaction on to count.
 *
 * Counts serve status and outbox_drop_queue(), never delivery.  They are made
 * in pieces.  A count from the beginning is shown when it is complete; since
 * cursors move on meanwhile, it is about the positions that they had when it
 * began.  If one of them jumps again, another count follows.  If a table is
 * emptied meanwhile, rows may be missed or counted twice, and the count begins
 * anew; but one of some is brought to its end, so that there is a figure.
 *
 * A queue may have messages before the relay knows it, as its transaction commits
 * after the queues were read.  A count that meets them can't count them, and the
 * next ones only look at newer rows.  So all is counted again when a queue becomes
 * known after a row of an unknown one was met.
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
#include "relay/base/queues.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/cursor.h"
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

/* a count that is under way */
typedef struct BacklogScan
{
	bool		running;
	bool		anew;			/* count rows not covered, not just new ones */
	OutboxSnap *now;
	uint64		jumps;			/* outbox_cursor_jumps() when it began */
	TickScan	tick;
	uint64		visited;
	uint32		files[OUTBOX_STAGING_TABLES];	/* of staging, when it began */
	int			restarts;		/* in a row */

	OutboxStaging *staging;		/* within a piece */
} BacklogScan;

static BacklogScan scan;
static bool wanted = false;
static OutboxSnap *counted = NULL;	/* rows that it sees have been counted */
static uint64 count_from = 0;	/* if that is NULL: count from this xid on */
static uint64 jumps_counted = 0;	/* outbox_cursor_jumps() at the last count */
static bool met_unknown = false;	/* a row whose queue isn't known */
static bool is_incomplete = false;	/* since then a queue has become known */

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
	is_incomplete |= met_unknown;
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

static void
count_row(RelayQueue *queue, BacklogCount *count, TimestampTz enqueued_at)
{
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

static bool
is_to_be_counted(const RelayQueue *queue, const OutboxStagedEntry *entry)
{
	const OutboxPosition *from = &queue->backlog->from;

	if (!outbox_snap_sees(scan.now, entry->xid))
		return false;
	if (scan.anew)
		return from->prev == NULL ||
			!outbox_position_covers(from, entry->xid, entry->seq);
	return counted == NULL || !outbox_snap_sees(counted, entry->xid);
}

static OutboxWalk
count_visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	RelayQueue *queue;
	TimestampTz at;

	if (++scan.visited % CHECK_ROWS == 0 && outbox_piece_is_done())
		return OUTBOX_WALK_STOP;
	queue = outbox_find_queue(entry->queue);
	met_unknown |= queue == NULL;
	if (queue == NULL || !is_to_be_counted(queue, entry))
		return OUTBOX_WALK_ON;
	if (entry->table >= OUTBOX_STAGING_TABLES &&
		!left_staging(scan.staging, entry))
		return OUTBOX_WALK_ON;
	if (outbox_staging_visible(scan.staging, entry, &at))
		count_row(queue, scan.anew ? &mine(queue)->anew : &mine(queue)->shown,
				  at);
	return OUTBOX_WALK_ON;
}

static void
begin_anew(Relay *relay)
{
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);
		QueueBacklog *backlog = mine(queue);
		uint64		applied;

		forget_position(backlog);
		(void) outbox_cursor_known(queue, &backlog->from, &applied);
		if (backlog->from.prev != NULL)
		{
			outbox_snap_ref(backlog->from.prev);
			outbox_snap_ref(backlog->from.cur);
		}
		backlog->anew = (BacklogCount) {
			.covered_before = queue->cursor->covered,
			.covered_then = queue->cursor->covered
		};
	}
}

static bool
table_was_emptied(const OutboxStaging *staging)
{
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		if (scan.files[i] != outbox_relation_file(staging->table[i]))
			return true;
	return false;
}

static void
stop_count(void)
{
	outbox_tick_end(&scan.tick);
	outbox_snap_unref(scan.now);
	scan.running = false;
}

static void
begin_count(Relay *relay, const OutboxStaging *staging, bool anew)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;

	scan.now = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);
	scan.running = true;
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		scan.files[i] = outbox_relation_file(staging->table[i]);
	scan.anew = anew;
	scan.jumps = outbox_cursor_jumps();
	/* if this fails, the next count begins anew */
	jumps_counted = PG_UINT64_MAX;
	if (anew)
	{
		is_incomplete = met_unknown = false;
		begin_anew(relay);
	}
	outbox_tick_begin(&scan.tick,
					  anew ? OUTBOX_TABLES : OUTBOX_STAGING_TABLES,
					  relay->context);
	if (counted != NULL && !anew)
		outbox_tick_cover(&scan.tick, counted, scan.now);
	else
	{
		scan.tick.from = anew ? 0 : count_from;
		scan.tick.below = scan.now->xmax;
	}
}

static void
forget_counts(Relay *relay)
{
	ListCell   *lc;

	if (scan.running)
		stop_count();
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		mine(queue)->shown = (BacklogCount) {
			.covered_before = queue->cursor->covered,
			.covered_then = queue->cursor->covered
		};
	}
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
end_count(Relay *relay)
{
	ListCell   *lc;

	outbox_tick_end(&scan.tick);
	scan.running = false;
	scan.restarts = 0;
	outbox_snap_unref(counted);
	counted = scan.now;
	jumps_counted = scan.jumps;
	if (!scan.anew)
		return;
	foreach(lc, relay->queues)
	{
		QueueBacklog *backlog = mine(lfirst(lc));

		backlog->shown = backlog->anew;
		forget_position(backlog);
	}
}

void
outbox_want_backlog(void)
{
	wanted = true;
}

bool
outbox_is_counting_backlog(void)
{
	return scan.running;
}

static bool
go_on_counting(Relay *relay, OutboxStaging *staging, bool anew)
{
	uint64		before = scan.visited;
	bool		done;

	if (scan.running && scan.restarts < MAX_RESTARTS &&
		table_was_emptied(staging))
	{
		/* the next one may need more tables */
		stop_count();
		scan.restarts++;
		wanted = true;
		return false;
	}
	if (!scan.running)
		begin_count(relay, staging, anew);
	wanted = false;
	scan.staging = staging;
	done = outbox_tick_scan(&scan.tick, staging, count_visit, NULL);
	outbox_turn_worked(0, (int64) (scan.visited - before));
	if (done)
		end_count(relay);
	return done;
}

/*
 * If somebody holds a lock, the next call tries again.
 */
bool
outbox_count_backlog(Relay *relay, bool *done)
{
	OutboxStaging staging;
	bool		anew = scan.running ? scan.anew :
	outbox_cursor_jumps() != jumps_counted || is_incomplete || scan.restarts > 0 ||
	(outbox_is_only_off() && counted == NULL);
	bool		ok;

	*done = false;
	if (outbox_is_held() && !outbox_is_only_off())
		return *done = count_held(relay);
	if ((!wanted && !scan.running) || !outbox_begin_locked_step(NULL, 0))
		return false;
	outbox_turn_does(OUTBOX_STEP_BACKLOG);
	ok = outbox_staging_open(&staging, GetActiveSnapshot(),
							 anew ? OUTBOX_TABLES : OUTBOX_STAGING_TABLES);
	if (ok)
	{
		*done = go_on_counting(relay, &staging, anew);
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return ok;
}
