/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  How delivery is, out of shared memory into views; holding and releasing.
 *
 * Design notes
 *
 * What the views show is what the relay last published: counts are made about
 * once a second, "delivered" and "last_success" as answers arrive.  Nothing
 * here reads a table, so looking costs the same at any backlog.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "shmem.h"
#include "staging.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
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
	STATUS_COLUMNS
};

static const char *const state_names[] = {
	[OUTBOX_NOT_RUNNING] = "not running",
	[OUTBOX_STARTING] = "starting",
	[OUTBOX_RUNNING] = "running",
	[OUTBOX_WAITING_FOR_REDIS] = "waiting for redis",
	[OUTBOX_HELD] = "held",
	[OUTBOX_FENCED] = "fenced"
};

/* rows of outbox.deferred that are moved at a time */
#define RESUME_ROWS 1000

PG_FUNCTION_INFO_V1(outbox_hold_restored);
PG_FUNCTION_INFO_V1(outbox_relay_status);
PG_FUNCTION_INFO_V1(outbox_request_relay_start);
PG_FUNCTION_INFO_V1(outbox_resume);

static void
set_text(Datum *values, bool *nulls, int n, const char *s)
{
	nulls[n] = s[0] == '\0';
	if (!nulls[n])
		values[n] = CStringGetTextDatum(s);
}

static void
set_time(Datum *values, bool *nulls, int n, TimestampTz t)
{
	nulls[n] = t == 0;
	values[n] = TimestampTzGetDatum(t);
}

static void
set_age(Datum *values, bool *nulls, int n, TimestampTz since)
{
	Interval   *age = palloc0(sizeof(Interval));

	nulls[n] = since == 0;
	age->time = Max(GetCurrentTimestamp() - since, 0);
	values[n] = IntervalPGetDatum(age);
}

static void
fill_status(OutboxSlot *slot, Datum *values, bool *nulls)
{
	uint64		waiting = pg_atomic_read_u64(&slot->waiting);

	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	set_text(values, nulls, STATUS_STATE, state_names[slot->state]);
	set_time(values, nulls, STATUS_SINCE, slot->since);
	set_text(values, nulls, STATUS_WHY, slot->why);
	nulls[STATUS_PID] = slot->pid == 0;
	values[STATUS_PID] = Int32GetDatum(slot->pid);
	set_text(values, nulls, STATUS_LAST_ERROR, slot->last_error);
	set_time(values, nulls, STATUS_LAST_ERROR_AT, slot->last_error_at);
	LWLockRelease(outbox_shared->lock);

	values[STATUS_WAITING] = Int64GetDatum(waiting);
	set_age(values, nulls, STATUS_OLDEST, waiting == 0 ? 0 :
			pg_atomic_read_u64(&slot->oldest));
	values[STATUS_DELIVERED] =
		Int64GetDatum(pg_atomic_read_u64(&slot->delivered));
	set_time(values, nulls, STATUS_LAST_SUCCESS,
			 pg_atomic_read_u64(&slot->last_success));
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
	{
		memset(nulls, true, sizeof(nulls));
		set_text(values, nulls, STATUS_STATE, state_names[OUTBOX_NOT_RUNNING]);
		set_text(values, nulls, STATUS_WHY, outbox_shared == NULL ?
				 "outbox is not in \"shared_preload_libraries\"" :
				 RecoveryInProgress() ? "this server is a standby" :
				 "the launcher has not started it yet");
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*
 * outbox.request_relay(): what CREATE EXTENSION ends with
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
		outbox_tell_at_commit();
	PG_RETURN_VOID();
}

/*
 * Trigger on staging: a row that comes by INSERT or COPY comes out of a dump.
 * Its transaction id is of another server, and its messages may have been
 * delivered from there.  It goes to outbox.deferred, to wait for
 * outbox_resume().
 */
Datum
outbox_hold_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			types[Natts_staging] = {
		XID8OID, INT8OID, TIMESTAMPTZOID, UUIDOID, INT4OID, INT4OID, INT2OID,
		CHAROID, TEXTOID, TEXTOID, JSONBOID, BYTEAOID, JSONBOID
	};
	Datum		values[Natts_staging];
	bool		isnull[Natts_staging];
	char		nulls[Natts_staging + 1] = {0};

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		RelationGetDescr(trigger->tg_relation)->natts != Natts_staging)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.hold_restored() must be a BEFORE INSERT trigger of a staging table")));

	heap_deform_tuple(trigger->tg_trigtuple,
					  RelationGetDescr(trigger->tg_relation), values, isnull);
	for (int i = 0; i < Natts_staging; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';

	SPI_connect();
	SPI_execute_with_args("INSERT INTO outbox.deferred VALUES"
						  " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
						  " $13, 'restored')",
						  Natts_staging, types, values, nulls, false, 0);
	SPI_finish();
	outbox_tell_at_commit();
	PG_RETURN_POINTER(NULL);
}

static struct varlena *
varlena_column(HeapTuple tup, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tup, desc, column, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM_PACKED(value);
}

/*
 * Stage a deferred message again, with a new identity.
 */
static void
stage_again(HeapTuple tup, TupleDesc desc)
{
	OutboxMessage msg = {0};
	bool		isnull;

	msg.id = *DatumGetUUIDP(SPI_getbinval(tup, desc, Anum_staging_id, &isnull));
	msg.queue = DatumGetInt32(SPI_getbinval(tup, desc, Anum_staging_queue,
											&isnull));
	msg.attempts = DatumGetInt16(SPI_getbinval(tup, desc, Anum_staging_attempts,
											   &isnull));
	msg.kind = DatumGetChar(SPI_getbinval(tup, desc, Anum_staging_kind,
										  &isnull));
	msg.type = varlena_column(tup, desc, Anum_staging_type);
	msg.key = varlena_column(tup, desc, Anum_staging_key);
	msg.headers = varlena_column(tup, desc, Anum_staging_headers);
	msg.payload = varlena_column(tup, desc, Anum_staging_payload);
	msg.history = varlena_column(tup, desc, Anum_staging_history);
	outbox_staging_insert(&msg);
}

static void
stage_restored(void)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "outbox restored rows",
											   ALLOCSET_DEFAULT_SIZES);
	Portal		portal;

	SPI_execute("LOCK TABLE outbox.deferred IN SHARE ROW EXCLUSIVE MODE",
				false, 0);
	portal = SPI_cursor_open_with_args(NULL,
									   "SELECT * FROM outbox.deferred"
									   " WHERE reason = 'restored' ORDER BY seq",
									   0, NULL, NULL, NULL, false, 0);
	for (;;)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, RESUME_ROWS);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(rows);
		for (uint64 i = 0; i < SPI_processed; i++)
			stage_again(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		MemoryContextSwitchTo(old);
		MemoryContextReset(rows);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
	SPI_execute("DELETE FROM outbox.deferred WHERE reason = 'restored'",
				false, 0);
}

/*
 * outbox_resume(): release what is held
 */
Datum
outbox_resume(PG_FUNCTION_ARGS)
{
	OutboxSlot *slot = outbox_find_slot(MyDatabaseId);
	bool		held = slot != NULL && (slot->state == OUTBOX_HELD ||
										slot->state == OUTBOX_FENCED);

	PreventCommandIfReadOnly("outbox_resume()");
	SPI_connect();
	/* new cursors: with the old ones this would go on being held */
	SPI_execute(held ? "DELETE FROM outbox.relay_state" :
				"DELETE FROM outbox.relay_state WHERE database <>"
				" (SELECT oid FROM pg_database"
				" WHERE datname = current_database())",
				false, 0);
	SPI_execute("INSERT INTO outbox.relay_state"
				" SELECT gen_random_uuid(), oid FROM pg_database"
				" WHERE datname = current_database()"
				" AND NOT EXISTS (SELECT FROM outbox.relay_state)",
				false, 0);
	stage_restored();
	SPI_finish();
	outbox_tell_at_commit();
	PG_RETURN_VOID();
}
