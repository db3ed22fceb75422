/*-------------------------------------------------------------------------
 *
 * relay.c
 *	  The worker that delivers one database's messages: the loop.
 *
 * Design notes
 *
 *		   commit ──► wake
 *						│
 *		┌───────────────▼──────────────────────────────┐
 *		│ link		connect, answers, cursors	connect.c │
 *		│ deliver	plan, read, send	plan.c batch.c │
 *		│ chores	count, rotate, publish	  rotate.c │
 *		│ wait		latch and socket				   │
 *		└──────────────────────────────────────────────┘
 *
 * There is no transaction but within a step, and no step waits for Redis: the
 * loop waits, with no transaction, on the latch and the socket together.
 *
 * Ticks are a millisecond apart at least.  The first commit after a pause is
 * delivered at once; under load commits gather for that long, and don't even
 * try to wake the relay meanwhile.  Otherwise thousands of commits a second
 * would each pay for waking it, and the relay for a transaction and a script
 * call a message.
 *
 * If the process dies at any point, the next one reads the cursors and goes on
 * from there.  What it keeps in memory is either in staging or in Redis, or is
 * a count that is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog.h"
#include "executor/spi.h"
#include "guc.h"
#include "launcher.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define TICK_INTERVAL_US	1000
#define HURRY_INTERVAL_MS	100
#define LOCK_RETRY_MS		50

/* requests under way, of all queues together */
#define MAX_INFLIGHT		16

/* bytes that Redis hasn't taken yet; hiredis moves them after each write */
#define MAX_UNSENT			(512 * 1024)

/*
 * A step is a transaction.  What it allocates goes with it; afterwards the
 * caller's context is the current one again (before PostgreSQL 17 it would be
 * TopMemoryContext, and whatever came next a leak).
 */
static MemoryContext step_context = NULL;

/* SIGTERM has come */
static volatile sig_atomic_t told_to_end = false;

void
outbox_begin_step(void)
{
	step_context = CurrentMemoryContext;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
outbox_end_step(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(step_context);
}

/*
 * Begin a step that reads the extension's tables, with its state and queues up
 * to date.  Leaves if the extension is gone.  False if somebody else's lock is
 * in the way; there is no step then.
 */
static bool
begin_catalog_step(Relay *relay)
{
	outbox_begin_step();
	if (!outbox_catalog_load())
	{
		outbox_end_step();
		outbox_relay_leave(relay);
	}
	if (relay->queues_stale ||
		relay->queues_epoch != outbox_catalog_epoch() || relay->hold)
	{
		MemoryContext old = MemoryContextSwitchTo(relay->scratch);

		if (!outbox_lock_relation(OUTBOX_REL_QUEUE) ||
			!outbox_lock_relation(OUTBOX_REL_STAGING_1) ||
			!outbox_lock_relation(OUTBOX_REL_STAGING_2) ||
			!outbox_lock_relation(OUTBOX_REL_DEFERRED) ||
			!outbox_lock_relation(OUTBOX_REL_QUEUE_TOTAL) ||
			!outbox_lock_relation(OUTBOX_REL_RELAY_STATE))
		{
			outbox_end_step();
			outbox_catalog_forget();
			return false;
		}
		outbox_read_relay_state(relay);
		outbox_refresh_queues(relay);
		MemoryContextSwitchTo(old);
	}
	return true;
}

static bool
look_at_catalog(Relay *relay)
{
	if (!begin_catalog_step(relay))
		return false;
	outbox_end_step();
	return true;
}

/*
 * False if somebody else's lock is in the way.
 */
static bool
read_first_state(Relay *relay)
{
	relay->timeline = GetWALInsertionTimeLine();
	relay->queues_stale = true;
	if (!begin_catalog_step(relay))
		return false;
	if (!outbox_lock_relation(OUTBOX_REL_DELIVERED) ||
		!outbox_lock_relation(OUTBOX_REL_APPLIED))
	{
		outbox_end_step();
		return false;
	}
	SPI_connect();
	outbox_read_registers(relay);
	SPI_finish();
	outbox_end_step();
	pg_atomic_write_u64(&relay->slot->delivered, relay->delivered);
	return true;
}

static bool
has_plan(RelayQueue *queue, TimestampTz now)
{
	return queue->state == QUEUE_FLOWING && !queue->dropped &&
		queue->next < queue->nplan &&
		(queue->careful ? outbox_may_go_carefully(queue, now) :
		 queue->inflight < OUTBOX_QUEUE_INFLIGHT);
}

bool
outbox_may_send(Relay *relay)
{
	return relay->inflight < MAX_INFLIGHT &&
		outbox_redis_unsent() < MAX_UNSENT;
}

/*
 * Places in a plan are good as long as the tables are the same files.
 */
static void
check_files(Relay *relay, OutboxStaging *staging)
{
	bool		same = true;
	ListCell   *lc;

	for (int i = 0; i < staging->ntables; i++)
		same &= relay->files[i] == outbox_relation_file(staging->table[i]);
	if (same)
		return;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->next < queue->nplan)
		{
			outbox_discard_plan(queue);
			queue->finished = false;
		}
	}
	relay->look = true;
}

/*
 * Send batches, one of each queue in turn, as many as may be under way.
 */
static void
send_batches(Relay *relay, OutboxStaging *staging, TimestampTz now)
{
	bool		any = true;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		/* in turns: those tried again may be more than there is time for */
		if (queue->again_went && has_plan(queue, now))
			continue;
		if (outbox_wants_again(queue, now) && outbox_may_send(relay))
			outbox_send_again(relay, queue);
	}

	while (any && outbox_may_send(relay))
	{
		any = false;
		foreach(lc, relay->queues)
		{
			RelayQueue *queue = lfirst(lc);

			if (!has_plan(queue, now) || !outbox_may_send(relay))
				continue;
			if (queue->careful)
				outbox_send_careful(relay, queue, staging);
			else
				outbox_send_batch(relay, queue, staging);
			any = true;
			/* it may have missed a plan while it was busy with an older one */
			if (queue->next == queue->nplan &&
				queue->plan_number != relay->plan_number)
				relay->look = true;
		}
	}
}

/*
 * Deliver what can be.  False if there is nothing to do until something is
 * heard.
 */
static bool
deliver(Relay *relay, TimestampTz now)
{
	OutboxStaging staging;
	bool		plan;
	bool		send = false;
	int			ntables = OUTBOX_STAGING_TABLES;
	ListCell   *lc;

	if (!relay->ready || relay->hold)
		return false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		send |= has_plan(queue, now) || outbox_wants_again(queue, now);
		if (queue->past_ticks > 0)
			ntables = OUTBOX_TABLES;
	}
	send &= outbox_may_send(relay);
	plan = relay->look && now - relay->looked_at >= TICK_INTERVAL_US;
	if (!send && !plan)
		return false;

	if (!begin_catalog_step(relay))
		return false;
	if (!outbox_staging_open(&staging, GetActiveSnapshot(), ntables))
	{
		outbox_end_step();
		return false;
	}
	check_files(relay, &staging);
	if (plan)
	{
		relay->look = false;
		if (outbox_plan(relay, &staging))
			relay->looked_at = now;
	}
	send_batches(relay, &staging, now);
	(void) outbox_redis_flush();
	outbox_staging_close(&staging);
	outbox_end_step();

	/* a row of a queue that isn't known yet */
	relay->look |= relay->queues_stale;
	return true;
}

static bool
count_backlog(Relay *relay)
{
	OutboxStaging staging;
	bool		counted = false;

	outbox_begin_step();
	if (outbox_catalog_load() &&
		outbox_staging_open(&staging, GetActiveSnapshot(),
							relay->recount ? OUTBOX_TABLES : OUTBOX_STAGING_TABLES))
	{
		if (relay->recount)
			outbox_recount(relay, &staging);
		else
			outbox_census(relay, &staging);
		relay->recount = false;
		counted = true;
		outbox_staging_close(&staging);
	}
	outbox_end_step();
	return counted;
}

/*
 * All cursors have been read and nothing waits to be sent.
 */
static bool
nothing_to_do(Relay *relay)
{
	ListCell   *lc;

	/* a tick of the past may be empty, and the next one not */
	if (relay->look)
		return false;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->state == QUEUE_UNKNOWN || queue->state == QUEUE_ASKED ||
			(queue->state == QUEUE_FLOWING && !queue->finished))
			return false;
	}
	return relay->inflight == 0;
}

/*
 * A finished tick without anything in flight is settled.
 */
static void
settle_idle_queues(Relay *relay)
{
	RelayQueue *unused = NULL;
	ListCell   *lc;

	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		if (queue->dropped)
		{
			if (queue->inflight + queue->consumer_reads == 0)
				unused = queue;
			continue;
		}
		if (queue->state != QUEUE_FLOWING || !queue->finished ||
			queue->inflight > 0 || queue->next < queue->nplan)
			continue;
		/* what it stood still for is gone */
		queue->failures = 0;
		queue->still_since = 0;
		if (queue->settled == queue->cur)
			continue;
		outbox_snap_unref(queue->settled);
		queue->settled = outbox_snap_ref(queue->cur);
	}
	if (unused != NULL)
		outbox_free_queue(relay, unused);
}

/*
 * What is done about once a second, and when a census is asked for.
 */
static void
chores(Relay *relay, TimestampTz now)
{
	relay->hurry = false;
	relay->look_for_requests |= relay->requests_wait;
	pg_atomic_write_u32(&relay->slot->census_wanted, 0);
	if (!look_at_catalog(relay))
		return;
	settle_idle_queues(relay);
	if (count_backlog(relay))
	{
		outbox_publish(relay);
		pg_atomic_fetch_add_u64(&relay->slot->censuses, 1);
	}
	if (outbox_anything_deferred())
	{
		outbox_look_for_due(relay);
		outbox_count_deferred(relay);
		if (relay->well)
			outbox_purge(relay, now);
	}
	if (relay->well)
	{
		outbox_write_registers(relay);
		outbox_write_totals(relay, now, false);
		outbox_rotate(relay, now);
		outbox_forget_returned(relay, now);
	}
	/* COMMIT PREPARED wakes nobody */
	relay->look = true;
	pgstat_report_stat(false);
}

/*
 * SIGTERM ends the relay as it does any worker.
 */
static void
relay_sigterm(SIGNAL_ARGS)
{
	told_to_end = true;
	outbox_die();
}

/*
 * We have been told to end, perhaps in the middle of a step: leave the
 * registers and totals as they are now.
 */
static void
write_last_words(int code, Datum arg)
{
	Relay	   *relay = (Relay *) DatumGetPointer(arg);

	if (!told_to_end)
		return;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(relay->scratch);
	outbox_write_registers(relay);
	outbox_write_totals(relay, GetCurrentTimestamp(), true);
}

/*
 * The clock has been set back: what was to be done later is done now.
 */
static void
forget_times(Relay *relay, TimestampTz now)
{
	ListCell   *lc;

	relay->looked_at = 0;
	relay->searched_at = 0;
	relay->link_at = Min(relay->link_at, now);
	relay->progress_at = now;
	relay->current_since = now;
	for (int i = 0; i < OUTBOX_STAGING_TABLES; i++)
		relay->settled_since[i] = 0;
	relay->due_at = Min(relay->due_at, now);
	relay->forget_returned_at = now;
	relay->totals_written_at = now;
	foreach(lc, relay->queues)
	{
		RelayQueue *queue = lfirst(lc);

		queue->retry_at = queue->careful_at = now;
		queue->again_at = Min(queue->again_at, now);
		queue->consumer_at = Min(queue->consumer_at, now);
		queue->purge_at = now;
	}
}

static Relay *
make_relay(const OutboxRelayArgs *args)
{
	Relay	   *relay;
	HASHCTL		ctl;

	relay = MemoryContextAllocZero(TopMemoryContext, sizeof(Relay));
	relay->context = AllocSetContextCreate(TopMemoryContext, "outbox relay",
										   ALLOCSET_DEFAULT_SIZES);
	relay->scratch = AllocSetContextCreate(TopMemoryContext,
										   "outbox relay turn",
										   ALLOCSET_DEFAULT_SIZES);
	relay->batch = AllocSetContextCreate(TopMemoryContext,
										 "outbox relay batch",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(relay->context);
	dlist_init(&relay->requests);
	initStringInfo(&relay->args.data);
	initStringInfo(&relay->seqs);
	initStringInfo(&relay->command);
	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(QueueById);
	ctl.hcxt = relay->context;
	relay->by_id = hash_create("outbox relay queues", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	relay->slot = outbox_relay_attach(args);
	relay->look_for_requests = relay->truncated = true;
	relay->counting_due = relay->counting_dead_at = DT_NOBEGIN;
	return relay;
}

void
outbox_relay_main(Datum main_arg)
{
	OutboxRelayArgs args;
	Relay	   *relay;
	char	   *url;
	TimestampTz chores_at = 0;
	TimestampTz last_now = 0;
	bool		worked;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGTERM, relay_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	outbox_fix_settings();

	relay = make_relay(&args);
	while (!read_first_state(relay))
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCK_RETRY_MS, outbox_wait_event("OutboxRelayMain"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	url = MemoryContextStrdup(relay->context, outbox_redis_server->url);
	before_shmem_exit(write_last_words, PointerGetDatum(relay));

	for (;;)
	{
		TimestampTz now;

		MemoryContextSwitchTo(relay->scratch);
		MemoryContextReset(relay->scratch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			if (strcmp(url, outbox_redis_server->url) != 0)
			{
				pfree(url);
				url = MemoryContextStrdup(relay->context, outbox_redis_server->url);
				outbox_link_changed(relay);
			}
		}

		now = GetCurrentTimestamp();
		if (now < last_now)
		{
			forget_times(relay, now);
			chores_at = now;
		}
		last_now = now;
		if (relay->look && pg_atomic_exchange_u32(&relay->slot->told, 0) != 0)
		{
			outbox_catalog_forget();
			relay->look_for_requests = true;
		}
		if (relay->look && (!relay->ready || relay->hold))
		{
			relay->look = !look_at_catalog(relay);
		}
		outbox_run_link(relay, now);
		(void) outbox_move_due(relay, now);
		outbox_read_consumers(relay, now);
		worked = deliver(relay, now);
		if (relay->look_for_requests && relay->well && !relay->hold)
			outbox_resend_requested(relay);
		if (relay->ready && !relay->well && !relay->hold &&
			nothing_to_do(relay))
			outbox_link_well(relay);
		if (now >= chores_at ||
			pg_atomic_read_u32(&relay->slot->census_wanted))
		{
			chores(relay, now);
			chores_at = TimestampTzPlusMilliseconds(now, relay->hurry ?
													HURRY_INTERVAL_MS :
													OUTBOX_CHORES_INTERVAL_MS);
		}
		else if (!worked)
			outbox_wait_for_work(relay, chores_at);
	}
}
