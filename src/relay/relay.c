/*-------------------------------------------------------------------------
 *
 * relay.c
 *	  The worker that delivers one database's messages: the loop.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 *		   commit ──► wake
 *		                │
 *		┌───────────────▼──────────────────────────────────────────────┐
 *		│ link     connect, answers, cursors     link_life.c             │
 *		│ stage    messages whose delay is over  upkeep/delayed.c      │
 *		│ ask      what consumers return         consumers/streams.c   │
 *		│ deliver  plan, read, send              deliver/deliver.c     │
 *		│ chores   count, rotate, publish        upkeep/               │
 *		│ wait     latch and socket              wait.c                │
 *		└──────────────────────────────────────────────────────────────┘
 *
 * A transaction is open only within a step (base/step.c), and no step waits
 * for Redis: the loop waits on the latch and the socket together, with no
 * transaction open.
 *
 * If the process dies at any point, the next relay reads the cursors and
 * continues from there.  Whatever a relay keeps in memory is also in staging
 * or in Redis, or is a count that the next relay makes again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/xact.h"
#include "catalog.h"
#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "relay/attach.h"
#include "relay/base/hold.h"
#include "relay/base/link.h"
#include "relay/base/queues.h"
#include "relay/base/state.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/consumers/returned.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/batch_buffer.h"
#include "relay/deliver/deliver.h"
#include "relay/deliver/look.h"
#include "relay/deliver/reused.h"
#include "relay/deliver/script.h"
#include "relay/link_life.h"
#include "relay/own_run.h"
#include "relay/refresh.h"
#include "relay/upkeep/backlog.h"
#include "relay/upkeep/delayed.h"
#include "relay/upkeep/mend.h"
#include "relay/upkeep/purge.h"
#include "relay/upkeep/registers.h"
#include "relay/upkeep/resend.h"
#include "relay/upkeep/rotate.h"
#include "relay/upkeep/totals.h"
#include "relay/wait.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

/* how often chores are done; and how soon again if they left work over */
#define CHORES_INTERVAL_MS	1000
#define MORE_WORK_MS		30

/* at the start: how soon to try again if somebody has locked a table */
#define LOCK_RETRY_MS		50

/*
 * pg_cancel_backend() has no query to cancel here.
 */
static void
relay_sigint(SIGNAL_ARGS)
{
}

/*
 * SIGTERM ends the relay as it ends any worker.  That it came is remembered
 * for write_counts_at_exit().
 */
static void
relay_sigterm(SIGNAL_ARGS)
{
	outbox_told_to_end = true;
	outbox_die();
}

/*
 * SIGTERM may have come in the middle of a step.  Write registers and totals
 * as they are now, so that the next relay shows the same numbers.
 */
static void
write_counts_at_exit(int code, Datum arg)
{
	Relay	   *relay = (Relay *) DatumGetPointer(arg);

	if (!outbox_told_to_end)
		return;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(relay->scratch);
	outbox_write_registers(relay);
	outbox_write_totals(relay, outbox_now(), true);
}

static Relay *
make_relay(const OutboxRelayArgs *args)
{
	Relay	   *relay = MemoryContextAllocZero(TopMemoryContext, sizeof(Relay));
	ListCell   *lc;

	relay->context = AllocSetContextCreate(TopMemoryContext, "outbox relay",
										   ALLOCSET_DEFAULT_SIZES);
	relay->scratch = AllocSetContextCreate(TopMemoryContext,
										   "outbox relay turn",
										   ALLOCSET_DEFAULT_SIZES);
	relay->slot = outbox_relay_attach(args);
	MemoryContextSwitchTo(relay->context);
	relay->links = list_make1(outbox_link_make(relay->context, false));
	for (int i = 0; i < OUTBOX_OWN_LINKS; i++)
		relay->links = lappend(relay->links,
							   outbox_link_make(relay->context, true));
	foreach(lc, relay->links)
	{
		outbox_link_life_init(lfirst(lc));
		outbox_link_wait_init(lfirst(lc));
		outbox_link_scripts_init(lfirst(lc));
	}
	outbox_queues_init(relay);
	outbox_batch_buffer_init(relay);
	return relay;
}

/*
 * False if somebody's lock is in the way.
 */
static bool
read_first_state(Relay *relay)
{
	bool		ok;

	if (!outbox_begin_refreshed_step(relay))
		return false;
	ok = outbox_read_registers(relay);
	outbox_end_step();
	return ok;
}

/*
 * Reload settings if the server was told to, and follow outbox.redis_url.
 */
static void
take_reload(Relay *relay)
{
	static char *url = NULL;
	ListCell   *lc;

	if (ConfigReloadPending)
	{
		outbox_turn_does(OUTBOX_STEP_SETTINGS);
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (url != NULL && strcmp(url, outbox_redis_server->url) == 0)
		return;
	if (url != NULL)
	{
		pfree(url);
		foreach(lc, relay->links)
			outbox_link_has_moved(relay, lfirst(lc));
	}
	url = MemoryContextStrdup(relay->context, outbox_redis_server->url);
}

/*
 * Somebody who changes queues or the extension, or asks for messages to be
 * delivered again, sets slot->told and wakes the relay.  While nothing is
 * delivered nobody else reads the queues again, so this does.
 */
static void
take_wake(Relay *relay)
{
	if (!outbox_plan_is_wanted())
		return;
	if (pg_atomic_exchange_u32(&relay->slot->told, 0) != 0)
	{
		outbox_catalog_forget();
		outbox_look_for_resend();
	}
	if ((outbox_best_link_state(relay) < LINK_READY || outbox_is_held()) &&
		outbox_refresh(relay))
		outbox_plan_is_made();
}

/*
 * Deliver what can be delivered now.  False if nothing could be done.
 */
static bool
deliver(Relay *relay, OutboxTime now)
{
	bool		done;

	if (outbox_best_link_state(relay) < LINK_READY || outbox_is_held() ||
		!outbox_may_deliver(relay, now) || !outbox_begin_refreshed_step(relay))
		return false;
	done = outbox_deliver(relay, now);
	outbox_end_step();

	/* rows of a queue that is not known yet have to be planned again */
	if (done && outbox_queues_to_be_read())
		outbox_want_plan(PLAN_QUEUES);
	return done;
}

/*
 * Go on counting.  Whoever waits for a count needs the figures as well.  False
 * if somebody holds a lock.
 */
static bool
count_backlog(Relay *relay)
{
	bool		done;

	if (!outbox_count_backlog(relay, &done))
		return false;
	if (done)
	{
		outbox_publish_queues(relay);
		pg_atomic_fetch_add_u64(&relay->slot->backlog_counts, 1);
	}
	return true;
}

/*
 * Done about once a second, and when somebody asks for the counts.  True if
 * work is left over.
 */
static bool
chores(Relay *relay, OutboxTime now)
{
	bool		is_up = outbox_best_link_state(relay) == LINK_UP;
	bool		more = false;

	pg_atomic_write_u32(&relay->slot->count_wanted, 0);
	if (!outbox_refresh(relay))
		return false;
	outbox_mend_triggers();
	outbox_look_for_waiting_resend();
	outbox_settle_idle_queues(relay);
	outbox_remove_dropped_queue(relay);
	outbox_want_backlog();
	(void) count_backlog(relay);
	outbox_publish_queues(relay);
	if (outbox_anything_deferred())
	{
		outbox_look_for_delayed();
		outbox_count_deferred(relay);
		if (is_up)
			more = outbox_purge(relay, now);
	}
	if (is_up)
	{
		outbox_write_registers(relay);
		outbox_write_totals(relay, now, false);
		more |= outbox_rotate(relay, now);
		outbox_forget_returned(now);
		/* last, as others want queues with nothing under way */
		more |= outbox_look_at_cursors(relay, now);
	}
	outbox_want_plan(PLAN_ROUTINE);
	pgstat_report_stat(false);
	return more;
}

/*
 * One turn of the loop.  False if there is nothing to do until a commit, an
 * answer or a time comes.
 */
static bool
turn(Relay *relay, OutboxTime now)
{
	bool		worked;
	bool		looked = false;
	ListCell   *lc;

	outbox_check_watch(now);
	take_wake(relay);
	if (outbox_record_own_run(relay))
		foreach(lc, relay->links)
			outbox_run_link(relay, lfirst(lc), now);
	if (outbox_reused_is_wanted())
		looked = outbox_look_for_reused(relay);
	outbox_publish_waiting(relay);
	outbox_stage_delayed(relay, now);
	outbox_read_consumers(relay, now);
	worked = deliver(relay, now) || looked;
	if (outbox_best_link_state(relay) == LINK_UP && !outbox_is_held())
		worked |= outbox_resend_requested(relay);
	if (outbox_is_counting_backlog())
		worked |= count_backlog(relay);
	foreach(lc, relay->links)
	{
		Link	   *link = lfirst(lc);

		if (link->state == LINK_READY && !outbox_is_held() &&
			outbox_all_is_delivered(relay, link))
			outbox_link_is_idle(relay, link);
		worked |= link->more_answers;
	}
	return worked;
}

void
outbox_relay_main(Datum main_arg)
{
	OutboxRelayArgs args;
	Relay	   *relay;
	OutboxTime	chores_at = 0;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGTERM, relay_sigterm);
	pqsignal(SIGINT, relay_sigint);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	outbox_fix_settings();

	relay = make_relay(&args);
	MemoryContextSwitchTo(relay->scratch);
	while (!read_first_state(relay))
	{
		outbox_wait_ms(LOCK_RETRY_MS);
		CHECK_FOR_INTERRUPTS();
	}
	before_shmem_exit(write_counts_at_exit, PointerGetDatum(relay));

	for (;;)
	{
		OutboxTime	now;
		bool		worked;

		MemoryContextSwitchTo(relay->scratch);
		MemoryContextReset(relay->scratch);
		/* told to end between two turns, it leaves without a FATAL in the log */
		if (outbox_told_to_end)
			proc_exit(0);
		CHECK_FOR_INTERRUPTS();

		now = outbox_now();
		outbox_turn_begins(now);
		take_reload(relay);
		worked = turn(relay, now);
		if (now >= chores_at || pg_atomic_read_u32(&relay->slot->count_wanted))
		{
			chores_at = outbox_in_ms(now, chores(relay, now) ? MORE_WORK_MS :
									 CHORES_INTERVAL_MS);
			worked = true;
		}
		outbox_turn_ends(relay->slot);
		if (!worked)
			outbox_wait_for_work(relay, chores_at);
	}
}
