/*-------------------------------------------------------------------------
 *
 * kept.c
 *	  Who keeps a staging table from being emptied.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A transaction that has enqueued, or has read a staging table, keeps its lock
 * on the table until it ends, and the table is not emptied until then.  With
 * one of two tables kept, the other one takes all new rows.  A transaction that
 * somebody has forgotten, perhaps a prepared one, so lets staging grow for days.
 * Of several transactions the oldest one is told.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/upkeep/kept.h"

#include "relay/base/step.h"
#include "store/query.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* how often to look */
#define LOOK_INTERVAL_MS	10000

/* what is published; empty: nobody */
static char kept_by[OUTBOX_TEXT_SIZE];
static OutboxTime look_at = 0;

static const char who_sql[] =
"SELECT coalesce('prepared transaction ' || quote_literal(p.gid),"
" concat('process ', l.pid, ' (' || concat_ws(', ', nullif(a.application_name, ''), a.state) || ')')),"
" coalesce(p.prepared, a.xact_start),"
" pg_size_pretty(pg_total_relation_size('outbox.staging_1')"
" + pg_total_relation_size('outbox.staging_2'))"
" FROM pg_locks AS l"
" LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid"
" LEFT JOIN pg_locks AS x ON l.pid IS NULL AND x.pid IS NULL"
" AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction"
" LEFT JOIN pg_prepared_xacts AS p ON p.transaction = x.transactionid"
" WHERE l.locktype = 'relation' AND l.granted"
" AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
" AND l.relation IN (SELECT unnest(ARRAY[oid, reltoastrelid]) FROM pg_class"
" WHERE oid = $table::regclass)"
" AND l.pid IS DISTINCT FROM pg_backend_pid()"
" ORDER BY 2 LIMIT 1";

static void
publish(OutboxSlot *slot, TimestampTz since)
{
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->staging_kept_by, kept_by, OUTBOX_TEXT_SIZE);
	slot->staging_kept_since = since;
	LWLockRelease(outbox_shared->lock);
}

static void
nobody_keeps(OutboxSlot *slot)
{
	if (kept_by[0] == '\0')
		return;
	ereport(LOG, (errmsg("outbox can empty staging again")));
	kept_by[0] = '\0';
	publish(slot, 0);
}

static void
somebody_keeps(OutboxSlot *slot, int table)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	char	   *who = SPI_getvalue(row, desc, 1);
	TimestampTz since = outbox_result_int64(0, 2);

	if (strncmp(kept_by, who, OUTBOX_TEXT_SIZE - 1) != 0)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("outbox cannot empty outbox.staging_%d: %s has used it since %s",
						table + 1, who, timestamptz_to_str(since)),
				 errdetail("New messages are added to the other staging table; both take %s.",
						   SPI_getvalue(row, desc, 3)),
				 errhint("Staging can be emptied when that transaction has ended.")));
	strlcpy(kept_by, who, OUTBOX_TEXT_SIZE);
	publish(slot, since);
}

void
outbox_look_who_keeps(Relay *relay, OutboxTime now, int table)
{
	OutboxParam params[1];

	if (table < 0)
	{
		nobody_keeps(relay->slot);
		look_at = 0;
		return;
	}
	if (now < look_at)
		return;
	look_at = outbox_in_ms(now, LOOK_INTERVAL_MS);
	outbox_begin_step();
	SPI_connect();
	params[0] = (OutboxParam) {"table", TEXTOID,
	CStringGetTextDatum(psprintf("outbox.staging_%d", table + 1))};
	if (outbox_query(who_sql, params, lengthof(params)) > 0)
		somebody_keeps(relay->slot, table);
	else
		nobody_keeps(relay->slot);
	SPI_finish();
	outbox_end_step();
}
