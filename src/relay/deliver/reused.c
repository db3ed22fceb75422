/*-------------------------------------------------------------------------
 *
 * reused.c
 *	  Which transaction ids this server gives out anew after a promotion.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A primary that is lost may have used transaction ids for rows that did not
 * reach this server, which gives out the same ids again.  Rows say when they were
 * written: the least id of those written since is the first that may have been
 * used by both.  If there is none, it is the next id of all.  (The greatest id of
 * the rows of before would do as long as these rows are there; but staging is
 * emptied of them, and then older ids would seem not to have been delivered.)
 *
 * All queues ask for the same, most often: so it is looked for once, in pieces,
 * while the queues wait for it; then their cursors are read again.  The answer
 * stays true, as no row of before can be added: it is kept for those who ask
 * later.
 *
 * Rows of transactions in progress are not visible: so what was in progress when
 * the search began is part of the answer.  It is taken out of the clipped
 * snapshots (read_cursor.c), however it has ended since.  Rows of one transaction
 * were all written before or all after, so one visible row says it for all of
 * them.  Rows out of a dump are not looked at: their ids are another server's.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/reused.h"

#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/tick.h"
#include "store/staging.h"
#include "utils/snapmgr.h"

/* how often the time is looked at */
#define CHECK_ROWS		64

static XLogRecPtr asked_for = InvalidXLogRecPtr;
static bool wanted = false;
static bool running = false;

/* if asked_for and not wanted: the answer */
static uint64 found_from = 0;
static OutboxSnap *began = NULL;

static TickScan tick;
static OutboxStaging *within = NULL;
static uint64 visited = 0;

/* the transaction of the last row that was looked at, and how many followed */
static uint64 seen_xid = 0;
static int	seen_rows = 0;

bool
outbox_reused_from(XLogRecPtr left, uint64 *first, const OutboxSnap **then)
{
	if (left == asked_for && !wanted)
	{
		*first = found_from;
		*then = began;
		return true;
	}
	if (!wanted)
	{
		wanted = true;
		running = false;
		asked_for = left;
	}
	return false;
}

bool
outbox_reused_is_wanted(void)
{
	return wanted;
}

static OutboxWalk
visit(void *arg, const OutboxStagedEntry *entry, OutboxStagedKey *key)
{
	XLogRecPtr	lsn;

	if (++visited % CHECK_ROWS == 0 && outbox_piece_is_done())
		return OUTBOX_WALK_STOP;
	if (entry->xid == seen_xid)
	{
		*key = (OutboxStagedKey) {entry->xid + 1, 0, 0};
		return ++seen_rows % CHECK_ROWS == 0 ? OUTBOX_WALK_TO_KEY : OUTBOX_WALK_ON;
	}
	if (entry->xid >= found_from)
	{
		/* nothing more in this table */
		*key = (OutboxStagedKey) {PG_UINT64_MAX, 0, 0};
		return OUTBOX_WALK_TO_KEY;
	}
	if (!outbox_staging_lsn(within, entry, &lsn))
		return OUTBOX_WALK_ON;
	if (lsn >= asked_for)
		found_from = entry->xid;
	seen_xid = entry->xid;
	seen_rows = 0;
	return OUTBOX_WALK_ON;
}

static void
begin(Relay *relay)
{
	MemoryContext old = MemoryContextSwitchTo(relay->context);
	XLogRecPtr	lsn;

	outbox_snap_unref(began);
	began = NULL;
	began = outbox_take_snapshot(&lsn);
	MemoryContextSwitchTo(old);
	found_from = began->xmax;
	seen_xid = 0;
	outbox_tick_begin(&tick, OUTBOX_TABLES, relay->context);
	tick.from = 0;
	tick.below = PG_UINT64_MAX;
	running = true;
}

bool
outbox_look_for_reused(Relay *relay)
{
	OutboxStaging staging;
	bool		ok;

	if (!outbox_begin_locked_step(NULL, 0))
		return false;
	outbox_turn_does(OUTBOX_STEP_RECONCILE);
	ok = outbox_staging_open(&staging, GetActiveSnapshot(), OUTBOX_TABLES);
	if (ok)
	{
		uint64		before = visited;

		if (!running)
			begin(relay);
		within = &staging;
		if (outbox_tick_scan(&tick, &staging, visit, NULL))
			wanted = running = false;
		outbox_turn_worked(0, (int64) (visited - before));
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return ok;
}
