/*-------------------------------------------------------------------------
 *
 * queue_drop.c
 *	  Drop a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message must not get into a queue that is being dropped: it would be
 * committed and never sent.  Enqueueing holds a share lock on the queue's view
 * until its transaction ends, or on the queue if the view is missing, and dropping
 * needs both exclusive locks.  The relay looks at that of the queue.  Dropping does
 * not wait for the lock, as others who enqueue would have to wait behind it; it
 * fails with an error that the queue is in use.  When it has the lock, it asks
 * the relay to count the waiting messages: only the relay knows which rows of
 * staging have been delivered.
 *
 * Nor does it wait for anything else for long, as all who enqueue wait behind it
 * meanwhile: for a row of the queue's, for a captured table, for the relay.
 *
 * Writing to a table that is captured to a queue that is gone would fail.  So the
 * captures are a reason to refuse; and who gives up the messages gives up the
 * captures, too.
 *
 * The caller's snapshot may be older than that lock.  So all commands run with
 * a new one, whatever the isolation level is: they must see and remove
 * everything that was committed before the lock was granted.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/queue.h"

#include "api/args.h"
#include "api/triggers.h"
#include "catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "queue/view.h"
#include "shmem.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "store/query.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "wake.h"

/* how long to wait for a lock; one that is held for longer is an error */
#define LOCK_TIMEOUT "500ms"

/* captured tables that an error names */
#define TABLES_NAMED 5

/* hundredths of a second that the relay has to answer */
#define COUNT_TRIES 300

PG_FUNCTION_INFO_V1(outbox_drop_queue);

static void
is_in_use(const OutboxQueue *queue)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("queue \"%s\" is in use by another transaction",
					queue->name),
			 errhint("Try again when that transaction has ended.")));
}

static void
lock_queue(const OutboxQueue *queue)
{
	LOCKTAG		tag;
	Oid			view = outbox_view_find(queue->id, queue->name);

	if (OidIsValid(view) && !ConditionalLockRelationOid(view, AccessExclusiveLock))
		is_in_use(queue);
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, outbox_relid(OUTBOX_REL_QUEUE),
					   queue->id, 0);
	if (LockAcquire(&tag, AccessExclusiveLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		is_in_use(queue);
}

/*
 * Run a command with a queue's id as $1 and a new snapshot.
 */
static void
execute(const char *command, int32 queue)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(queue)};
	SPIPlanPtr	plan = SPI_prepare(command, 1, types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(),
						 InvalidSnapshot, false, true, 0);
	SPI_freeplan(plan);
}

static int64
count_rows(const char *command, int32 queue)
{
	bool		isnull;

	execute(command, queue);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Ask the relay how many messages of a queue wait.  Returns -1 if it does not
 * answer within some seconds.
 */
static int64
ask_waiting(int32 queue)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	uint64		before;
	int64		result = -1;

	if (slot == NULL)
		return -1;

	/* a count that has begun may miss the last commits: wait for two */
	before = pg_atomic_read_u64(&slot->backlog_counts);
	for (int i = 0; pg_atomic_read_u64(&slot->backlog_counts) < before + 2; i++)
	{
		if (i == COUNT_TRIES)
			return -1;
		pg_atomic_write_u32(&slot->count_wanted, 1);
		outbox_tell_now();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 10, outbox_wait_event("OutboxDropQueue"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	for (int i = 0; i < slot->npublished; i++)
		if (slot->published[i].queue == queue)
			result = slot->published[i].waiting;
	LWLockRelease(outbox_shared->lock);
	return result;
}

/*
 * Lock the queue's row.  Somebody may have altered the queue in a transaction
 * that is open.
 */
static void
lock_row(const OutboxQueue *queue)
{
	execute("SELECT FROM outbox.queue WHERE id = $1 FOR UPDATE SKIP LOCKED",
			queue->id);
	if (SPI_processed > 0)
		return;
	if (count_rows("SELECT count(*) FROM outbox.queue WHERE id = $1", queue->id) > 0)
		is_in_use(queue);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("queue \"%s\" does not exist", queue->name)));
}

/*
 * Returns some of the tables, for an error.
 */
static char *
name_tables(const List *tables)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(tables) && i < TABLES_NAMED; i++)
	{
		Oid			relid = list_nth_oid(tables, i);

		appendStringInfo(&buf, "%s%s", i == 0 ? "" : ", ",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
													get_rel_name(relid)));
	}
	if (list_length(tables) > TABLES_NAMED)
		appendStringInfo(&buf, " and %d more", list_length(tables) - TABLES_NAMED);
	return buf.data;
}

static void
check_captures(const OutboxQueue *queue, const List *tables)
{
	if (tables == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("tables are captured to queue \"%s\"", queue->name),
			 errdetail("They are %s.", name_tables(tables)),
			 errhint("Call outbox_uncapture() for each of them, or end the captures with force => true.")));
}

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
	if (count_rows("SELECT count(*) FROM ("
				   "SELECT xid, queue FROM outbox.staging_1 UNION ALL "
				   "SELECT xid, queue FROM outbox.staging_2 UNION ALL "
				   "SELECT xid, queue FROM outbox.deferred"
				   " WHERE reason = 'delayed') AS r "
				   "WHERE queue = $1 AND xid = pg_current_xact_id_if_assigned()",
				   queue->id) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has messages waiting", queue->name),
				 errdetail("This transaction has enqueued to it."),
				 errhint("Drop it in another transaction, or give the messages up with force => true.")));
}

static void
check_staged(const OutboxQueue *queue)
{
	int64		waiting = 0;

	if (count_rows("SELECT count(*) FROM ("
				   "(SELECT FROM outbox.staging_1 WHERE queue = $1 LIMIT 1) UNION ALL "
				   "(SELECT FROM outbox.staging_2 WHERE queue = $1 LIMIT 1)) AS r",
				   queue->id) > 0)
		waiting = ask_waiting(queue->id);
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
	int64		n = count_rows("SELECT count(*) FROM outbox.deferred"
							   " WHERE queue = $1 AND reason <> 'applied'",
							   queue->id);

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has messages waiting", queue->name),
				 errdetail_plural("%lld message is deferred.",
								  "%lld messages are deferred.",
								  (unsigned long) n, (long long) n),
				 errhint("Wait until they are delivered, or give them up with force => true.")));
}

static void
check_dead(const OutboxQueue *queue)
{
	int64		n = count_rows("SELECT count(*) FROM outbox.dead_letter"
							   " WHERE queue = $1 AND gone_at IS NULL",
							   queue->id);

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has dead letters", queue->name),
				 errdetail_plural("There is %lld dead letter.",
								  "There are %lld dead letters.",
								  (unsigned long) n, (long long) n),
				 errhint("Replay or discard them, or give them up with force => true.")));
}

/*
 * outbox_drop_queue(name, force)
 */
Datum
outbox_drop_queue(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue name");
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	Oid			function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	OutboxQueue queue;
	OutboxCaller caller;
	List	   *captures;
	int			level = NewGUCNestLevel();

	PreventCommandIfReadOnly("outbox_drop_queue()");
	queue = *outbox_queue_find_or_error(name);
	queue.name = name;
	lock_queue(&queue);

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	outbox_connect(&caller);
	lock_row(&queue);
	outbox_finish(&caller);

	/* the tables are others' */
	SPI_connect();
	captures = outbox_tables_with_trigger(function, name);
	if (force)
		drop_captures(&queue, function, captures);
	else
		check_captures(&queue, captures);
	SPI_finish();

	outbox_connect(&caller);
	if (!force)
	{
		check_own(&queue);
		check_staged(&queue);
		check_deferred(&queue);
		check_dead(&queue);
	}
	execute("DELETE FROM outbox.deferred WHERE queue = $1", queue.id);
	execute("DELETE FROM outbox.dead_letter WHERE queue = $1", queue.id);
	execute("DELETE FROM outbox.resend_request WHERE queue = $1", queue.id);
	execute("DELETE FROM outbox.queue_total WHERE queue = $1", queue.id);
	execute("DELETE FROM outbox.queue WHERE id = $1", queue.id);
	outbox_finish(&caller);
	AtEOXact_GUC(true, level);
	PG_RETURN_VOID();
}
