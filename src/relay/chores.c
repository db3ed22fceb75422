/*-------------------------------------------------------------------------
 *
 * chores.c
 *	  What the relay does about once a second.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Some of it goes through all queues, of which there may be thousands.  Other things are
 * done in pieces.  What has left work over goes on soon, and nothing else: the cursors
 * of idle queues alone are looked at in dozens of pieces.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/chores.h"

#include "pgstat.h"
#include "relay/base/link.h"
#include "relay/base/mishap.h"
#include "relay/base/standby.h"
#include "relay/base/wanted.h"
#include "relay/consumers/returned.h"
#include "relay/deliver/deliver.h"
#include "relay/deliver/look.h"
#include "relay/deliver/rest.h"
#include "relay/refresh.h"
#include "relay/upkeep/backlog.h"
#include "relay/upkeep/delayed.h"
#include "relay/upkeep/marks.h"
#include "relay/upkeep/mend.h"
#include "relay/upkeep/moved.h"
#include "relay/upkeep/obstacle.h"
#include "relay/upkeep/publish.h"
#include "relay/upkeep/purge.h"
#include "relay/upkeep/registers.h"
#include "relay/upkeep/resend.h"
#include "relay/upkeep/rotate.h"
#include "relay/upkeep/totals.h"

/* how often chores are done; and how soon again if they left work over */
#define CHORES_INTERVAL_MS	1000
#define MORE_WORK_MS		30

static bool
refresh(Relay *relay, OutboxTime now)
{
	return outbox_refresh(relay);
}

bool
outbox_say_obstacle(Relay *relay, OutboxTime now)
{
	outbox_publish_obstacle(relay, now);
	return true;
}

static Mishap counting = {"count waiting messages"};

/*
 * Go on counting.  Whoever waits for a count needs the figures as well.  False
 * if somebody holds a lock.
 */
static bool
count_backlog(Relay *relay, OutboxTime now)
{
	bool		done;

	if (!outbox_count_backlog(relay, &done))
		return false;
	if (done)
	{
		outbox_publish_queues(relay, now);
		pg_atomic_fetch_add_u64(&relay->slot->backlog_counts, 1);
	}
	return true;
}

bool
outbox_go_on_counting(Relay *relay, OutboxTime now)
{
	return outbox_attempt(&counting, count_backlog, relay, now);
}

static bool
count_deferred(Relay *relay, OutboxTime now)
{
	outbox_look_for_delayed();
	outbox_count_deferred(relay);
	return false;
}

static bool
write_counts(Relay *relay, OutboxTime now)
{
	outbox_write_registers(relay);
	outbox_write_totals(relay, now, false);
	return false;
}

static bool
forget_returned(Relay *relay, OutboxTime now)
{
	outbox_forget_returned(now);
	return false;
}

/* what is done in pieces */
typedef struct Piecework
{
	Mishap		mishap;
	bool		(*does) (Relay *relay, OutboxTime now);
	bool		left;			/* there is more to be done soon */
} Piecework;

/* seqs leave skip lists when the standby has the dead letters */
static bool
purge(Relay *relay, OutboxTime now)
{
	return outbox_anything_deferred() && outbox_standby_has_it() &&
		outbox_purge(relay, now);
}

static Piecework purging = {{"delete old rows"}, purge};
static Piecework rotating = {{"empty staging"}, outbox_rotate};
static Piecework marking = {{"mark cursors"}, outbox_mark_cursors};
static Piecework moving = {{"end moves of queues"}, outbox_end_moves};
static Piecework looking = {{"look at cursors"}, outbox_look_at_cursors};

static bool
do_piece(Relay *relay, OutboxTime now, bool all, Piecework *work)
{
	work->left = (all || work->left) &&
		outbox_attempt(&work->mishap, work->does, relay, now);
	return work->left;
}

/*
 * A piece of each, or only of what has left work over.  True if that has.
 */
static bool
do_pieces(Relay *relay, OutboxTime now, bool all)
{
	bool		more = false;

	if (outbox_best_link_state(relay) == LINK_UP)
	{
		more |= do_piece(relay, now, all, &purging);
		more |= do_piece(relay, now, all, &rotating);
		more |= do_piece(relay, now, all, &marking);
		more |= do_piece(relay, now, all, &moving);
	}
	/* last, as others want queues with nothing under way */
	if (outbox_may_look_somewhere(relay))
		more |= do_piece(relay, now, all, &looking);
	return more;
}

/*
 * What goes through all queues, of which there may be thousands.  A relay that begins
 * counts a second later, if nobody asks: what it can plan until then it need not visit
 * to count it.
 */
static void
look_at_all(Relay *relay, OutboxTime now, bool asked)
{
	static bool may_count = false;
	static Mishap publishing = {"publish what it shows of queues"};
	static Mishap deferred = {"count deferred messages"};
	static Mishap writing = {"write counts"};
	static Mishap forgetting = {"delete what consumers returned"};

	outbox_mend_triggers();
	outbox_look_for_waiting_resend();
	outbox_check_rest(relay, now);
	outbox_settle_idle_queues(relay);
	outbox_remove_dropped_queues(relay);
	if (may_count || asked)
		outbox_want_backlog(asked);
	may_count = true;
	outbox_attempt(&counting, count_backlog, relay, now);
	outbox_attempt(&publishing, outbox_publish_queues, relay, now);
	if (outbox_anything_deferred())
		outbox_attempt(&deferred, count_deferred, relay, now);
	if (outbox_best_link_state(relay) == LINK_UP)
	{
		outbox_attempt(&writing, write_counts, relay, now);
		outbox_attempt(&forgetting, forget_returned, relay, now);
	}
}

/*
 * Done about once a second, and when somebody asks for the counts; some of it again
 * soon if it has left work over.  True if it has.
 */
static bool
chores(Relay *relay, OutboxTime now, bool all, bool asked)
{
	static Mishap searching = {"look who holds locks"};
	static Mishap refreshing = {"read its queues"};
	bool		more;

	if (all)
		pg_atomic_write_u32(&relay->slot->count_wanted, 0);
	outbox_attempt(&searching, outbox_say_obstacle, relay, now);
	if (!outbox_attempt(&refreshing, refresh, relay, now))
		return false;
	if (all)
		look_at_all(relay, now, asked);
	more = do_pieces(relay, now, all);
	if (all)
		outbox_want_plan(PLAN_ROUTINE);
	pgstat_report_stat(false);
	return more;
}

/*
 * Do chores if it is time, or somebody asks for the counts.  Who asks may have
 * staging locked, so chores are done at their own time as well: else nothing
 * would be emptied while somebody asks again and again.
 */
bool
outbox_do_chores(Relay *relay, OutboxTime now, OutboxTime *at)
{
	static OutboxTime all_at = OUTBOX_LONG_AGO;
	bool		due = now >= *at;
	bool		asked = pg_atomic_read_u32(&relay->slot->count_wanted) != 0;
	bool		all = asked || now >= all_at;

	if (!due && !asked)
		return false;
	if (due && all)
		all_at = outbox_in_ms(now, CHORES_INTERVAL_MS);
	if (chores(relay, now, all, asked))
		*at = Min(outbox_in_ms(now, MORE_WORK_MS), all_at);
	else if (due)
		*at = all_at;
	return true;
}
