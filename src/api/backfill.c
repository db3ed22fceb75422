/*-------------------------------------------------------------------------
 *
 * backfill.c
 *	  outbox_backfill() and outbox_stop_backfill().
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A procedure, as each chunk of rows has a transaction of its own: rows are locked
 * for a moment only, and what is done stays done when the call is cancelled, or the
 * server dies.  The next call goes on from there.
 *
 * Each chunk needs READ COMMITTED, since a row is to be read as it is when it is
 * locked, not as it was when the transaction began.
 *
 * What a chunk cannot have at once it leaves: it ends with an error and is tried
 * again, with none of its locks.  It gives up before PostgreSQL looks for deadlocks,
 * so no application's transaction is chosen as the victim of one.
 *
 * The commits of chunks need not be flushed: the relay flushes what it sends, and
 * a crash loses messages and progress together.  So writers wait no longer for a
 * chunk's locks than its work takes.  The last commit is the session's as ever.
 *
 *-------------------------------------------------------------------------
 */
#include "api/backfill_types.h"

#include "access/xact.h"
#include "api/args.h"
#include "api/backfill_chunk.h"
#include "api/backfill_progress.h"
#include "api/given_settings.h"
#include "api/queue_taken.h"
#include "api/triggers.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* how long to wait for a lock, in milliseconds, if deadlock_timeout isn't short */
#define LONGEST_WAIT 200

#define DEFAULT_CHUNK_ROWS 1000
#define MOST_CHUNK_ROWS 100000
#define DEFAULT_MAX_WAITING 100000

/* arguments of both */
enum
{
	ARG_TABLE,
	ARG_QUEUE,
	ARG_SETTINGS
};

/* what came of a chunk */
typedef enum Outcome
{
	MORE,						/* rows may follow */
	LATER,						/* something was locked */
	FULL,						/* too many messages wait */
	FINISHED,
	STOPPED
} Outcome;

PG_FUNCTION_INFO_V1(outbox_backfill);
PG_FUNCTION_INFO_V1(outbox_stop_backfill);

static void
read_settings(FunctionCallInfo fcinfo, OutboxBackfill *backfill)
{
	JsonbIterator *it = outbox_begin_settings(PG_ARGISNULL(ARG_SETTINGS) ? NULL :
											  PG_GETARG_RAW_VARLENA_P(ARG_SETTINGS),
											  "{\"chunk_rows\": 100}");
	char	   *name;
	JsonbValue	value;

	while (outbox_next_setting(&it, &name, &value))
	{
		if (strcmp(name, "chunk_rows") == 0)
			backfill->chunk_rows = outbox_number_setting(name, &value, MOST_CHUNK_ROWS);
		else if (strcmp(name, "max_waiting") == 0)
			backfill->max_waiting = outbox_number_setting(name, &value, PG_INT32_MAX);
		else if (strcmp(name, "restart") == 0)
			backfill->restart = outbox_boolean_setting(name, &value);
		else
			outbox_unknown_setting(name, "Settings are chunk_rows, max_waiting and restart.");
	}
}

static OutboxBackfill
read_arguments(FunctionCallInfo fcinfo)
{
	OutboxBackfill backfill = {
		.chunk_rows = DEFAULT_CHUNK_ROWS,
		.max_waiting = DEFAULT_MAX_WAITING
	};

	outbox_need_arg(fcinfo, ARG_TABLE, "table_name");
	backfill.relid = PG_GETARG_OID(ARG_TABLE);
	backfill.queue = outbox_needed_text_arg(fcinfo, ARG_QUEUE, "queue");
	backfill.queue_id = outbox_queue_find_or_error(backfill.queue)->id;
	backfill.function = outbox_trigger_function(fcinfo, "outbox_capture_row");
	return backfill;
}

/*
 * End a transaction and begin the next one.
 */
static void
next_transaction(void)
{
	char		timeout[32];

	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
	snprintf(timeout, sizeof(timeout), "%d", Max(1, Min(LONGEST_WAIT, DeadlockTimeout / 2)));
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * The queue may have got another id since the last chunk (queue_taken.c).
 */
static Outcome
work_on(OutboxBackfill *backfill)
{
	OutboxProgress progress;
	OutboxChunk chunk;

	backfill->queue_id = outbox_queue_use(backfill->queue)->id;
	progress = outbox_lock_backfill(backfill);
	if (progress.taken_over)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another call of outbox_backfill() goes on with table \"%s\"",
						get_rel_name(backfill->relid))));
	if (progress.stopped)
		return STOPPED;
	if (backfill->room <= 0)
		return FULL;
	chunk = outbox_backfill_chunk(backfill, &progress);
	backfill->room -= chunk.rows;
	outbox_advance_backfill(backfill, chunk.position, chunk.rows, chunk.finished);
	return chunk.finished ? FINISHED : MORE;
}

static bool
is_passing(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/*
 * Try a chunk, in a subtransaction.
 */
static Outcome
try_chunk(OutboxBackfill *backfill)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Outcome outcome = LATER;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		outcome = work_on(backfill);
		PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_passing(error->sqlerrcode))
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return outcome;
}

/*
 * How many rows may be enqueued until the relay is asked again.  What it has
 * published is older than what we have enqueued since.
 */
static bool
look_for_room(OutboxBackfill *backfill)
{
	const OutboxQueue queue = {.id = backfill->queue_id};
	bool		held;
	int64		waiting = outbox_ask_waiting(&queue, &held);

	if (waiting >= 0)
		backfill->room = backfill->max_waiting - waiting;
	return backfill->room > 0;
}

static void
rest(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LONGEST_WAIT,
					 outbox_wait_event("OutboxBackfill"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Chunk by chunk, to the end or until it is stopped.
 */
static void
run(OutboxBackfill *backfill)
{
	MemoryContext chunk = AllocSetContextCreate(CurrentMemoryContext, "outbox backfill",
												ALLOCSET_DEFAULT_SIZES);
	bool		said = false;
	Outcome		outcome;

	do
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		next_transaction();
		old = MemoryContextSwitchTo(chunk);
		outcome = try_chunk(backfill);
		MemoryContextSwitchTo(old);
		MemoryContextReset(chunk);
		if (outcome == MORE)
			(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
		if (outcome != FULL)
			continue;
		next_transaction();
		if (look_for_room(backfill))
			continue;
		if (!said)
			ereport(NOTICE,
					(errmsg("the backfill waits while queue \"%s\" has more than " INT64_FORMAT " messages that wait",
							backfill->queue, backfill->max_waiting)));
		said = true;
		rest();
	} while (outcome != FINISHED && outcome != STOPPED);
	if (outcome == STOPPED)
		ereport(NOTICE,
				(errmsg("the backfill has been stopped"),
				 errhint("The next call of outbox_backfill() goes on from there.")));
	MemoryContextDelete(chunk);
}

/*
 * outbox_backfill(table_name, queue, settings)
 */
Datum
outbox_backfill(PG_FUNCTION_ARGS)
{
	OutboxBackfill backfill;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("outbox_backfill() cannot run in a transaction block"),
				 errdetail("It commits after each chunk of rows."),
				 errhint("Call it by itself, with autocommit.")));
	PreventCommandIfReadOnly("outbox_backfill()");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	backfill = read_arguments(fcinfo);
	read_settings(fcinfo, &backfill);
	next_transaction();
	PushActiveSnapshot(GetTransactionSnapshot());
	outbox_begin_backfill(&backfill, outbox_check_backfill(&backfill));
	backfill.room = backfill.max_waiting - outbox_backfill_waiting(&backfill);
	PopActiveSnapshot();
	run(&backfill);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * outbox_stop_backfill(table_name, queue)
 */
Datum
outbox_stop_backfill(PG_FUNCTION_ARGS)
{
	OutboxBackfill backfill = read_arguments(fcinfo);
	AclResult	may = pg_class_aclcheck(backfill.relid, GetUserId(), ACL_TRIGGER);

	PreventCommandIfReadOnly("outbox_stop_backfill()");
	if (may != ACLCHECK_OK)
		aclcheck_error(may, get_relkind_objtype(get_rel_relkind(backfill.relid)),
					   get_rel_name(backfill.relid));
	outbox_need_right(outbox_queue_use(backfill.queue), GetUserId());
	PG_RETURN_BOOL(outbox_stop_backfill_of(&backfill));
}
