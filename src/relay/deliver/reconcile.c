/*-------------------------------------------------------------------------
 *
 * reconcile.c
 *	  Make the tables agree with the skip list of a cursor.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The skip list in Redis says which covered messages have not been applied.
 * outbox.deferred and outbox.dead_letter say what is to be done with them.
 * When a cursor is read, the two are made to agree.  Where they differ, Redis
 * is right:
 *
 *		deferred, covered, not skipped		it was applied: mark it "applied"
 *		applied, but skipped				Redis has lost it: try it again
 *		deferred, but not covered			Redis doesn't know it, or has lost it:
 *											deliver it in its turn, as if evacuated
 *		skipped, staged or evacuated only	the record was lost: make it again
 *		skipped, in no table				take it out of the skip list
 *
 * No message may wait for one that isn't covered.  An earlier message of its
 * key may not be covered either, if it was delivered before Redis lost it, and
 * that one has to be delivered first.
 *
 * Afterwards the first message of each key may be tried, and the held keys are
 * read into memory.
 *
 * If our history has left that of the cursor, a seq stays in the skip list only if
 * a row that is covered still has it: other seqs will be given out again.
 *
 * All of this may be repeated: if the relay dies, the next one does it again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/reconcile.h"

#include "redis/errors.h"
#include "relay/base/step.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/held.h"
#include "relay/deliver/tick.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* the cursor's skip list as rows */
#define SKIPS "unnest($skips, $errors) AS s(seq, error)"

/* a skipped message that the tables know to be skipped */
#define RECORDED "(SELECT FROM outbox.deferred AS d WHERE d.queue = $queue" \
	" AND d.seq = s.seq AND d.reason IN ('retry', 'behind', 'applied')" \
	" UNION ALL SELECT FROM outbox.dead_letter AS d WHERE d.queue = $queue" \
	" AND d.seq = s.seq AND d." OUTBOX_DEAD_NUMBERED ")"

/* another message of the same key that is held and comes before r */
#define EARLIER "(SELECT FROM outbox.deferred AS o WHERE o.queue = $queue" \
	" AND " OUTBOX_KEY_HASH("o.key") " = " OUTBOX_KEY_HASH("r.key") \
	" AND o.reason IN " OUTBOX_REASONS_SKIPPED " AND o.seq < r.seq)"

/* parameters of all statements here */
enum
{
	PARAM_QUEUE,
	PARAM_SKIPS,
	PARAM_ERRORS,
	PARAM_PREV,
	PARAM_CUR,
	PARAM_LAST,
	PARAM_NOW,
	NPARAMS
};

static uint64
look_up(const char *sql, const OutboxParam *params)
{
	return outbox_query(sql, params, NPARAMS);
}

/*
 * The same with hashed joins.  The planner takes every skip list for a short one,
 * and would compare each row with all of it.
 */
static uint64
run(const char *sql, const OutboxParam *params)
{
	int			level = NewGUCNestLevel();
	uint64		n;

	(void) set_config_option("enable_nestloop", "off", PGC_USERSET,
							 PGC_S_OVERRIDE, GUC_ACTION_SAVE, true, 0, false);
	n = look_up(sql, params);
	AtEOXact_GUC(true, level);
	return n;
}

static void
set_skips(OutboxParam *params, Datum *seqs, Datum *errors, int n)
{
	params[PARAM_SKIPS].value =
		PointerGetDatum(construct_array(seqs, n, INT8OID, sizeof(int64),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	params[PARAM_ERRORS].value =
		PointerGetDatum(construct_array(errors, n, TEXTOID, -1, false,
										TYPALIGN_INT));
}

static void
fill_params(OutboxParam *params, const RelayQueue *queue,
			const StoredCursor *cursor, const OutboxPosition *pos)
{
	Datum	   *seqs = palloc((cursor->nskips + 1) * sizeof(Datum));
	Datum	   *errors = palloc((cursor->nskips + 1) * sizeof(Datum));

	params[PARAM_QUEUE] = (OutboxParam) {
		"queue", INT4OID, Int32GetDatum(queue->settings->id)
	};
	params[PARAM_SKIPS] = (OutboxParam) {"skips", INT8ARRAYOID};
	params[PARAM_ERRORS] = (OutboxParam) {"errors", TEXTARRAYOID};
	params[PARAM_PREV] = (OutboxParam) {
		"prev", TEXTOID, outbox_snap_text(pos->prev)
	};
	params[PARAM_CUR] = (OutboxParam) {
		"cur", TEXTOID, outbox_snap_text(pos->cur)
	};
	params[PARAM_LAST] = (OutboxParam) {
		"last", INT8OID, Int64GetDatum((int64) pos->seq)
	};
	params[PARAM_NOW] = (OutboxParam) {
		"now", TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp())
	};

	for (int i = 0; i < cursor->nskips; i++)
	{
		char		error[OUTBOX_QUEUE_TEXT_SIZE];

		outbox_clean_error(error, cursor->errors[i], sizeof(error));
		seqs[i] = Int64GetDatum((int64) cursor->skips[i]);
		errors[i] = CStringGetTextDatum(error);
	}
	set_skips(params, seqs, errors, cursor->nskips);
}

/*
 * Keep those seqs of the skip list whose rows this server has.
 */
static void
keep_known(OutboxParam *params)
{
	uint64		n = run("SELECT s.seq, s.error FROM " SKIPS " WHERE EXISTS"
						" (SELECT FROM (SELECT * FROM " OUTBOX_STAGED " AS t UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
						" WHERE reason IN " OUTBOX_REASONS_NUMBERED " UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.dead_letter"
						" WHERE " OUTBOX_DEAD_NUMBERED ") AS r"
						" WHERE r.seq = s.seq AND r.queue = $queue"
						" AND " OUTBOX_COVERED("r") ")",
						params);
	Datum	   *seqs = palloc((n + 1) * sizeof(Datum));
	Datum	   *errors = palloc((n + 1) * sizeof(Datum));

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		seqs[i] = outbox_result(i, 1, &isnull);
		errors[i] = outbox_result(i, 2, &isnull);
	}
	set_skips(params, seqs, errors, (int) n);
}

/*
 * Record again the failures that only the skip list knows, as if the answer
 * with them had come now: the queue's policy decides.  Otherwise a message that
 * should have been given up would be tried again, after later ones.
 */
static void
record_lost(RelayQueue *queue, const OutboxParam *params)
{
	uint64		n = run("SELECT DISTINCT ON (r.seq) r.*, '', s.error FROM " SKIPS " JOIN"
						" (SELECT * FROM " OUTBOX_STAGED " AS t UNION ALL"
						" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
						" WHERE reason = 'evacuated') AS r"
						" ON r.seq = s.seq AND r.queue = $queue"
						" WHERE NOT EXISTS " RECORDED " ORDER BY r.seq", params);
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
										  DatumGetTimestampTz(params[PARAM_NOW].value));
	}
}

/*
 * Make the tables agree with the skip list.
 */
static void
update_tables(RelayQueue *queue, const OutboxParam *params)
{
	run("UPDATE outbox.deferred AS r SET reason = 'applied', due_at = $now"
		" WHERE queue = $queue AND reason IN " OUTBOX_REASONS_SKIPPED
		" AND " OUTBOX_COVERED("r")
		" AND NOT EXISTS (SELECT FROM " SKIPS " WHERE s.seq = r.seq)", params);
	run("UPDATE outbox.deferred AS r SET due_at = $now, reason ="
		" CASE WHEN s.error = '' AND r.key IS NOT NULL THEN 'behind' ELSE 'retry' END"
		" FROM " SKIPS " WHERE r.queue = $queue AND r.reason = 'applied'"
		" AND r.seq = s.seq", params);

	run("UPDATE outbox.deferred AS r SET reason = 'evacuated', due_at = NULL"
		" WHERE queue = $queue AND reason IN ('retry', 'behind', 'applied')"
		" AND NOT " OUTBOX_COVERED("r"), params);

	/* staging is searched only if something is missing */
	if (run("SELECT FROM " SKIPS " WHERE NOT EXISTS " RECORDED " LIMIT 1",
			params) > 0)
		record_lost(queue, params);
}

/*
 * Mark the first message of each key "retry" and all others "behind".
 */
static void
retry_first_of_keys(const OutboxParam *params)
{
	look_up("UPDATE outbox.deferred AS r SET reason = 'behind', due_at = NULL"
			" WHERE queue = $queue AND reason = 'retry' AND key IS NOT NULL"
			" AND EXISTS " EARLIER, params);
	look_up("UPDATE outbox.deferred AS r SET reason = 'retry', due_at = $now"
			" WHERE queue = $queue AND reason = 'behind'"
			" AND NOT EXISTS " EARLIER, params);
}

/*
 * The seqs that can leave the skip list: those of messages that are not to be
 * tried again, and of no dead letter whose row may still be staged.
 */
static uint64 *
find_needless(const OutboxParam *params, MemoryContext context, int *n)
{
	uint64	   *result;

	*n = (int) run("SELECT s FROM unnest($skips) AS s"
				   " WHERE NOT EXISTS (SELECT FROM outbox.deferred AS d"
				   " WHERE d.queue = $queue AND d.seq = s"
				   " AND d.reason IN " OUTBOX_REASONS_SKIPPED ")"
				   " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
				   " WHERE d.queue = $queue AND d.seq = s"
				   " AND d." OUTBOX_DEAD_NUMBERED " AND d.skipped)",
				   params);
	result = MemoryContextAlloc(context, (*n + 1) * sizeof(uint64));
	for (int i = 0; i < *n; i++)
		result[i] = (uint64) outbox_result_int64(i, 1);
	return result;
}

static void
reconcile(RelayQueue *queue, OutboxParam *params, bool has_left,
		  MemoryContext context, int *ndrop, uint64 **drop)
{
	OutboxParam all = params[PARAM_SKIPS];

	if (has_left)
		keep_known(params);
	update_tables(queue, params);
	retry_first_of_keys(params);
	outbox_read_held(queue);
	params[PARAM_SKIPS] = all;
	*drop = find_needless(params, context, ndrop);
}

bool
outbox_reconcile(RelayQueue *queue, const StoredCursor *cursor,
				 const OutboxPosition *pos, XLogRecPtr left, int *ndrop,
				 uint64 **drop)
{
	MemoryContext context = CurrentMemoryContext;
	OutboxParam params[NPARAMS];

	*ndrop = 0;
	*drop = NULL;
	if (!outbox_begin_failure_step_of(queue))
		return false;
	SPI_connect();
	outbox_forget_held(queue);
	fill_params(params, queue, cursor, pos);
	if (cursor->nskips > 0 ||
		run("SELECT FROM outbox.deferred WHERE queue = $queue AND reason IN "
			OUTBOX_REASONS_NUMBERED " LIMIT 1", params) > 0)
		reconcile(queue, params, left != InvalidXLogRecPtr, context, ndrop, drop);
	SPI_finish();
	outbox_end_step();
	return true;
}
