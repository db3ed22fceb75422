/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  The skip list of a cursor, and what the tables know of it.
 *
 * Design notes
 *
 * Redis knows which covered messages it has not applied: the skip list.  The
 * tables know what is to become of them.  When a cursor is read, the two are
 * made to agree, and Redis is right:
 *
 *		deferred, covered, not skipped		it was applied: remember that
 *		applied, but skipped				Redis has lost it: try it again
 *		deferred, but not covered			Redis doesn't know of it, or no longer: it
 *											waits its turn, as if evacuated
 *		skipped, staged or evacuated only	the record was lost: make it again
 *		skipped, in no table at all			leaves the skip list
 *
 * What isn't covered must hold up nobody: what comes before it with its key may
 * not be covered either, as it went through before Redis lost it, and goes first
 * again.
 *
 * Then of each key the first one may go, and the keys that are held are known.
 *
 * If the cursor is of an older timeline, a seq stays in the skip list only if a
 * covered row of those timelines has it: the others will be given out again.
 *
 * All of this is idempotent.  If the relay dies after it, the next one does it
 * again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "store/deferred.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define ANYWHERE "('retry', 'behind', 'evacuated', 'applied')"
#define COVERED "(pg_visible_in_snapshot(r.xid, $3::pg_snapshot)" \
	" OR (pg_visible_in_snapshot(r.xid, $4::pg_snapshot) AND r.seq <= $5))"
#define STAGED "(SELECT * FROM outbox.staging_1 UNION ALL" \
	" SELECT * FROM outbox.staging_2)"
#define SKIPS "unnest($2, $7) AS s(seq, error)"
#define RECORDED "(SELECT FROM outbox.deferred AS d WHERE d.queue = $1" \
	" AND d.seq = s.seq AND d.reason IN ('retry', 'behind', 'applied')" \
	" UNION ALL SELECT FROM outbox.dead_letter AS d WHERE d.queue = $1" \
	" AND d.seq = s.seq AND d.timeline > 0)"

/* arguments of all queries here */
enum
{
	ARG_QUEUE,
	ARG_SKIPS,
	ARG_PREV,
	ARG_CUR,
	ARG_SEQ,
	ARG_NOW,
	ARG_ERRORS,
	ARG_TIMELINE,
	NARGS
};

static Oid	types[NARGS] = {
	INT4OID, INT8ARRAYOID, TEXTOID, TEXTOID, INT8OID,
	TIMESTAMPTZOID, TEXTARRAYOID, INT4OID
};

static uint64
run(const char *query, Datum *values)
{
	SPI_execute_with_args(query, NARGS, types, values, NULL, false, 0);
	return SPI_processed;
}

static Datum
row_value(uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 &isnull);
}

static void
set_skips(Datum *values, Datum *seqs, Datum *errors, int n)
{
	values[ARG_SKIPS] =
		PointerGetDatum(construct_array(seqs, n, INT8OID, sizeof(int64),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[ARG_ERRORS] =
		PointerGetDatum(construct_array(errors, n, TEXTOID, -1, false,
										TYPALIGN_INT));
}

static void
fill_arguments(Datum *values, const RelayQueue *queue,
			   const RelayCursor *cursor, const OutboxPosition *pos)
{
	Datum	   *seqs = palloc((cursor->nskips + 1) * sizeof(Datum));
	Datum	   *errors = palloc((cursor->nskips + 1) * sizeof(Datum));

	for (int i = 0; i < cursor->nskips; i++)
	{
		char		error[OUTBOX_QUEUE_TEXT_SIZE];

		outbox_clean_error(error, cursor->errors[i], sizeof(error));
		seqs[i] = Int64GetDatum((int64) cursor->skips[i]);
		errors[i] = CStringGetTextDatum(error);
	}
	set_skips(values, seqs, errors, cursor->nskips);
	values[ARG_QUEUE] = Int32GetDatum(queue->settings.id);
	values[ARG_PREV] = outbox_snap_text(pos->prev);
	values[ARG_CUR] = outbox_snap_text(pos->cur);
	values[ARG_SEQ] = Int64GetDatum((int64) pos->seq);
	values[ARG_NOW] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[ARG_TIMELINE] = Int32GetDatum((int32) pos->timeline);
}

/*
 * Keep of the skip list what is of rows that have reached us.
 */
static void
keep_known(Datum *values)
{
	uint64		n = run("SELECT s.seq, s.error FROM " SKIPS " WHERE EXISTS"
						" (SELECT FROM (SELECT * FROM " STAGED " AS t UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
						" WHERE reason IN " ANYWHERE " UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.dead_letter"
						" WHERE timeline > 0) AS r"
						" WHERE r.seq = s.seq AND r.queue = $1 AND r.timeline <= $8"
						" AND " COVERED ")", values);
	Datum	   *seqs = palloc((n + 1) * sizeof(Datum));
	Datum	   *errors = palloc((n + 1) * sizeof(Datum));

	for (uint64 i = 0; i < n; i++)
	{
		seqs[i] = row_value(i, 1);
		errors[i] = row_value(i, 2);
	}
	set_skips(values, seqs, errors, n);
}

/*
 * Record again what the skip list alone knows, as if the answer that told of it
 * had come just now: the queue's policy decides.  Otherwise what should have
 * been given up would be tried again, after others that came later.
 */
static void
record_lost(RelayQueue *queue, Datum *values)
{
	uint64		n = run("SELECT DISTINCT ON (r.seq) r.*, '', s.error FROM " SKIPS " JOIN"
						" (SELECT * FROM " STAGED " AS t UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
						" WHERE reason = 'evacuated') AS r"
						" ON r.seq = s.seq AND r.queue = $1"
						" WHERE NOT EXISTS " RECORDED " ORDER BY r.seq", values);
	SPITupleTable *rows = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		OutboxMessage msg;
		char	   *error = SPI_getvalue(rows->vals[i], rows->tupdesc,
										 Natts_staging + 2);

		outbox_row_message(rows->vals[i], rows->tupdesc, &msg);
		if (error[0] == '\0' && msg.key != NULL)
			outbox_message_behind(queue, &msg);
		else
			(void) outbox_message_refused(queue, &msg, error, false,
										  DatumGetTimestampTz(values[ARG_NOW]));
	}
}

/*
 * Make the tables agree with the skip list.
 */
static void
update_tables(RelayQueue *queue, Datum *values)
{
	run("UPDATE outbox.deferred AS r SET reason = 'applied', due_at = $6"
		" WHERE queue = $1 AND reason IN ('retry', 'behind') AND " COVERED
		" AND NOT EXISTS (SELECT FROM " SKIPS " WHERE s.seq = r.seq)", values);
	run("UPDATE outbox.deferred AS r SET due_at = $6, reason ="
		" CASE WHEN s.error = '' AND r.key IS NOT NULL THEN 'behind' ELSE 'retry' END"
		" FROM " SKIPS " WHERE r.queue = $1 AND r.reason = 'applied'"
		" AND r.seq = s.seq", values);

	run("UPDATE outbox.deferred AS r SET reason = 'evacuated', due_at = NULL"
		" WHERE queue = $1 AND reason IN ('retry', 'behind', 'applied')"
		" AND NOT " COVERED, values);

	/* staging is searched only if something is missing */
	if (run("SELECT FROM " SKIPS " WHERE NOT EXISTS " RECORDED " LIMIT 1",
			values) > 0)
		record_lost(queue, values);
}

/*
 * Of each key the first one may go, and no other.
 */
static void
let_first_go(Datum *values)
{
	run("UPDATE outbox.deferred AS r SET reason = 'behind', due_at = NULL"
		" WHERE queue = $1 AND reason = 'retry' AND key IS NOT NULL AND EXISTS"
		" (SELECT FROM outbox.deferred AS o WHERE o.queue = $1"
		" AND hashtextextended(o.key COLLATE \"C\", 0) ="
		" hashtextextended(r.key COLLATE \"C\", 0)"
		" AND o.reason IN ('retry', 'behind') AND o.seq < r.seq)", values);
	run("UPDATE outbox.deferred AS r SET reason = 'retry', due_at = $6"
		" WHERE queue = $1 AND reason = 'behind' AND NOT EXISTS"
		" (SELECT FROM outbox.deferred AS o WHERE o.queue = $1"
		" AND hashtextextended(o.key COLLATE \"C\", 0) ="
		" hashtextextended(r.key COLLATE \"C\", 0)"
		" AND o.reason IN ('retry', 'behind') AND o.seq < r.seq)", values);
}

static void
forget_held(RelayQueue *queue)
{
	outbox_forget_keys(queue);
	queue->held = 0;
	queue->evacuated = false;
	queue->again_at = DT_NOEND;
}

/*
 * What is held, and whether anything has been evacuated.
 */
static void
read_held(RelayQueue *queue, Datum *values)
{
	uint64		n = run("SELECT count(*), hashtextextended(key COLLATE \"C\", 0),"
						" key IS NULL FROM outbox.deferred WHERE queue = $1"
						" AND reason IN ('retry', 'behind') GROUP BY 2, 3", values);

	forget_held(queue);
	for (uint64 i = 0; i < n; i++)
	{
		int64		count = DatumGetInt64(row_value(i, 1));

		queue->held += count;
		if (!DatumGetBool(row_value(i, 3)))
			outbox_hold_key(queue, DatumGetInt64(row_value(i, 2)), count);
	}
	queue->again_at = queue->held > 0 ? 0 : DT_NOEND;
	queue->evacuated = run("SELECT FROM outbox.deferred WHERE queue = $1"
						   " AND reason = 'evacuated' LIMIT 1", values) > 0;
}

/*
 * What can leave the skip list: nobody waits to try it, and it isn't a dead
 * letter whose row may still be staged.
 */
static uint64 *
find_needless(Datum *values, MemoryContext context, int *n)
{
	uint64	   *result;

	*n = run("SELECT s FROM unnest($2) AS s"
			 " WHERE NOT EXISTS (SELECT FROM outbox.deferred AS d"
			 " WHERE d.queue = $1 AND d.seq = s AND d.reason IN ('retry', 'behind'))"
			 " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
			 " WHERE d.queue = $1 AND d.seq = s AND d.timeline > 0 AND d.skipped)",
			 values);
	result = MemoryContextAlloc(context, (*n + 1) * sizeof(uint64));
	for (int i = 0; i < *n; i++)
		result[i] = DatumGetInt64(row_value(i, 1));
	return result;
}

static void
reconcile(RelayQueue *queue, Datum *values, bool older, MemoryContext context,
		  int *ndrop, uint64 **drop)
{
	Datum		all = values[ARG_SKIPS];

	if (older)
		keep_known(values);
	update_tables(queue, values);
	let_first_go(values);
	read_held(queue, values);
	values[ARG_SKIPS] = all;
	*drop = find_needless(values, context, ndrop);
}

/*
 * Bring the tables in line with a cursor that has been read.  The position is
 * clipped already if it is of an older timeline.  *drop are seqs that shall
 * leave the skip list.  False if a table is locked.
 */
bool
outbox_reconcile(RelayQueue *queue, const RelayCursor *cursor,
				 const OutboxPosition *pos, bool older, int *ndrop,
				 uint64 **drop)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[NARGS];
	bool		ok;

	*ndrop = 0;
	*drop = NULL;
	outbox_begin_step();
	ok = outbox_catalog_load() && outbox_lock_failures();
	if (ok)
	{
		SPI_connect();
		forget_held(queue);
		fill_arguments(values, queue, cursor, pos);
		if (cursor->nskips > 0 ||
			run("SELECT FROM outbox.deferred WHERE queue = $1 AND reason IN "
				ANYWHERE " LIMIT 1", values) > 0)
			reconcile(queue, values, older, context, ndrop, drop);
		SPI_finish();
	}
	outbox_end_step();
	return ok;
}
