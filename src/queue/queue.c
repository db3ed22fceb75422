/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Look up a queue's settings.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Every enqueue needs its queue's settings, so a backend caches them by name.
 * A change of outbox.queue begins a new epoch of the catalog (queue_changed.c),
 * and the cache is read anew.
 *
 * A message must not get into a queue that is being dropped: it would be
 * committed and never sent.  Enqueueing holds a share lock until its transaction
 * ends, and dropping needs the exclusive lock (queue_drop.c).  That is a lock of
 * the queue's view, as locks of relations are cheap; if somebody has dropped the
 * view it is one of the queue as an object, and dropping takes both.
 *
 * The column "name" has collation C, so an index scan finds it whatever the
 * database's collation is.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/queue.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "kept_lock.h"
#include "mb/pg_wchar.h"
#include "queue/view.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

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
	Anum_queue_created_at,
	Anum_queue_options,
	Anum_queue_consumer_retry,
	Anum_queue_payload_type,
	Anum_queue_fields,
	Anum_queue_server,
	Anum_queue_partitions,
	Anum_queue_moving_from
};

#define Natts_queue Anum_queue_moving_from

#define NAME_BYTES (OUTBOX_MAX_QUEUE_NAME * MAX_MULTIBYTE_CHAR_LEN + 1)

typedef struct CacheEntry
{
	char		name[NAME_BYTES];
	OutboxQueue queue;
} CacheEntry;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;
static uint64 cache_epoch = 0;

const OutboxTargetInfo outbox_targets[] = {
	[OUTBOX_TARGET_STREAM] = {
		"stream", OUTBOX_TARGET_STREAM, false, true, true, true, "json"
	},
	[OUTBOX_TARGET_LIST] = {
		"list", OUTBOX_TARGET_LIST, true, false, true, true, "json"
	},
	[OUTBOX_TARGET_PUBLISH] = {
		"publish", OUTBOX_TARGET_PUBLISH, true, false, true, true, "json"
	},
	[OUTBOX_TARGET_ASYNQ] = {
		"asynq", OUTBOX_TARGET_ASYNQ, false, false, false, false, "bytea"
	},
	[OUTBOX_TARGET_WATERMILL] = {
		"watermill", OUTBOX_TARGET_WATERMILL, false, true, false, true, "bytea"
	},
	[OUTBOX_TARGET_COMMANDS] = {
		"commands", OUTBOX_TARGET_COMMANDS, false, false, false, true, "text"
	},
	[OUTBOX_TARGET_FUNCTION] = {
		"function", OUTBOX_TARGET_FUNCTION, false, false, false, true, "bytea"
	},
	[OUTBOX_TARGET_CELERY] = {
		"celery", OUTBOX_TARGET_CELERY, false, false, false, false, "json", true
	},
	[OUTBOX_TARGET_SIDEKIQ] = {
		"sidekiq", OUTBOX_TARGET_SIDEKIQ, false, false, false, false, "json", true
	},
	[OUTBOX_TARGET_RQ] = {
		"rq", OUTBOX_TARGET_RQ, false, false, false, false, "json", true
	},
	[OUTBOX_TARGET_DRAMATIQ] = {
		"dramatiq", OUTBOX_TARGET_DRAMATIQ, false, false, false, false, "json", true
	}
};

static const struct
{
	const char *name;
	char		letter;
}			payload_types[] = {
	{"json", OUTBOX_PAYLOAD_JSON},
	{"text", OUTBOX_PAYLOAD_TEXT},
	{"bytea", OUTBOX_PAYLOAD_BYTEA}
};

/* some 36,000 years: the sum of any time and this does not overflow */
#define LONGEST_INTERVAL (INT64CONST(1) << 60)

const OutboxTargetInfo *
outbox_target_info(const char *name)
{
	for (int i = 0; i < lengthof(outbox_targets); i++)
		if (strcmp(outbox_targets[i].name, name) == 0)
			return &outbox_targets[i];
	return NULL;
}

char
outbox_payload_type(const char *name)
{
	for (int i = 0; i < lengthof(payload_types); i++)
		if (strcmp(payload_types[i].name, name) == 0)
			return payload_types[i].letter;
	return 0;
}

const char *
outbox_payload_name(char letter)
{
	for (int i = 0; i < lengthof(payload_types); i++)
		if (payload_types[i].letter == letter)
			return payload_types[i].name;
	return "";
}

int
outbox_field(const char *name)
{
	return strcmp(name, "enqueued_at") == 0 ? OUTBOX_FIELD_ENQUEUED_AT :
		strcmp(name, "queue") == 0 ? OUTBOX_FIELD_QUEUE : 0;
}

/*
 * A month has thirty days, as in PostgreSQL's comparison of intervals.
 */
int64
outbox_interval_us(const Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		result;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &result))
		return days < 0 ? -LONGEST_INTERVAL : LONGEST_INTERVAL;
	if (pg_add_s64_overflow(result, interval->time, &result))
		return interval->time < 0 ? -LONGEST_INTERVAL : LONGEST_INTERVAL;
	return Max(Min(result, LONGEST_INTERVAL), -LONGEST_INTERVAL);
}

static int64
interval_column(Datum value)
{
	return outbox_interval_us(DatumGetIntervalP(value));
}

/*
 * Returns the bits of an array of fields' names; others are passed over.
 */
static int
fields_column(Datum value)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;
	int			fields = 0;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			fields |= outbox_field(TextDatumGetCString(names[i]));
	return fields;
}

static void
read_policy(const Datum *values, const bool *nulls, OutboxQueue *queue)
{
	char	   *on_failure = TextDatumGetCString(values[Anum_queue_on_failure - 1]);

	queue->on_failure = strcmp(on_failure, "retry") == 0 ? OUTBOX_RETRY :
		strcmp(on_failure, "dead_letter") == 0 ? OUTBOX_DEAD_LETTER :
		OUTBOX_BLOCK;
	queue->max_attempts = DatumGetInt32(values[Anum_queue_max_attempts - 1]);
	queue->retry_delay = interval_column(values[Anum_queue_retry_delay - 1]);
	queue->retry_backoff = DatumGetFloat8(values[Anum_queue_retry_backoff - 1]);
	queue->retry_max_delay = interval_column(values[Anum_queue_retry_max_delay - 1]);
	queue->expires_after = nulls[Anum_queue_expires_after - 1] ? 0 :
		interval_column(values[Anum_queue_expires_after - 1]);
	queue->paused_at = nulls[Anum_queue_paused_at - 1] ? 0 :
		DatumGetTimestampTz(values[Anum_queue_paused_at - 1]);
}

/*
 * Read a row.  Rows may have been written by other means than
 * outbox_create_queue(), so an unknown target is an error here, too.
 */
static void
read_queue_row(HeapTuple tup, TupleDesc desc, OutboxQueue *queue)
{
	Datum		values[Natts_queue];
	bool		nulls[Natts_queue];
	const OutboxTargetInfo *info;
	char	   *target;

	Assert(desc->natts == lengthof(values));
	heap_deform_tuple(tup, desc, values, nulls);

	target = TextDatumGetCString(values[Anum_queue_target - 1]);
	info = outbox_target_info(target);
	if (info == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown target \"%s\" in outbox.queue", target)));

	queue->id = DatumGetInt32(values[Anum_queue_id - 1]);
	queue->partitions = DatumGetInt32(values[Anum_queue_partitions - 1]);
	queue->partition = 0;
	queue->name = TextDatumGetCString(values[Anum_queue_name - 1]);
	queue->view = InvalidOid;
	queue->target = info->target;
	queue->redis_key = TextDatumGetCString(values[Anum_queue_redis_key - 1]);
	queue->maxlen = nulls[Anum_queue_maxlen - 1] ? 0 :
		DatumGetInt64(values[Anum_queue_maxlen - 1]);
	queue->format = OUTBOX_FORMAT_NONE;
	if (!nulls[Anum_queue_format - 1])
		queue->format =
			strcmp(TextDatumGetCString(values[Anum_queue_format - 1]),
				   "raw") == 0 ? OUTBOX_FORMAT_RAW : OUTBOX_FORMAT_JSON;
	queue->options = nulls[Anum_queue_options - 1] ? NULL :
		PG_DETOAST_DATUM_COPY(values[Anum_queue_options - 1]);
	queue->payload_type =
		outbox_payload_type(TextDatumGetCString(values[Anum_queue_payload_type - 1]));
	queue->fields = nulls[Anum_queue_fields - 1] ? 0 :
		fields_column(values[Anum_queue_fields - 1]);
	queue->created_at = DatumGetTimestampTz(values[Anum_queue_created_at - 1]);
	queue->consumer_retry = DatumGetBool(values[Anum_queue_consumer_retry - 1]);
	queue->server = nulls[Anum_queue_server - 1] ? NULL :
		TextDatumGetCString(values[Anum_queue_server - 1]);
	queue->moving_from = nulls[Anum_queue_moving_from - 1] ? NULL :
		TextDatumGetCString(values[Anum_queue_moving_from - 1]);
	queue->template = NULL;
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
 * Read a queue's row into the cache.  Returns NULL if there is none.
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
	queue.view = outbox_view_find(queue.id, queue.name);
	{
		CacheEntry *entry = hash_search(cache, name, HASH_ENTER, NULL);

		entry->queue = queue;
		return &entry->queue;
	}
}

const OutboxQueue *
outbox_queue_find(const char *name)
{
	CacheEntry *entry;

	if (strlen(name) >= NAME_BYTES)
		return NULL;
	if (cache == NULL || cache_epoch != outbox_catalog_epoch())
		reset_cache();
	entry = hash_search(cache, name, HASH_FIND, NULL);
	return entry != NULL ? &entry->queue : load_queue(name);
}

const OutboxQueue *
outbox_queue_find_or_error(const char *name)
{
	const OutboxQueue *queue = outbox_queue_find(name);

	if (queue == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 OidIsValid(outbox_view_find(0, name)) ?
				 errhint("Its view has come with a restore of the schema alone, the rows of outbox.queue have not: see docs/backup.md, or create it with outbox_create_queue().") :
				 errhint("Create it with outbox_create_queue().")));
	return queue;
}

/*
 * The view may be gone without a new epoch.  Who drops it waits for those who have
 * its lock, so it is looked for when we have it.
 */
static void
lock_queue(const OutboxQueue *queue)
{
	int32		id = queue->id;
	Oid			view = queue->view;

	if (OidIsValid(view))
	{
		LockRelationOid(view, AccessShareLock);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(view)))
			return;
	}
	LockDatabaseObject(outbox_relid(OUTBOX_REL_QUEUE), id, 0, AccessShareLock);
}

const OutboxQueue *
outbox_queue_use(const char *name)
{
	/* the lock taken last: often the next message is for the same queue */
	static OutboxKeptLock locked;

	for (;;)
	{
		const OutboxQueue *queue = outbox_queue_find_or_error(name);
		uint64		epoch = outbox_catalog_epoch();

		if (outbox_is_kept(&locked, queue->id))
			return queue;

		lock_queue(queue);
		if (epoch == outbox_catalog_epoch())
		{
			locked = outbox_kept_lock(queue->id);
			return queue;
		}
		/* the queue may have been dropped before we had the lock: look again */
	}
}

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
