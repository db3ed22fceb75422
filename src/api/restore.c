/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  Messages out of a dump are held.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Rows that are inserted into our tables by INSERT or COPY come out of a dump.
 * Their transaction ids and numbers are another database's, and that database
 * may have delivered their messages.  A trigger marks them as "restored", and
 * the relay holds everything until somebody calls outbox_release().
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "shmem.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(outbox_hold_restored);

/*
 * Insert a row of staging into outbox.deferred instead.
 */
static HeapTuple
hold_staged(HeapTuple tup, TupleDesc desc)
{
	Oid			types[Natts_staging];
	Datum		values[Natts_staging];
	bool		isnull[Natts_staging];
	char		nulls[Natts_staging];
	OutboxCaller caller;

	memcpy(types, outbox_staging_types, sizeof(types));
	heap_deform_tuple(tup, desc, values, isnull);
	for (int i = 0; i < Natts_staging; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';

	outbox_connect(&caller);
	SPI_execute_with_args("INSERT INTO outbox.deferred VALUES"
						  " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
						  " $13, $14, 'restored')",
						  Natts_staging, types, values, nulls, false, 0);
	outbox_finish(&caller);
	return NULL;
}

/*
 * Have a deferred row wait for outbox_release().  Only a delayed message keeps
 * due_at.  For a refused message due_at is the time of its next attempt, which
 * would put it behind the messages that wait for it.
 */
static HeapTuple
hold_deferred(HeapTuple tup, TupleDesc desc)
{
	int			columns[2] = {Anum_deferred_reason, Anum_deferred_due_at};
	Datum		values[2] = {CStringGetTextDatum("restored"), 0};
	bool		nulls[2] = {false, true};
	bool		isnull;
	Datum		value = heap_getattr(tup, Anum_deferred_reason, desc, &isnull);
	char	   *reason = isnull ? "" : TextDatumGetCString(value);

	if (strcmp(reason, "delayed") == 0 || strcmp(reason, "restored") == 0)
		values[1] = heap_getattr(tup, Anum_deferred_due_at, desc, &nulls[1]);
	return heap_modify_tuple_by_cols(tup, desc, 2, columns, values, nulls);
}

/*
 * A dead letter stays one, with lsn 0/0, as its number is not ours.
 */
static HeapTuple
hold_dead_letter(HeapTuple tup, TupleDesc desc)
{
	int			columns[2] = {Anum_staging_lsn, Anum_dead_letter_skipped};
	Datum		values[2] = {LSNGetDatum(InvalidXLogRecPtr), BoolGetDatum(false)};
	bool		nulls[2] = {false, false};

	return heap_modify_tuple_by_cols(tup, desc, 2, columns, values, nulls);
}

static void
not_such_a_trigger(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("outbox.hold_restored() must be a BEFORE INSERT trigger of one of outbox's tables")));
}

/*
 * Trigger on staging, deferred and dead letters: a row that comes by INSERT or
 * COPY comes out of a dump.
 */
Datum
outbox_hold_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	tup;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		not_such_a_trigger();
	if (outbox_deferring)
		return PointerGetDatum(trigger->tg_trigtuple);

	tup = trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	outbox_tell_state_at_commit();
	switch (desc->natts)
	{
		case Natts_staging:
			return PointerGetDatum(hold_staged(tup, desc));
		case Natts_deferred:
			return PointerGetDatum(hold_deferred(tup, desc));
		case Natts_dead_letter:
			return PointerGetDatum(hold_dead_letter(tup, desc));
	}
	not_such_a_trigger();
	return PointerGetDatum(NULL);
}
