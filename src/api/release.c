/*-------------------------------------------------------------------------
 *
 * release.c
 *	  Deliver what is held.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * While a database is held, its relay delivers nothing and outbox.status says for
 * which reason.  Whoever releases it names the reason, so that nobody releases
 * what they haven't seen, and is told how many messages will go where.
 *
 *		reason		known by								released by
 *		restored	rows of outbox.deferred out of a dump	staging them
 *					relay_state.held, for a backup			a new source
 *		copy		relay_state.database					a new source
 *		set back	relay_state.held						a new source
 *		foreign		relay_state.held						a new source
 *		fenced		the relay's state						a new source
 *
 * With a new source the relay has new cursors, which cover nothing: all that is
 * in the tables is delivered, also what the original has delivered before.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "redis_server.h"
#include "shmem.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_release);

/*
 * When the dump was made, a message that had failed or was evacuated may have
 * been in staging, too, so the dump has it twice.  Keep the row with most
 * attempts and the longest history.  If the message is a dead letter, even one
 * that was replayed or discarded, keep no other row.
 */
static void
drop_restored_twice(void)
{
	SPI_execute("DELETE FROM outbox.deferred AS r USING outbox.dead_letter AS d"
				" WHERE r.reason = 'restored' AND d.lsn = '0/0'"
				" AND d.queue = r.queue AND d.seq = r.seq AND d.id = r.id",
				false, 0);
	SPI_execute("DELETE FROM outbox.deferred WHERE ctid IN"
				" (SELECT ctid FROM (SELECT ctid, row_number() OVER"
				" (PARTITION BY queue, seq, id ORDER BY attempts DESC,"
				" jsonb_array_length(coalesce(history, '[]')) DESC) AS n"
				" FROM outbox.deferred WHERE reason = 'restored') AS r"
				" WHERE n > 1)",
				false, 0);
}

/*
 * Restored messages that are not due yet are delayed again.
 */
static void
delay_restored(void)
{
	Datum		due;
	bool		isnull;

	SPI_execute("WITH delayed AS (UPDATE outbox.deferred SET reason = 'delayed'"
				" WHERE reason = 'restored' AND due_at > now()"
				" RETURNING due_at)"
				" SELECT min(due_at) FROM delayed",
				false, 0);
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						&isnull);
	if (!isnull)
		outbox_wake_when_due(DatumGetTimestampTz(due));
}

/*
 * The reasons for which this database is held now, as outbox.status shows them
 * one after the other.  SPI is connected.
 */
static List *
reasons_now(void)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	List	   *reasons = NIL;
	uint64		n;

	n = outbox_query("SELECT held FROM outbox.relay_state WHERE held IS NOT NULL"
					 " UNION ALL SELECT '" OUTBOX_HELD_COPY "'"
					 " FROM outbox.relay_state WHERE database <> " OUTBOX_THIS_DATABASE
					 " UNION ALL (SELECT '" OUTBOX_HELD_RESTORED "'"
					 " FROM outbox.deferred WHERE reason = 'restored' LIMIT 1)",
					 NULL, 0);
	for (uint64 i = 0; i < n; i++)
		reasons = lappend(reasons, SPI_getvalue(SPI_tuptable->vals[i],
												SPI_tuptable->tupdesc, 1));
	if (slot != NULL && slot->state == OUTBOX_FENCED)
		reasons = lappend(reasons, OUTBOX_HELD_FENCED);
	return reasons;
}

/*
 * Where messages go: all servers that queues have, or else the default one, by their
 * addresses, or described.  SPI is connected; the result is of the given context.
 */
static char *
destinations(MemoryContext context, bool described)
{
	uint64		n = outbox_query("SELECT DISTINCT NULLIF(server, '" OUTBOX_DEFAULT_SERVER "')"
								 " FROM outbox.queue ORDER BY 1 NULLS FIRST", NULL, 0);
	StringInfoData text;

	initStringInfo(&text);
	for (uint64 i = 0; i < Max(n, 1); i++)
	{
		char	   *name = n == 0 ? NULL :
		SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		OutboxRedisServer *server = outbox_resolve_server(CurrentMemoryContext, name != NULL ?
														  name : OUTBOX_DEFAULT_SERVER,
														  false);

		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "",
						 described ? outbox_describe_server(server) :
						 outbox_show_redis_url(server->url));
	}
	return MemoryContextStrdup(context, text.data);
}

static void
check_reason(const char *reason)
{
	List	   *reasons = reasons_now();
	StringInfoData hint;
	ListCell   *lc;

	initStringInfo(&hint);
	foreach(lc, reasons)
	{
		if (strcmp(lfirst(lc), reason) == 0)
			return;
		appendStringInfo(&hint, "%s\"%s\"", hint.len > 0 ? ", " : "",
						 (char *) lfirst(lc));
	}
	if (reasons == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no messages of this database are held"),
				 errhint("See outbox.status.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("messages of this database are not held as \"%s\"", reason),
			 errhint("They are held as %s, and go to %s when they are released; see outbox.status.",
					 hint.data, destinations(CurrentMemoryContext, true))));
}

/*
 * Begin with new cursors.
 */
static void
renew_source(void)
{
	outbox_query("UPDATE outbox.relay_state SET source = gen_random_uuid(),"
				 " database = " OUTBOX_THIS_DATABASE ", held = NULL, held_why = NULL,"
				 " held_since = NULL", NULL, 0);
	/* there is no cursor to be moved */
	outbox_query("UPDATE outbox.queue SET moving_from = NULL"
				 " WHERE moving_from IS NOT NULL", NULL, 0);
}

static int64
count(const char *sql)
{
	outbox_query(sql, NULL, 0);
	return outbox_result_int64(0, 1);
}

/*
 * Messages out of a dump become those of this database.  Returns how many.
 */
static int64
stage_restored(void)
{
	int64		n;

	drop_restored_twice();
	n = count("SELECT count(*) FROM outbox.deferred WHERE reason = 'restored'");
	delay_restored();
	outbox_stage_rows("SELECT " OUTBOX_STAGING_COLUMNS ", ctid"
					  " FROM outbox.deferred WHERE reason = 'restored'"
					  " ORDER BY seq FOR UPDATE",
					  0, NULL, NULL, NULL,
					  "DELETE FROM outbox.deferred WHERE ctid = ANY ($1)");
	return n;
}

/*
 * How many messages wait to be delivered by the source as it is now, if that has
 * not delivered anything yet.
 */
static int64
count_messages(void)
{
	return count("SELECT count(*) FROM"
				 " (SELECT queue, seq FROM " OUTBOX_STAGED " AS s"
				 " UNION SELECT queue, seq FROM outbox.deferred"
				 " WHERE reason IN " OUTBOX_REASONS_NUMBERED ") AS m"
				 " JOIN outbox.queue AS q ON " OUTBOX_IS_OF_QUEUE("m.queue", "q"));
}

/*
 * outbox_release(reason)
 */
Datum
outbox_release(PG_FUNCTION_ARGS)
{
	char	   *reason;
	OutboxCaller caller;
	bool		dump_only;
	int64		messages = 0;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TupleDesc	desc;
	MemoryContext context = CurrentMemoryContext;
	char	   *where;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("reason must not be null"),
				 errhint("See outbox.status.")));
	reason = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PreventCommandIfReadOnly("outbox_release()");

	outbox_connect(&caller);
	check_reason(reason);
	/* what this database has delivered itself is not in the dump */
	dump_only = strcmp(reason, OUTBOX_HELD_RESTORED) == 0 &&
		outbox_query("SELECT FROM outbox.relay_state WHERE held IS NOT NULL",
					 NULL, 0) == 0;
	if (!dump_only)
		renew_source();
	if (strcmp(reason, OUTBOX_HELD_RESTORED) == 0)
		messages = stage_restored();
	if (!dump_only)
		messages = count_messages();
	where = destinations(context, false);
	outbox_finish(&caller);
	outbox_tell_state_at_commit();

	values[0] = Int64GetDatum(messages);
	values[1] = CStringGetTextDatum(where);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
