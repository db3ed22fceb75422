/*-------------------------------------------------------------------------
 *
 * queue_taken.c
 *	  A queue to which nobody can enqueue until the transaction ends.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A message must not get into a queue that is being dropped: it would be
 * committed and never sent.  Enqueueing holds a share lock on the queue's view
 * until its transaction ends, or on the queue if the view is missing, and who takes
 * the queue needs both exclusive locks.  The lock is not waited for, as others who
 * enqueue would have to wait behind it: then the queue is in use.
 *
 * The relay looks at the lock of the queue in each transaction that records what has
 * become of the queue's messages, and leaves them alone if somebody has it.  It may
 * have looked just before the lock was taken, and would come upon rows that are being
 * deleted.  So who takes the queue waits for the end of the transaction that the relay
 * is in.  That may be a long one, and of another queue; then the relay waits instead,
 * no longer than its lock_timeout.
 *
 * Nothing is waited for for long, as all who enqueue wait behind it meanwhile: for a
 * row of the queue's, for a captured table, for the relay.
 *
 * Only the relay knows which rows of staging have been delivered.  So it is asked
 * to count the waiting messages.
 *
 * The caller's snapshot may be older than the lock.  So all commands run with a new
 * one, whatever the isolation level is: they must see everything that was committed
 * before the lock was granted.
 *
 * A queue that is purged, or that has another name, target, format or key in Redis
 * from now on, gets a new id.  To the relay it is another queue, with a cursor of
 * its own, and what has the old id belongs to none any more, as after a drop.  So
 * nothing that was enqueued before can be sent as the queue is now, and nothing
 * that is enqueued from now on as the queue was, however late the relay hears of
 * it: a row's queue says how it is sent.  A queue with partitions gets as many new
 * ids.  The old cursor stays in Redis.  If this
 * transaction is lost, by a crash or a failover, the queue goes on from it; and an
 * old primary that does not know of this transaction finds there that it is fenced.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_taken.h"

#include "api/queue_ids.h"
#include "api/queue_status.h"
#include "catalog.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "queue/view.h"
#include "shmem.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "wake.h"

/* how long to wait for a lock; one that is held for longer is an error */
#define LOCK_TIMEOUT "500ms"

/* captured tables that an error names */
#define TABLES_NAMED 5

/* how long to wait for a transaction of the relay */
#define STEP_WAIT_MS 300

/* hundredths of a second that the relay has to answer */
#define COUNT_TRIES 300

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

void
outbox_run_for_queue(const OutboxQueue *queue, const char *command)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->id)},
		{"last", INT4OID, Int32GetDatum(queue->id + queue->partitions - 1)}
	};

	outbox_query_latest(command, params, lengthof(params));
}

int64
outbox_count_of_queue(const OutboxQueue *queue, const char *command)
{
	outbox_run_for_queue(queue, command);
	return outbox_result_int64(0, 1);
}

/*
 * The relay sees the lock in its next transaction.
 */
static void
wait_for_relay_step(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	PGPROC	   *relay = slot == NULL ? NULL : BackendPidGetProc(slot->pid);
	VirtualTransactionId step;

	if (relay == NULL)
		return;
	GET_VXID_FROM_PGPROC(step, *relay);
	if (!VirtualTransactionIdIsValid(step))
		return;
	for (int i = 0; i < STEP_WAIT_MS && !VirtualXactLock(step, false); i++)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 1, outbox_wait_event("OutboxDropQueue"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Lock the queue's row.  Somebody may have altered the queue in a transaction
 * that is open.
 */
static void
lock_row(const OutboxQueue *queue)
{
	outbox_run_for_queue(queue, "SELECT FROM outbox.queue WHERE id = $queue"
						 " FOR UPDATE SKIP LOCKED");
	if (SPI_processed > 0)
		return;
	if (outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.queue"
							  " WHERE id = $queue") > 0)
		is_in_use(queue);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("queue \"%s\" does not exist", queue->name)));
}

int
outbox_take_queue(const char *name, OutboxQueue *queue)
{
	int			level = NewGUCNestLevel();
	OutboxCaller caller;

	*queue = *outbox_queue_find_or_error(name);
	queue->name = pstrdup(name);
	queue->redis_key = pstrdup(queue->redis_key);
	queue->server = queue->server == NULL ? NULL : pstrdup(queue->server);
	queue->moving_from = queue->moving_from == NULL ? NULL : pstrdup(queue->moving_from);
	queue->options = NULL;
	lock_queue(queue);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	wait_for_relay_step();
	outbox_connect(&caller);
	lock_row(queue);
	outbox_finish(&caller);
	return level;
}

bool
outbox_queue_has_own(const OutboxQueue *queue)
{
	return outbox_count_of_queue(queue, "SELECT count(*) FROM ("
								 "SELECT xid, queue FROM outbox.staging_1 UNION ALL "
								 "SELECT xid, queue FROM outbox.staging_2 UNION ALL "
								 "SELECT xid, queue FROM outbox.deferred"
								 " WHERE reason = 'delayed') AS r "
								 "WHERE queue BETWEEN $queue AND $last"
								 " AND xid = pg_current_xact_id_if_assigned()") > 0;
}

bool
outbox_queue_is_staged(const OutboxQueue *queue)
{
	return outbox_count_of_queue(queue, "SELECT count(*) FROM ("
								 "(SELECT FROM outbox.staging_1 WHERE queue BETWEEN $queue AND $last LIMIT 1)"
								 " UNION ALL "
								 "(SELECT FROM outbox.staging_2 WHERE queue BETWEEN $queue AND $last LIMIT 1)"
								 ") AS r") > 0;
}

int64
outbox_ask_waiting(const OutboxQueue *queue, bool *held)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	OutboxPublished *published;
	TimestampTz at;
	int			n;
	uint64		before;
	int64		result = -1;

	*held = false;
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
	*held = slot->state == OUTBOX_HELD || slot->state == OUTBOX_FENCED;
	LWLockRelease(outbox_shared->lock);
	published = outbox_copy_published(&n, &at);
	for (int i = 0; i < n; i++)
		if (published[i].queue == queue->id)
			result = Max(result, 0) + published[i].waiting;
	return result;
}

/*
 * The totals go on, and so do backfills and what consumers return: their streams
 * stay where they are.  The new cursor begins with nothing, which '' for its name
 * says.
 *
 * The relay may have recorded a returned message since we have looked whether
 * anything is left.  From when we have its position, it can't go on.
 */
int32
outbox_renew_id(const OutboxQueue *queue, bool give_up)
{
	OutboxParam params[] = {
		{"queue", INT4OID, Int32GetDatum(queue->id)},
		{"last", INT4OID, Int32GetDatum(queue->id + queue->partitions - 1)},
		{"renewed", INT4OID, Int32GetDatum(outbox_new_queue_ids(queue->partitions))}
	};

	outbox_query_latest("UPDATE outbox.queue SET id = $renewed WHERE id = $queue",
						params, lengthof(params));
	outbox_query_latest("UPDATE outbox.queue_total SET queue = queue - $queue + $renewed,"
						" cursor_key = '', cursor_pos = NULL,"
						" cursor_seq = NULL, cursor_count = NULL"
						" WHERE queue BETWEEN $queue AND $last", params, lengthof(params));
	outbox_query_latest("UPDATE outbox.consumer_position SET queue = queue - $queue + $renewed"
						" WHERE queue BETWEEN $queue AND $last", params, lengthof(params));
	outbox_query_latest("UPDATE outbox.returned SET queue = queue - $queue + $renewed"
						" WHERE queue BETWEEN $queue AND $last", params, lengthof(params));
	if (!give_up && (outbox_count_of_queue(queue, "SELECT count(*) FROM outbox.deferred"
										   " WHERE queue BETWEEN $queue AND $last") > 0 ||
					 outbox_queue_is_staged(queue)))
		is_in_use(queue);
	outbox_query_latest("UPDATE outbox.backfill SET queue = queue - $queue + $renewed"
						" WHERE queue BETWEEN $queue AND $last", params, lengthof(params));
	/* their numbers were in the old cursor's skip list */
	outbox_query_latest("UPDATE outbox.dead_letter SET queue = queue - $queue + $renewed,"
						" lsn = '0/0', skipped = false"
						" WHERE queue BETWEEN $queue AND $last AND gone_at IS NULL",
						params, lengthof(params));
	outbox_run_for_queue(queue, "DELETE FROM outbox.dead_letter WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(queue, "DELETE FROM outbox.deferred WHERE queue BETWEEN $queue AND $last");
	outbox_run_for_queue(queue, "DELETE FROM outbox.resend_request WHERE queue BETWEEN $queue AND $last");
	return DatumGetInt32(params[2].value);
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

void
outbox_check_captures(const OutboxQueue *queue, const List *tables, const char *hint)
{
	if (tables == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("tables are captured to queue \"%s\"", queue->name),
			 errdetail("They are %s.", name_tables(tables)),
			 errhint("%s", hint)));
}
