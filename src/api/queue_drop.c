/*-------------------------------------------------------------------------
 *
 * queue_drop.c
 *	  Drop and purge queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Both take the queue, see queue_taken.c, and refuse to lose messages unless that
 * is asked for.
 *
 * Writing to a table that is captured to a queue that is gone would fail.  So the
 * captures are a reason to refuse; and who gives up the messages gives up the
 * captures, too.
 *
 * A purged queue gets a new id.  What the relay has sent of it just before, and
 * goes on sending until it hears of that, may arrive or not; nothing is sent of
 * the new one before all of the old one is answered (refresh.c).  Captures,
 * rights and dead letters stay.  What was delivered is not sent again if Redis
 * loses it, so that is given up by force only, too.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_taken.h"

#include "api/args.h"
#include "api/triggers.h"
#include "miscadmin.h"
#include "store/query.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_drop_queue);
PG_FUNCTION_INFO_V1(outbox_purge_queue);

/*
 * With the caller's rights, as outbox_uncapture() does it.
 */
static void
drop_captures(const OutboxQueue *queue, Oid function, const List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		ereport(NOTICE,
				(errmsg("drop of queue \"%s\" ends the capture of table \"%s\"",
						queue->name, get_rel_name(lfirst_oid(lc)))));
		outbox_drop_triggers(lfirst_oid(lc), function, queue->name);
	}
}

static void
check_own(const OutboxQueue *queue)
{
	if (outbox_queue_has_own(queue))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has messages waiting", queue->name),
				 errdetail("This transaction has enqueued to it."),
				 errhint("Do this in another transaction, or give the messages up with force => true.")));
}

static void
check_staged(const OutboxQueue *queue)
{
	bool		held;
	int64		waiting = outbox_queue_is_staged(queue) ?
	outbox_ask_waiting(queue, &held) : 0;

	if (waiting == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("queue \"%s\" has messages waiting", queue->name),
			 waiting > 0 ?
			 errdetail_plural("%lld message has not been delivered.",
							  "%lld messages have not been delivered.",
							  (unsigned long) waiting, (long long) waiting) :
			 errdetail("The relay could not say how many; messages are staged."),
			 errhint("Wait until they are delivered, or give them up with force => true.")));
}

static void
check_deferred(const OutboxQueue *queue)
{
	int64		n = outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
										  " WHERE queue BETWEEN $queue AND $last AND reason <> 'applied'");

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has messages waiting", queue->name),
				 errdetail_plural("%lld message is deferred.",
								  "%lld messages are deferred.",
								  (unsigned long) n, (long long) n),
				 errhint("Wait until they are delivered, or give them up with force => true.")));
}

/*
 * In this order: the relay may stage a delayed message meanwhile.
 */
static void
check_waiting(const OutboxQueue *queue)
{
	check_own(queue);
	check_deferred(queue);
	check_staged(queue);
}

static void
check_dead(const OutboxQueue *queue)
{
	int64		n = outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.dead_letter"
										  " WHERE queue BETWEEN $queue AND $last AND gone_at IS NULL");

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has dead letters", queue->name),
				 errdetail_plural("There is %lld dead letter.",
								  "There are %lld dead letters.",
								  (unsigned long) n, (long long) n),
				 errhint("Replay or discard them, with outbox_replay_queue() or outbox_discard_queue(), or give them up with force => true.")));
}

/*
 * outbox_drop_queue(queue, force)
 */
Datum
outbox_drop_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	Oid			function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	OutboxQueue queue;
	OutboxCaller caller;
	List	   *captures;
	int			level;

	PreventCommandIfReadOnly("outbox_drop_queue()");
	level = outbox_take_queue(name, &queue);

	/* the tables are others' */
	SPI_connect();
	captures = outbox_tables_with_trigger(function, name);
	if (force)
		drop_captures(&queue, function, captures);
	else
		outbox_check_captures(&queue, captures, "Call outbox_uncapture() for each of them, or end the captures with force => true.");
	SPI_finish();

	outbox_connect(&caller);
	if (!force)
	{
		check_waiting(&queue);
		check_dead(&queue);
	}
	outbox_run_for_queue(&queue, "DELETE FROM outbox.deferred WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(&queue, "DELETE FROM outbox.dead_letter WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(&queue, "DELETE FROM outbox.resend_request WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(&queue, "DELETE FROM outbox.queue_total WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(&queue, "DELETE FROM outbox.backfill WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(&queue, "DELETE FROM outbox.queue WHERE id = $queue");
	outbox_finish(&caller);
	AtEOXact_GUC(true, level);
	PG_RETURN_VOID();
}

/*
 * How many messages wait.  If the relay can't say which staged ones have been
 * delivered, all of them are counted.
 */
static int64
count_waiting(const OutboxQueue *queue)
{
	bool		held = false;
	int64		waiting = outbox_queue_is_staged(queue) ||
	outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
						  " WHERE queue BETWEEN $queue AND $last"
						  " AND reason IN ('evacuated', 'restored')") > 0 ?
	outbox_ask_waiting(queue, &held) : 0;

	if (waiting < 0)
		return outbox_count_of_queue(queue, "SELECT count(*) FROM ("
									 "SELECT seq FROM outbox.staging_1 WHERE queue BETWEEN $queue AND $last"
									 " UNION SELECT seq FROM outbox.staging_2 WHERE queue BETWEEN $queue AND $last"
									 " UNION SELECT seq FROM outbox.deferred WHERE queue BETWEEN $queue AND $last"
									 " AND reason <> 'applied') AS r");
	/* the relay has counted what is evacuated; if all is held, more */
	return waiting +
		(held ? outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
									  " WHERE queue BETWEEN $queue AND $last AND reason = 'delayed'") :
		 outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
							   " WHERE queue BETWEEN $queue AND $last"
							   " AND reason IN ('delayed', 'retry', 'behind')"));
}

/*
 * outbox_purge_queue(queue, force): give up what waits.  Returns how many messages
 * that were, those included that were being delivered.
 */
Datum
outbox_purge_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	OutboxQueue queue;
	OutboxCaller caller;
	int64		n = 0;
	int			level;

	PreventCommandIfReadOnly("outbox_purge_queue()");
	level = outbox_take_queue(name, &queue);
	outbox_connect(&caller);
	if (force)
	{
		n = count_waiting(&queue);
		(void) outbox_renew_id(&queue, true);
	}
	else
		check_waiting(&queue);
	outbox_finish(&caller);
	AtEOXact_GUC(true, level);
	PG_RETURN_INT64(n);
}
