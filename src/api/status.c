/*-------------------------------------------------------------------------
 *
 * status.c
 *	  The state of delivery, from shared memory.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The views show the figures that the relay has published: the relay counts
 * about once a second, and updates "delivered" and "last_success" when answers
 * arrive.  No messages are read, so a view costs the same at any backlog.
 * Shared memory has no names of queues.  For the one that the summary names
 * outbox.queue is read, without checking rights on it.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "api/queue_status.h"
#include "api/row.h"
#include "api/server_status.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "shmem.h"
#include "slots.h"
#include "store/query.h"
#include "store/run.h"
#include "utils/syscache.h"
#include "wake.h"

/* columns of outbox.status, as relay_status() returns them */
enum
{
	STATUS_STATE,
	STATUS_SINCE,
	STATUS_WHY,
	STATUS_PID,
	STATUS_WAITING,
	STATUS_OLDEST,
	STATUS_DELIVERED,
	STATUS_LAST_ERROR,
	STATUS_LAST_ERROR_AT,
	STATUS_LAST_SUCCESS,
	STATUS_SUMMARY,
	STATUS_STAGING_KEPT_BY,
	STATUS_STAGING_KEPT_SINCE,
	STATUS_SERVER,
	STATUS_ADDRESS,
	STATUS_REPLICAS_BEHIND,
	STATUS_REPLICAS_BEHIND_SINCE,
	STATUS_COLUMNS
};

/* what the summary says about servers: those that are away */
typedef struct Away
{
	int			nservers;
	OutboxShownServer server;	/* the first of them */
} Away;

/* what the summary says about queues */
typedef struct Trouble
{
	int			nqueues;		/* blocked or paused */
	OutboxPublished queue;		/* the first blocked one, else the first */
	int64		dead;
	char		kept_by[OUTBOX_TEXT_SIZE];	/* empty: staging is emptied */
	TimestampTz kept_since;
	char		behind[OUTBOX_TEXT_SIZE];	/* what replicas lack; empty:
											 * nothing */
	TimestampTz behind_since;
} Trouble;

PG_FUNCTION_INFO_V1(outbox_relay_status);
PG_FUNCTION_INFO_V1(outbox_request_relay_start);

/*
 * The relay is running, so other servers answer.
 */
static void
find_away(OutboxRelayState state, Away *away)
{
	int			n;
	int			more;
	OutboxShownServer *servers = outbox_copy_servers(&n, &more);

	away->nservers = 0;
	for (int i = 0; i < n && state == OUTBOX_RUNNING; i++)
		if (servers[i].state == OUTBOX_WAITING_FOR_REDIS &&
			away->nservers++ == 0)
			away->server = servers[i];
}

static bool
is_in_trouble(const OutboxPublished *queue)
{
	return queue->state == OUTBOX_QUEUE_BLOCKED ||
		queue->state == OUTBOX_QUEUE_PAUSED;
}

/*
 * Partitions of a queue come one after the other.
 */
static void
find_queues(Trouble *trouble)
{
	TimestampTz at;
	int			n;
	OutboxPublished *published = outbox_copy_published(&n, &at);
	int32		last = 0;

	trouble->nqueues = 0;
	trouble->queue.queue = 0;
	trouble->dead = 0;
	for (int i = 0; i < n; i++)
	{
		const OutboxPublished *queue = &published[i];

		trouble->dead += queue->dead;
		if (!is_in_trouble(queue))
			continue;
		trouble->nqueues += queue->queue != last;
		last = queue->queue;
		if (trouble->queue.queue == 0 ||
			(queue->state == OUTBOX_QUEUE_BLOCKED &&
			 trouble->queue.state == OUTBOX_QUEUE_PAUSED))
			trouble->queue = *queue;
	}
}

static void
find_trouble(const OutboxSlot *slot, Trouble *trouble)
{
	trouble->kept_by[0] = '\0';
	trouble->kept_since = 0;
	trouble->behind[0] = '\0';
	trouble->behind_since = 0;
	if (slot->pid == 0)
		return;
	strlcpy(trouble->kept_by, slot->staging_kept_by, OUTBOX_TEXT_SIZE);
	if (trouble->kept_by[0] != '\0')
		trouble->kept_since = slot->staging_kept_since;
	strlcpy(trouble->behind, slot->replicas_behind, OUTBOX_TEXT_SIZE);
	if (trouble->behind[0] != '\0')
		trouble->behind_since = slot->replicas_behind_since;
}

static const char *
queue_name(int32 id)
{
	ListCell   *lc;

	foreach(lc, outbox_queue_list())
	{
		OutboxQueue *queue = lfirst(lc);

		if (queue->id == id)
			return queue->name;
	}
	return psprintf("%d", id);	/* dropped just now */
}

static void
append_since(StringInfo buf, TimestampTz since, const char *why)
{
	if (since != 0)
		appendStringInfo(buf, " since %s", timestamptz_to_str(since));
	if (why[0] != '\0')
		appendStringInfo(buf, ": %s", why);
}

static void
append_queues(StringInfo buf, const Trouble *trouble)
{
	int			others = trouble->nqueues - 1;

	appendStringInfo(buf, "queue %s %s", queue_name(trouble->queue.queue),
					 trouble->queue.state == OUTBOX_QUEUE_BLOCKED ?
					 "blocked" : "paused");
	append_since(buf, trouble->queue.since, trouble->queue.why);
	if (others > 0)
		appendStringInfo(buf, ", and %d more queue%s", others,
						 others == 1 ? "" : "s");
}

static void
append_servers(StringInfo buf, const Away *away)
{
	int			others = away->nservers - 1;

	if (away->server.name[0] == '\0')
		appendStringInfoString(buf, "outbox.redis_url is away");
	else
		appendStringInfo(buf, "server %s is away", away->server.name);
	append_since(buf, away->server.since, away->server.why);
	if (others > 0)
		appendStringInfo(buf, ", and %d more server%s", others,
						 others == 1 ? "" : "s");
}

/*
 * Returns one line: what is wrong and since when.
 */
static char *
summarize(OutboxRelayState state, TimestampTz since, const char *why,
		  uint64 waiting, const Trouble *trouble, const Away *away)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (away->nservers > 0)
		append_servers(&buf, away);
	if (away->nservers > 0 && trouble->nqueues > 0)
		appendStringInfoString(&buf, "; ");
	if (state == OUTBOX_RUNNING && trouble->nqueues > 0)
		append_queues(&buf, trouble);
	else if (away->nservers == 0)
	{
		appendStringInfoString(&buf, outbox_state_name(state));
		append_since(&buf, state != OUTBOX_RUNNING ? since : 0, why);
		if (state == OUTBOX_DISABLED && waiting > 0)
			appendStringInfo(&buf, "; %llu message%s wait%s",
							 (unsigned long long) waiting,
							 waiting == 1 ? "" : "s", waiting == 1 ? "s" : "");
	}
	if ((state == OUTBOX_HELD || state == OUTBOX_FENCED) && waiting > 0)
		appendStringInfo(&buf, "; " UINT64_FORMAT " message%s held",
						 waiting, waiting == 1 ? "" : "s");
	if (trouble->dead > 0)
		appendStringInfo(&buf, "; %lld dead letter%s",
						 (long long) trouble->dead,
						 trouble->dead == 1 ? "" : "s");
	/* "why" has it, unless that is about something else */
	if (trouble->behind[0] != '\0' && strstr(buf.data, trouble->behind) == NULL)
		appendStringInfo(&buf, "; %s", trouble->behind);
	if (trouble->kept_by[0] != '\0')
		appendStringInfo(&buf, "; staging is not emptied because of %s",
						 trouble->kept_by);
	return buf.data;
}

static void
fill_status(OutboxSlot *slot, Datum *values, bool *nulls)
{
	uint64		waiting = pg_atomic_read_u64(&slot->waiting);
	OutboxRelayState state;
	TimestampTz since;
	char		why[OUTBOX_TEXT_SIZE];
	Trouble		trouble;
	Away		away;

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	state = slot->state;
	since = slot->since;
	strlcpy(why, slot->why, sizeof(why));
	nulls[STATUS_PID] = slot->pid == 0;
	values[STATUS_PID] = Int32GetDatum(slot->pid);
	outbox_set_text(values, nulls, STATUS_LAST_ERROR, slot->last_error);
	outbox_set_time(values, nulls, STATUS_LAST_ERROR_AT, slot->last_error_at);
	outbox_set_text(values, nulls, STATUS_SERVER, slot->server);
	outbox_set_text(values, nulls, STATUS_ADDRESS, slot->address);
	find_trouble(slot, &trouble);
	LWLockRelease(outbox_shared->lock);
	find_queues(&trouble);
	find_away(state, &away);

	outbox_set_text(values, nulls, STATUS_STATE, outbox_state_name(state));
	outbox_set_time(values, nulls, STATUS_SINCE, since);
	outbox_set_text(values, nulls, STATUS_WHY, why);
	values[STATUS_WAITING] = Int64GetDatum(waiting);
	outbox_set_age(values, nulls, STATUS_OLDEST, waiting == 0 ? 0 :
				   pg_atomic_read_u64(&slot->oldest));
	values[STATUS_DELIVERED] =
		Int64GetDatum(pg_atomic_read_u64(&slot->delivered));
	outbox_set_time(values, nulls, STATUS_LAST_SUCCESS,
					pg_atomic_read_u64(&slot->last_success));
	outbox_set_text(values, nulls, STATUS_SUMMARY,
					summarize(state, since, why, waiting, &trouble, &away));
	outbox_set_text(values, nulls, STATUS_STAGING_KEPT_BY, trouble.kept_by);
	outbox_set_time(values, nulls, STATUS_STAGING_KEPT_SINCE,
					trouble.kept_since);
	outbox_set_text(values, nulls, STATUS_REPLICAS_BEHIND, trouble.behind);
	outbox_set_time(values, nulls, STATUS_REPLICAS_BEHIND_SINCE,
					trouble.behind_since);
}

static bool
may_have_relay(void)
{
	HeapTuple	tup = SearchSysCache1(DATABASEOID,
									  ObjectIdGetDatum(MyDatabaseId));
	bool		result;

	if (!HeapTupleIsValid(tup))
		return true;
	result = outbox_may_have_relay((Form_pg_database) GETSTRUCT(tup));
	ReleaseSysCache(tup);
	return result;
}

/*
 * Why there is no relay in a database that has no slot; and since when, if that
 * is known.
 */
static const char *
why_no_relay(TimestampTz *since)
{
	*since = 0;
	if (outbox_shared == NULL)
		return "outbox is not in \"shared_preload_libraries\"";
	if (RecoveryInProgress())
		return "this server is a standby";
	if (pg_atomic_read_u32(&outbox_shared->launcher_procno) == OUTBOX_NOBODY)
		return "the outbox launcher is not running, see the server's log";
	if (!may_have_relay())
		return "this database is a template, or takes no connections";

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	*since = outbox_shared->no_worker_since;
	LWLockRelease(outbox_shared->lock);
	if (*since != 0)
		return psprintf("no background worker is free, \"max_worker_processes\" is %d",
						max_worker_processes);
	return "the launcher has not started it yet";
}

/*
 * The status of a database that has no slot.
 */
static void
fill_no_status(Datum *values, bool *nulls)
{
	TimestampTz since;
	const char *why = why_no_relay(&since);
	Trouble		none = {0};
	Away		nothing = {0};

	memset(nulls, true, STATUS_COLUMNS * sizeof(bool));
	outbox_set_text(values, nulls, STATUS_STATE,
					outbox_state_name(OUTBOX_NOT_RUNNING));
	outbox_set_time(values, nulls, STATUS_SINCE, since);
	outbox_set_text(values, nulls, STATUS_WHY, why);
	outbox_set_text(values, nulls, STATUS_SUMMARY,
					summarize(OUTBOX_NOT_RUNNING, since, why, 0, &none,
							  &nothing));
}

/*
 * outbox.relay_status(): the relay of this database
 */
Datum
outbox_relay_status(PG_FUNCTION_ARGS)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS] = {0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (slot != NULL)
		fill_status(slot, values, nulls);
	else
		fill_no_status(values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*
 * outbox.request_relay(): the last step of CREATE EXTENSION
 */
Datum
outbox_request_relay_start(PG_FUNCTION_ARGS)
{
	if (outbox_shared == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox is not preloaded, messages will wait"),
				 errhint("Add outbox to \"shared_preload_libraries\" and restart the server.")));
	else
	{
		OutboxRun	run;
		OutboxCaller caller;

		/* a copy that is made before the relay comes has the run, too */
		outbox_run_describe(&outbox_shared->run, &run);
		outbox_connect(&caller);
		outbox_record_run(&run);
		outbox_finish(&caller);
		outbox_tell_state_at_commit();
	}
	PG_RETURN_VOID();
}
