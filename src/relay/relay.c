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
#include "relay/base/mishap.h"
#include "relay/base/queues.h"
#include "relay/base/standby.h"
#include "relay/base/state.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/chores.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/batch_buffer.h"
#include "relay/deliver/deliver.h"
#include "relay/deliver/look.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/reconcile.h"
#include "relay/deliver/rest.h"
#include "relay/deliver/reused.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/script.h"
#include "relay/deliver/tell.h"
#include "relay/errand_link.h"
#include "relay/link_life.h"
#include "relay/own_run.h"
#include "relay/refresh.h"
#include "relay/server_settings.h"
#include "relay/servers.h"
#include "relay/upkeep/backlog.h"
#include "relay/upkeep/delayed.h"
#include "relay/upkeep/publish.h"
#include "relay/upkeep/registers.h"
#include "relay/upkeep/replicas.h"
#include "relay/upkeep/resend.h"
#include "relay/upkeep/totals.h"
#include "relay/wait.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

/* at the start: how soon to try again if somebody has locked a table */
#define LOCK_RETRY_MS		50

/*
 * pg_cancel_backend() has no query to cancel here.  But lock_timeout ends a
 * statement by the same signal.
 */
static void
relay_sigint(SIGNAL_ARGS)
{
	if (!get_timeout_indicator(LOCK_TIMEOUT, false))
		return;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
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

static bool
write_counts_now(Relay *relay, OutboxTime now)
{
	outbox_write_registers(relay);
	outbox_write_totals(relay, now, true);
	return true;
}

/*
 * SIGTERM may have come in the middle of a step.  Write registers and totals
 * as they are now, so that the next relay shows the same numbers.
 */
static void
write_counts_at_exit(int code, Datum arg)
{
	static Mishap writing = {"write counts"};
	Relay	   *relay = (Relay *) DatumGetPointer(arg);

	if (!outbox_told_to_end)
		return;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(relay->scratch);
	outbox_attempt(&writing, write_counts_now, relay, outbox_now());
	outbox_tell_dead_letters(outbox_now());
}

static Relay *
make_relay(const OutboxRelayArgs *args)
{
	Relay	   *relay = MemoryContextAllocZero(TopMemoryContext, sizeof(Relay));

	relay->context = AllocSetContextCreate(TopMemoryContext, "outbox relay",
										   ALLOCSET_DEFAULT_SIZES);
	relay->scratch = AllocSetContextCreate(TopMemoryContext,
										   "outbox relay turn",
										   ALLOCSET_DEFAULT_SIZES);
	relay->slot = outbox_relay_attach(args);
	MemoryContextSwitchTo(relay->context);
	outbox_servers_init(relay);
	outbox_queues_init(relay);
	outbox_batch_buffer_init(relay);
	return relay;
}

/*
 * False if somebody's lock is in the way.
 */
static bool
read_first_state(Relay *relay, OutboxTime now)
{
	bool		ok;

	/* where messages would go is said with the reason to hold them */
	if (outbox_servers_are_stale(relay) && !outbox_read_servers(relay))
		outbox_relay_leave(relay);
	if (!outbox_begin_refreshed_step(relay))
		return false;
	ok = outbox_read_registers(relay);
	outbox_end_step();
	return ok;
}

/*
 * Reload settings if the server was told to.
 */
static void
take_reload(void)
{
	if (!ConfigReloadPending)
		return;
	outbox_turn_does(OUTBOX_STEP_SETTINGS);
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	outbox_servers_may_have_changed();
}

/*
 * Somebody who changes queues or the extension, or asks for messages to be
 * delivered again, sets slot->told and wakes the relay.  While nothing is
 * delivered nobody else reads the queues again, so this does.
 */
static bool
take_wake(Relay *relay, OutboxTime now)
{
	uint32		told;

	if (!outbox_plan_is_wanted())
		return false;
	told = pg_atomic_exchange_u32(&relay->slot->told, 0);
	if (told != 0)
	{
		outbox_catalog_forget();
		outbox_look_for_resend();
	}
	if (told & OUTBOX_TOLD_STATE)
		outbox_state_may_have_changed();
	if ((told & OUTBOX_TOLD_STATE ||
		 outbox_best_link_state(relay) < LINK_READY || outbox_is_held()) &&
		outbox_refresh(relay) &&
		(outbox_best_link_state(relay) < LINK_READY || outbox_is_held()))
		outbox_plan_is_made();
	return false;
}

/*
 * Deliver what can be delivered now.  False if nothing could be done.
 */
static bool
deliver(Relay *relay, OutboxTime now)
{
	bool		was_read;
	bool		done;

	if (outbox_best_link_state(relay) < LINK_READY || outbox_is_held() ||
		!outbox_may_deliver(relay, now) || !outbox_begin_refreshed_step(relay))
		return false;
	/* what was read just now may be a reason to deliver nothing, or elsewhere */
	if (outbox_is_held() || outbox_servers_are_stale(relay))
	{
		outbox_end_step();
		return false;
	}
	was_read = !outbox_queues_to_be_read();
	done = outbox_deliver(relay, now);
	outbox_end_step();

	/*
	 * Rows of a queue that is not known yet have to be planned again.  But if
	 * the queues can't be read now, the chores see to it.
	 */
	if (done && was_read && outbox_queues_to_be_read())
		outbox_want_plan(PLAN_QUEUES);
	return done;
}

/*
 * If an error comes from one queue's messages, that queue stands still.  What
 * the others have planned can't be relied upon after another error.
 */
static bool
deliver_or_block(Relay *relay, OutboxTime now)
{
	static Mishap planning = {"plan deliveries"};
	MemoryContext context = CurrentMemoryContext;
	volatile bool worked = false;
	RelayQueue *queue;
	ListCell   *lc;

	if (!outbox_may_try(&planning, now))
		return false;
	PG_TRY();
	{
		worked = deliver(relay, now);
		outbox_has_not_failed(&planning, now);
	}
	PG_CATCH();
	{
		queue = outbox_queue_at_work();
		if (queue != NULL)
			outbox_block_queue(relay, queue, NULL, outbox_end_error(context));
		else
		{
			outbox_it_has_failed(&planning, context);
			foreach(lc, relay->queues)
				outbox_queue_is_unknown(lfirst(lc));
		}
	}
	PG_END_TRY();
	return worked;
}

static bool
read_servers(Relay *relay, OutboxTime now)
{
	return outbox_read_servers(relay);
}

static bool
record_own_run(Relay *relay, OutboxTime now)
{
	return outbox_record_own_run(relay);
}

static bool
stage_delayed(Relay *relay, OutboxTime now)
{
	outbox_stage_delayed(relay, now);
	return false;
}

static bool
read_consumers(Relay *relay, OutboxTime now)
{
	outbox_read_consumers(relay, now);
	return false;
}

static bool
resend_requested(Relay *relay, OutboxTime now)
{
	return outbox_resend_requested(relay);
}

/*
 * One turn of the loop.  False if there is nothing to do until a commit, an
 * answer or a time comes.
 */
static bool
turn(Relay *relay, OutboxTime now)
{
	static Mishap waking = {"read its queues"};
	static Mishap serving = {"read which Redis it delivers to"};
	static Mishap recording = {"record this server's run"};
	static Mishap delayed = {"stage delayed messages"};
	static Mishap consumers = {"read what consumers return"};
	static Mishap resending = {"deliver messages again"};
	bool		worked;
	bool		looked = false;
	ListCell   *lc;

	outbox_check_watch(now);
	outbox_wake_rested_queues(now);
	outbox_attempt(&waking, take_wake, relay, now);
	if (outbox_servers_are_stale(relay))
		outbox_attempt(&serving, read_servers, relay, now);
	outbox_let_queues_leave(relay);
	if (outbox_attempt(&recording, record_own_run, relay, now))
		outbox_run_links(relay, now);
	foreach(lc, relay->links)
		outbox_run_replicas(relay, lfirst(lc), now);
	outbox_run_errand(relay, now);
	if (outbox_reused_is_wanted())
		looked = outbox_look_for_reused(relay);
	if (outbox_any_reconciled())
		looked |= outbox_go_on_reconciling(relay);
	outbox_publish_waiting(relay);
	outbox_attempt(&delayed, stage_delayed, relay, now);
	outbox_attempt(&consumers, read_consumers, relay, now);
	worked = deliver_or_block(relay, now) || looked;
	outbox_tell_dead_letters(now);
	if (outbox_best_link_state(relay) == LINK_UP && !outbox_is_held())
		worked |= outbox_attempt(&resending, resend_requested, relay, now);
	if (outbox_is_counting_backlog())
		worked |= outbox_go_on_counting(relay, now);
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

/*
 * Wait until the database can be read.
 */
static void
begin(Relay *relay)
{
	static Mishap beginning = {"read the database's state"};
	static Mishap looking = {"look who holds locks"};

	while (!outbox_attempt(&beginning, read_first_state, relay, outbox_now()))
	{
		outbox_attempt(&looking, outbox_say_obstacle, relay, outbox_now());
		outbox_wait_ms(LOCK_RETRY_MS);
		CHECK_FOR_INTERRUPTS();
	}
	outbox_is_done(&beginning);
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
	outbox_remember_settings();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	outbox_fix_settings();

	relay = make_relay(&args);
	MemoryContextSwitchTo(relay->scratch);
	begin(relay);
	before_shmem_exit(write_counts_at_exit, PointerGetDatum(relay));

	for (;;)
	{
		OutboxTime	now;
		bool		worked;

		MemoryContextSwitchTo(relay->scratch);
		MemoryContextReset(relay->scratch);
		QueryCancelPending = false;
		/* told to end between two turns, it leaves without a FATAL in the log */
		if (outbox_told_to_end)
			proc_exit(0);
		CHECK_FOR_INTERRUPTS();

		now = outbox_now();
		outbox_turn_begins(now);
		take_reload();
		worked = turn(relay, now);
		worked |= outbox_do_chores(relay, now, &chores_at);
		outbox_rest(now);
		outbox_turn_ends(relay->slot);
		if (!worked)
			outbox_wait_for_work(relay, chores_at);
	}
}
