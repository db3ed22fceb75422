/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  A queue's settings: create, drop, look up.
 *
 * Design notes
 *
 * Every enqueue needs its queue's settings, so a backend caches them by name.
 * A statement trigger on outbox.queue sends a relation cache invalidation for
 * whoever changes it (these functions, a restore, a superuser's own UPDATE),
 * and wakes the relay at commit.
 *
 * A message must not get into a queue that is being dropped: it would be
 * committed and never sent.  Enqueueing holds a share lock on the queue until
 * its transaction ends, dropping needs the exclusive one.  It doesn't wait for
 * it, as those who enqueue would wait behind it: it says that the queue is in
 * use.  With the lock held, the relay is asked to count what still waits.
 *
 * The column "name" has collation C, so an index scan finds it whatever the
 * database's collation is.
 *
 *-------------------------------------------------------------------------
 */
#include "queue.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "shmem.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "wake.h"

/* columns of outbox.queue */
enum
{
	Anum_queue_id = 1,
	Anum_queue_name,
	Anum_queue_target,
	Anum_queue_redis_key,
	Anum_queue_format,
	Anum_queue_maxlen,
	Anum_queue_on_failure,
	Anum_queue_max_attempts,
	Anum_queue_retry_delay,
	Anum_queue_retry_backoff,
	Anum_queue_retry_max_delay,
	Anum_queue_expires_after,
	Anum_queue_paused_at,
	Anum_queue_created_at
};

#define NAME_BYTES (OUTBOX_MAX_QUEUE_NAME * MAX_MULTIBYTE_CHAR_LEN + 1)

typedef struct CacheEntry
{
	char		name[NAME_BYTES];
	OutboxQueue queue;
} CacheEntry;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;
static uint64 cache_epoch = 0;

static const struct
{
	const char *name;
	OutboxTarget target;
	bool		formats;
	bool		maxlen;
}			targets[] = {
	{"stream", OUTBOX_TARGET_STREAM, false, true},
	{"list", OUTBOX_TARGET_LIST, true, false},
	{"publish", OUTBOX_TARGET_PUBLISH, true, false},
};

PG_FUNCTION_INFO_V1(outbox_create_queue);
PG_FUNCTION_INFO_V1(outbox_drop_queue);
PG_FUNCTION_INFO_V1(outbox_queue_changed);

static int
find_target(const char *name)
{
	for (int i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			return i;
	return -1;
}

/* a month has thirty days, as where PostgreSQL compares intervals */
static int64
interval_us(Datum value)
{
	Interval   *interval = DatumGetIntervalP(value);

	return interval->time + interval->day * USECS_PER_DAY +
		interval->month * DAYS_PER_MONTH * USECS_PER_DAY;
}

static void
read_policy(const Datum *values, const bool *nulls, OutboxQueue *queue)
{
	char	   *on_failure = TextDatumGetCString(values[Anum_queue_on_failure - 1]);

	queue->on_failure = strcmp(on_failure, "retry") == 0 ? OUTBOX_RETRY :
		strcmp(on_failure, "dead_letter") == 0 ? OUTBOX_DEAD_LETTER :
		OUTBOX_BLOCK;
	queue->max_attempts = DatumGetInt32(values[Anum_queue_max_attempts - 1]);
	queue->retry_delay = interval_us(values[Anum_queue_retry_delay - 1]);
	queue->retry_backoff = DatumGetFloat8(values[Anum_queue_retry_backoff - 1]);
	queue->retry_max_delay = interval_us(values[Anum_queue_retry_max_delay - 1]);
	queue->expires_after = nulls[Anum_queue_expires_after - 1] ? 0 :
		interval_us(values[Anum_queue_expires_after - 1]);
	queue->paused_at = nulls[Anum_queue_paused_at - 1] ? 0 :
		DatumGetTimestampTz(values[Anum_queue_paused_at - 1]);
}

/*
 * What the text columns mean.  Rows may have been written by other means than
 * outbox_create_queue(), so unknown words are errors here too.
 */
static void
read_queue_row(HeapTuple tup, TupleDesc desc, OutboxQueue *queue)
{
	Datum		values[Anum_queue_created_at];
	bool		nulls[Anum_queue_created_at];
	char	   *target;
	int			t;

	Assert(desc->natts == lengthof(values));
	heap_deform_tuple(tup, desc, values, nulls);

	target = TextDatumGetCString(values[Anum_queue_target - 1]);
	t = find_target(target);
	if (t < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown target \"%s\" in outbox.queue", target)));

	queue->id = DatumGetInt32(values[Anum_queue_id - 1]);
	queue->name = TextDatumGetCString(values[Anum_queue_name - 1]);
	queue->target = targets[t].target;
	queue->redis_key = TextDatumGetCString(values[Anum_queue_redis_key - 1]);
	queue->maxlen = nulls[Anum_queue_maxlen - 1] ? 0 :
		DatumGetInt64(values[Anum_queue_maxlen - 1]);
	queue->format = OUTBOX_FORMAT_NONE;
	if (!nulls[Anum_queue_format - 1])
		queue->format =
			strcmp(TextDatumGetCString(values[Anum_queue_format - 1]),
				   "raw") == 0 ? OUTBOX_FORMAT_RAW : OUTBOX_FORMAT_JSON;
	read_policy(values, nulls, queue);
}

static void
reset_cache(void)
{
	HASHCTL		ctl;

	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext,
											  "outbox queues",
											  ALLOCSET_SMALL_SIZES);
	cache = NULL;
	MemoryContextReset(cache_context);
	ctl.keysize = NAME_BYTES;
	ctl.entrysize = sizeof(CacheEntry);
	ctl.hcxt = cache_context;
	cache = hash_create("outbox queues", 16, &ctl,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	cache_epoch = outbox_catalog_epoch();
}

/*
 * Read a queue's row into the cache.  NULL if there is none.
 */
static const OutboxQueue *
load_queue(const char *name)
{
	Relation	rel = table_open(outbox_relid(OUTBOX_REL_QUEUE),
								 AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;
	OutboxQueue queue;
	bool		found;

	ScanKeyInit(&key, Anum_queue_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(rel, outbox_relid(OUTBOX_REL_QUEUE_INDEX), true,
							  NULL, 1, &key);
	tup = systable_getnext(scan);
	found = HeapTupleIsValid(tup);
	if (found)
	{
		MemoryContext old;

		if (cache == NULL || cache_epoch != outbox_catalog_epoch())
			reset_cache();
		old = MemoryContextSwitchTo(cache_context);
		read_queue_row(tup, RelationGetDescr(rel), &queue);
		MemoryContextSwitchTo(old);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (!found)
		return NULL;
	{
		CacheEntry *entry = hash_search(cache, name, HASH_ENTER, NULL);

		entry->queue = queue;
		return &entry->queue;
	}
}

static const OutboxQueue *
find_queue(const char *name)
{
	CacheEntry *entry;

	if (strlen(name) >= NAME_BYTES)
		return NULL;
	if (cache == NULL || cache_epoch != outbox_catalog_epoch())
		reset_cache();
	entry = hash_search(cache, name, HASH_FIND, NULL);
	return entry != NULL ? &entry->queue : load_queue(name);
}

static const OutboxQueue *
find_queue_or_error(const char *name)
{
	const OutboxQueue *queue = find_queue(name);

	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 errhint("Create it with outbox_create_queue().")));
	return queue;
}

/*
 * The settings of a queue that can't be dropped before this transaction ends.
 */
const OutboxQueue *
outbox_queue_use(const char *name)
{
	/* the lock taken last: messages tend to come in rows */
	static LocalTransactionId locked_lxid = InvalidLocalTransactionId;
	static SubTransactionId locked_subxid = InvalidSubTransactionId;
	static int32 locked_queue = 0;

	for (;;)
	{
		const OutboxQueue *queue = find_queue_or_error(name);
		uint64		epoch = outbox_catalog_epoch();

		/* a subtransaction's lock goes with it */
		if (locked_queue == queue->id && locked_lxid == outbox_my_lxid() &&
			locked_subxid == GetCurrentSubTransactionId())
			return queue;

		LockDatabaseObject(outbox_relid(OUTBOX_REL_QUEUE), queue->id, 0,
						   AccessShareLock);
		if (epoch == outbox_catalog_epoch())
		{
			locked_queue = queue->id;
			locked_lxid = outbox_my_lxid();
			locked_subxid = GetCurrentSubTransactionId();
			return queue;
		}
		/* it may have been dropped before we had the lock: look again */
	}
}

/*
 * All queues, in no order.
 */
List *
outbox_queue_list(void)
{
	Relation	rel = table_open(outbox_relid(OUTBOX_REL_QUEUE),
								 AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	List	   *result = NIL;
	HeapTuple	tup;

	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		OutboxQueue *queue = palloc(sizeof(OutboxQueue));

		read_queue_row(tup, RelationGetDescr(rel), queue);
		result = lappend(result, queue);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static void
check_name(const char *what, const char *value)
{
	int			len = pg_mbstrlen(value);

	if (len < 1 || len > OUTBOX_MAX_QUEUE_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d characters", what,
						OUTBOX_MAX_QUEUE_NAME)));

	/* Redis gets it as UTF-8 */
	(void) pg_server_to_any(value, strlen(value), PG_UTF8);
}

static void
check_target(const char *target, const char *format, bool has_maxlen,
			 int64 maxlen)
{
	int			t = find_target(target);

	if (t < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown target \"%s\"", target),
				 errhint("Targets are \"stream\", \"list\" and \"publish\".")));
	if (format != NULL && !targets[t].formats)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no formats", target),
				 errhint("Leave the format out.")));
	if (format != NULL && strcmp(format, "json") != 0 &&
		strcmp(format, "raw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown format \"%s\"", format),
				 errhint("Formats are \"json\" and \"raw\".")));
	if (has_maxlen && !targets[t].maxlen)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no maximum length", target),
				 errhint("Only a stream can be trimmed with maxlen.")));
	if (has_maxlen && maxlen < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("maxlen must be greater than zero")));
}

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static char *
needed_text_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return text_arg(fcinfo, n);
}

/*
 * outbox_create_queue(name, target, redis_key, format, maxlen)
 */
Datum
outbox_create_queue(PG_FUNCTION_ARGS)
{
	char	   *name = needed_text_arg(fcinfo, 0, "queue name");
	char	   *target = needed_text_arg(fcinfo, 1, "target");
	char	   *redis_key = text_arg(fcinfo, 2);
	char	   *format = text_arg(fcinfo, 3);
	bool		has_maxlen = !PG_ARGISNULL(4);
	int64		maxlen = has_maxlen ? PG_GETARG_INT64(4) : 0;
	Oid			types[5] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[5];
	char		nulls[6] = "     ";

	PreventCommandIfReadOnly("outbox_create_queue()");
	check_name("queue name", name);
	check_target(target, format, has_maxlen, maxlen);
	if (redis_key == NULL)
		redis_key = name;
	else if (redis_key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("redis_key must not be empty")));
	(void) pg_server_to_any(redis_key, strlen(redis_key), PG_UTF8);
	if (format == NULL && targets[find_target(target)].formats)
		format = "json";
	if (find_queue(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", name)));

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(target);
	values[2] = CStringGetTextDatum(redis_key);
	values[3] = format ? CStringGetTextDatum(format) : (Datum) 0;
	values[4] = Int64GetDatum(maxlen);
	nulls[3] = format ? ' ' : 'n';
	nulls[4] = has_maxlen ? ' ' : 'n';

	SPI_connect();
	SPI_execute_with_args("INSERT INTO outbox.queue"
						  " (name, target, redis_key, format, maxlen)"
						  " VALUES ($1, $2, $3, $4, $5)",
						  5, types, values, nulls, false, 0);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Are there rows of a queue, of this transaction's own or of any?
 */
static bool
has_rows(int32 queue, bool own)
{
	Oid			types[2] = {INT4OID, BOOLOID};
	Datum		values[2] = {Int32GetDatum(queue), BoolGetDatum(own)};

	/* the caller's snapshot may be older than the lock on the queue */
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_execute_with_args("SELECT FROM ("
						  "SELECT xid FROM outbox.staging_1 WHERE queue = $1 UNION ALL "
						  "SELECT xid FROM outbox.staging_2 WHERE queue = $1 UNION ALL "
						  "SELECT xid FROM outbox.deferred WHERE queue = $1) AS r "
						  "WHERE NOT $2 OR xid = pg_current_xact_id_if_assigned() "
						  "LIMIT 1",
						  2, types, values, NULL, true, 1);
	PopActiveSnapshot();
	return SPI_processed > 0;
}

/*
 * Ask the relay how many messages of a queue wait.  -1 if it doesn't say
 * within some seconds.
 */
static int64
ask_waiting(int32 queue)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	uint64		before;
	int64		result = -1;

	if (slot == NULL)
		return -1;

	/* a count under way may not have seen the last commits: wait for two */
	before = pg_atomic_read_u64(&slot->censuses);
	for (int i = 0; pg_atomic_read_u64(&slot->censuses) < before + 2; i++)
	{
		if (i == 300)
			return -1;
		pg_atomic_write_u32(&slot->census_wanted, 1);
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

static void
check_nothing_waits(const OutboxQueue *queue)
{
	int64		waiting;

	if (has_rows(queue->id, true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" has messages waiting", queue->name),
				 errdetail("This transaction has enqueued to it."),
				 errhint("Drop it in another transaction, or give the messages up with force => true.")));

	waiting = has_rows(queue->id, false) ? ask_waiting(queue->id) : 0;
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

/*
 * outbox_drop_queue(name, force)
 */
Datum
outbox_drop_queue(PG_FUNCTION_ARGS)
{
	char	   *name = needed_text_arg(fcinfo, 0, "queue name");
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	OutboxQueue queue;
	LOCKTAG		tag;
	Oid			types[1] = {INT4OID};
	Datum		values[1];

	PreventCommandIfReadOnly("outbox_drop_queue()");
	queue = *find_queue_or_error(name);
	queue.name = name;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, outbox_relid(OUTBOX_REL_QUEUE),
					   queue.id, 0);
	if (LockAcquire(&tag, AccessExclusiveLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("queue \"%s\" is in use by another transaction", name),
				 errhint("Try again when that transaction has ended.")));

	SPI_connect();
	if (!force)
		check_nothing_waits(&queue);
	values[0] = Int32GetDatum(queue.id);
	SPI_execute_with_args("DELETE FROM outbox.deferred WHERE queue = $1",
						  1, types, values, NULL, false, 0);
	SPI_execute_with_args("DELETE FROM outbox.queue WHERE id = $1",
						  1, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name)));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Statement trigger on outbox.queue: every cache must look again.
 */
Datum
outbox_queue_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.queue_changed() must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	outbox_tell_at_commit();
	PG_RETURN_POINTER(NULL);
}
