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
 * There may be very many, so it is done in slices: of seqs, then of keys.  Each
 * turn of the loop does some, in a transaction of its own, while nothing else is done
 * for the queue.  Two things are not divided, as they search staging for all seqs at
 * once: what is done after a promotion, and making records again that were lost.
 *
 * All of this may be repeated: if the relay dies, or the connection breaks in the
 * middle, the next one does it again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/reconcile.h"

#include "redis/errors.h"
#include "relay/base/step.h"
#include "relay/base/turn.h"
#include "relay/deliver/failure.h"
#include "relay/deliver/held.h"
#include "relay/deliver/tick.h"
#include "store/deferred.h"
#include "store/query.h"
#include "store/skipped_rows.h"
#include "store/staging.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* seqs, or rows, of a slice */
#define SLICE		500
#define SLICE_TEXT	CppAsString2(SLICE)

/* the skip list as rows, or that of a slice */
#define SKIPS "unnest($skips, $errors) AS s(seq, error)"

/* only those of the slice */
#define WITHIN(row) row ".seq >= $from AND " row ".seq < $below"

/* a skipped message that the tables know to be skipped */
#define RECORDED "(SELECT FROM outbox.deferred AS d WHERE d.queue = $queue" \
	" AND d.seq = s.seq AND d.reason IN ('retry', 'behind', 'applied')" \
	" AND " WITHIN("d") \
	" UNION ALL SELECT FROM outbox.dead_letter AS d WHERE d.queue = $queue" \
	" AND d.seq = s.seq AND d." OUTBOX_DEAD_NUMBERED " AND " WITHIN("d") ")"

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
	PARAM_FROM,
	PARAM_BELOW,
	PARAM_HASH,
	NPARAMS
};

/* what is done, in this order */
typedef enum Phase
{
	PHASE_BEGIN,
	PHASE_TABLES,				/* slices of seqs */
	PHASE_LOST_RECORDS,
	PHASE_KEYS,					/* slices of keys */
	PHASE_NEEDLESS,				/* slices of seqs */
	PHASE_DONE
} Phase;

struct Reconciliation
{
	MemoryContext context;
	Phase		phase;
	XLogRecPtr	left;
	Skip	   *known;			/* those whose rows this server has, by seq */
	int			nknown;
	bool		lost;			/* some have no record */
	uint64		from;			/* the next slice of seqs */
	int64		hash;			/* the last row of the slice of keys: */
	uint64		hash_seq;
	ReconcileResult result;
};

static int	under_way = 0;

static QueueReconcile *
mine(const RelayQueue *queue)
{
	return unconstify(QueueReconcile *, queue->reconcile);
}

void
outbox_reconcile_init(RelayQueue *queue)
{
	queue->reconcile = outbox_make_part(queue, sizeof(QueueReconcile));
}

void
outbox_reconcile_end(RelayQueue *queue)
{
	Reconciliation *rec = queue->reconcile->rec;

	if (rec == NULL)
		return;
	mine(queue)->rec = NULL;
	under_way--;
	outbox_snap_unref(rec->result.pos.prev);
	outbox_snap_unref(rec->result.pos.cur);
	MemoryContextDelete(rec->context);
}

bool
outbox_any_reconciled(void)
{
	return under_way > 0;
}

void
outbox_reconcile_begin(RelayQueue *queue, const StoredCursor *cursor,
					   const OutboxPosition *pos, XLogRecPtr left)
{
	MemoryContext context;
	MemoryContext old;
	Reconciliation *rec;
	StoredCursor *copy;

	outbox_reconcile_end(queue);
	context = AllocSetContextCreate(queue->context, "outbox reconciliation",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	rec = palloc0(sizeof(Reconciliation));
	rec->context = context;
	rec->left = left;
	rec->result.pos = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	copy = &rec->result.cursor;
	*copy = *cursor;
	copy->text = pstrdup(cursor->text);
	copy->seq = pstrdup(cursor->seq);
	copy->line = copy->moved = copy->arrived = "";
	copy->skips = outbox_copy_skips(cursor->skips, cursor->nskips);
	rec->known = copy->skips;
	rec->nknown = copy->nskips;
	MemoryContextSwitchTo(old);
	mine(queue)->rec = rec;
	under_way++;
}

static uint64
query(const char *sql, const OutboxParam *params)
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
	n = query(sql, params);
	AtEOXact_GUC(true, level);
	return n;
}

/*
 * The same for a slice, which is a small part of a table.
 */
static uint64
run_slice(const char *sql, const OutboxParam *params)
{
	int			level = NewGUCNestLevel();
	uint64		n;

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET,
							 PGC_S_OVERRIDE, GUC_ACTION_SAVE, true, 0, false);
	n = run(sql, params);
	AtEOXact_GUC(true, level);
	return n;
}

static void
set_skips(OutboxParam *params, const Skip *skips, int n)
{
	Datum	   *seqs = palloc((n + 1) * sizeof(Datum));
	Datum	   *errors = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
	{
		char		error[OUTBOX_QUEUE_TEXT_SIZE];

		outbox_clean_error(error, skips[i].error, sizeof(error));
		seqs[i] = Int64GetDatum((int64) skips[i].seq);
		errors[i] = CStringGetTextDatum(error);
	}
	params[PARAM_SKIPS].value =
		PointerGetDatum(construct_array(seqs, n, INT8OID, sizeof(int64),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	params[PARAM_ERRORS].value =
		PointerGetDatum(construct_array(errors, n, TEXTOID, -1, false,
										TYPALIGN_INT));
}

static void
set_range(OutboxParam *params, uint64 from, uint64 below)
{
	params[PARAM_FROM].value = Int64GetDatum((int64) from);
	params[PARAM_BELOW].value = Int64GetDatum((int64) below);
}

static void
fill_params(OutboxParam *params, const RelayQueue *queue,
			const OutboxPosition *pos)
{
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
	params[PARAM_FROM] = (OutboxParam) {"from", INT8OID};
	params[PARAM_BELOW] = (OutboxParam) {"below", INT8OID};
	params[PARAM_HASH] = (OutboxParam) {"hash", INT8OID};
	set_skips(params, NULL, 0);
	set_range(params, 0, PG_INT64_MAX);
}

/*
 * Keep those seqs of the skip list whose rows this server has.
 */
static void
keep_known(Reconciliation *rec, OutboxParam *params)
{
	MemoryContext old;
	uint64		n;

	set_skips(params, rec->known, rec->nknown);
	n = run("SELECT s.seq, s.error FROM " SKIPS " WHERE EXISTS"
			" (SELECT FROM (SELECT * FROM " OUTBOX_STAGED " AS t UNION ALL"
			" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
			" WHERE reason IN " OUTBOX_REASONS_NUMBERED " UNION ALL"
			" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.dead_letter"
			" WHERE " OUTBOX_DEAD_NUMBERED ") AS r"
			" WHERE r.seq = s.seq AND r.queue = $queue"
			" AND " OUTBOX_COVERED("r") ")",
			params);
	old = MemoryContextSwitchTo(rec->context);
	rec->known = MemoryContextAllocHuge(rec->context, (n + 1) * sizeof(Skip));
	rec->nknown = (int) n;
	for (uint64 i = 0; i < n; i++)
		rec->known[i] = (Skip) {
			(uint64) outbox_result_int64(i, 1),
			SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)
		};
	MemoryContextSwitchTo(old);
	outbox_sort_skips(rec->known, (int) n);
}

/*
 * Set the parameters for the next slice of seqs: about as many of these skips, and of
 * the table's rows.  Returns where it ends.
 */
static uint64
next_slice(const Reconciliation *rec, OutboxParam *params, const Skip *skips,
		   int n)
{
	int			first = outbox_find_skip(skips, n, rec->from);
	uint64		below = PG_INT64_MAX;

	if (first + SLICE < n)
		below = skips[first + SLICE].seq;
	set_range(params, rec->from, below);
	if (run_slice("SELECT seq FROM outbox.deferred WHERE queue = $queue"
				  " AND reason IN " OUTBOX_REASONS_NUMBERED
				  " AND seq >= $from AND seq < $below"
				  " ORDER BY seq OFFSET " SLICE_TEXT " LIMIT 1", params) > 0)
		below = (uint64) outbox_result_int64(0, 1);
	n = outbox_find_skip(skips, n, below) - first;
	set_range(params, rec->from, below);
	set_skips(params, skips + first, n);
	outbox_turn_worked(DatumGetInt32(params[PARAM_QUEUE].value), n);
	return below;
}

/*
 * Make the tables agree with a slice of the skip list.
 */
static void
update_tables(Reconciliation *rec, OutboxParam *params)
{
	rec->from = next_slice(rec, params, rec->known, rec->nknown);
	run_slice("UPDATE outbox.deferred AS r SET reason = 'applied', due_at = $now"
			  " WHERE queue = $queue AND reason IN " OUTBOX_REASONS_SKIPPED
			  " AND " WITHIN("r") " AND " OUTBOX_COVERED("r")
			  " AND NOT EXISTS (SELECT FROM " SKIPS " WHERE s.seq = r.seq)", params);
	run_slice("UPDATE outbox.deferred AS r SET due_at = $now, reason ="
			  " CASE WHEN s.error = '' AND r.key IS NOT NULL THEN 'behind' ELSE 'retry' END"
			  " FROM " SKIPS " WHERE r.queue = $queue AND r.reason = 'applied'"
			  " AND " WITHIN("r") " AND r.seq = s.seq", params);
	run_slice("UPDATE outbox.deferred AS r SET reason = 'evacuated', due_at = NULL"
			  " WHERE queue = $queue AND reason IN ('retry', 'behind', 'applied')"
			  " AND " WITHIN("r") " AND NOT " OUTBOX_COVERED("r"), params);
	rec->lost = rec->lost ||
		run_slice("SELECT FROM " SKIPS " WHERE NOT EXISTS " RECORDED " LIMIT 1",
				  params) > 0;
}

/*
 * Record again the failures that only the skip list knows, as if the answer
 * with them had come now: the queue's policy decides.  Otherwise a message that
 * should have been given up would be tried again, after later ones.
 */
static void
record_lost(RelayQueue *queue, const Reconciliation *rec, OutboxParam *params)
{
	SPITupleTable *rows;
	uint64		n;

	set_range(params, 0, PG_INT64_MAX);
	set_skips(params, rec->known, rec->nknown);
	n = run("SELECT DISTINCT ON (r.seq) r.*, '', s.error FROM " SKIPS " JOIN"
			" (SELECT * FROM " OUTBOX_STAGED " AS t UNION ALL"
			" SELECT " OUTBOX_STAGING_COLUMNS " FROM outbox.deferred"
			" WHERE reason = 'evacuated') AS r"
			" ON r.seq = s.seq AND r.queue = $queue"
			" WHERE NOT EXISTS " RECORDED " ORDER BY r.seq", params);
	rows = SPI_tuptable;

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
 * Of the next held messages, in the order of keys and seqs, mark the first of each
 * key "retry" and all others "behind"; and note that the keys are held.  False if there
 * are no more.
 */
static bool
retry_first_of_keys(RelayQueue *queue, Reconciliation *rec, OutboxParam *params)
{
	uint64		retry[SLICE];
	uint64		behind[SLICE];
	int			nretry = 0;
	int			nbehind = 0;
	uint64		n;

	params[PARAM_HASH].value = Int64GetDatum(rec->hash);
	params[PARAM_FROM].value = Int64GetDatum((int64) rec->hash_seq);
	n = run_slice("SELECT " OUTBOX_KEY_HASH("key") ", seq, reason = 'retry'"
				  " FROM outbox.deferred WHERE queue = $queue"
				  " AND reason IN " OUTBOX_REASONS_SKIPPED
				  " AND (" OUTBOX_KEY_HASH("key") ", seq) > ($hash, $from)"
				  " ORDER BY 1, 2 LIMIT " SLICE_TEXT, params);
	for (uint64 i = 0; i < n; i++)
	{
		int64		hash = outbox_result_int64(i, 1);
		bool		is_first = hash != rec->hash || rec->hash_seq == 0;
		bool		isnull;
		bool		is_retry = DatumGetBool(outbox_result(i, 3, &isnull));

		rec->hash = hash;
		rec->hash_seq = (uint64) outbox_result_int64(i, 2);
		if (is_first && !is_retry)
			retry[nretry++] = rec->hash_seq;
		else if (!is_first && is_retry)
			behind[nbehind++] = rec->hash_seq;
		outbox_hold_hash(queue, (uint64) hash);
	}
	if (nbehind > 0)
		outbox_change_skipped(queue->settings->id, behind, nbehind, OUTBOX_BEHIND, 0,
							  NULL, NULL);
	if (nretry > 0)
		outbox_change_skipped(queue->settings->id, retry, nretry, OUTBOX_RETRIED,
							  DatumGetTimestampTz(params[PARAM_NOW].value), NULL, NULL);
	return n == SLICE;
}

/*
 * Of a slice, find the seqs that can leave the skip list: those of messages that are
 * not to be tried again, and of no dead letter whose row may still be staged.  And
 * count the messages that hold no key.
 */
static void
find_needless(RelayQueue *queue, Reconciliation *rec, OutboxParam *params)
{
	ReconcileResult *result = &rec->result;
	uint64		n;

	rec->from = next_slice(rec, params, result->cursor.skips,
						   result->cursor.nskips);
	n = run_slice("SELECT s FROM unnest($skips) AS s"
				  " WHERE NOT EXISTS (SELECT FROM outbox.deferred AS d"
				  " WHERE d.queue = $queue AND d.seq = s AND " WITHIN("d")
				  " AND d.reason IN " OUTBOX_REASONS_SKIPPED ")"
				  " AND NOT EXISTS (SELECT FROM outbox.dead_letter AS d"
				  " WHERE d.queue = $queue AND d.seq = s AND " WITHIN("d")
				  " AND d." OUTBOX_DEAD_NUMBERED " AND d.skipped)",
				  params);
	if (result->drop == NULL)
		result->drop = MemoryContextAllocHuge(rec->context,
											  (result->cursor.nskips + 1) * sizeof(uint64));
	for (uint64 i = 0; i < n; i++)
		result->drop[result->ndrop++] = (uint64) outbox_result_int64(i, 1);

	/* one without a key waits behind none, unless it was edited by hand */
	run_slice("UPDATE outbox.deferred AS r SET reason = 'retry', due_at = $now"
			  " WHERE queue = $queue AND reason = 'behind' AND key IS NULL"
			  " AND " WITHIN("r"), params);
	run_slice("SELECT count(*) FROM outbox.deferred AS r WHERE queue = $queue"
			  " AND reason IN " OUTBOX_REASONS_SKIPPED
			  " AND key IS NULL AND " WITHIN("r"), params);
	outbox_hold_keyless(queue, outbox_result_int64(0, 1));
}

/*
 * Has outbox.deferred any message of the queue that had a number in it?  Most queues
 * have none, and whoever connects asks for each of thousands.  The plan is kept, so it
 * must not be that of a table that is small now.
 */
static bool
is_any_numbered(const OutboxParam *params)
{
	static SPIPlanPtr plan;
	int			level = NewGUCNestLevel();
	uint64		n;

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET,
							 PGC_S_OVERRIDE, GUC_ACTION_SAVE, true, 0, false);
	n = outbox_query_in_order(&plan, "SELECT FROM outbox.deferred WHERE queue = $queue"
							  " AND reason IN " OUTBOX_REASONS_NUMBERED
							  " ORDER BY seq LIMIT 1", params, NPARAMS);
	AtEOXact_GUC(true, level);
	return n > 0;
}

/*
 * Do the next slice, or what else is next.  SPI is connected.
 */
static void
do_next(RelayQueue *queue, Reconciliation *rec, OutboxParam *params)
{
	switch (rec->phase)
	{
		case PHASE_BEGIN:
			outbox_forget_held(queue);
			rec->phase = PHASE_TABLES;
			if (rec->nknown == 0 && !is_any_numbered(params))
				rec->phase = PHASE_DONE;
			else if (rec->left != InvalidXLogRecPtr)
				keep_known(rec, params);
			break;
		case PHASE_TABLES:
			update_tables(rec, params);
			if (rec->from == PG_INT64_MAX)
				rec->phase = PHASE_LOST_RECORDS;
			break;
		case PHASE_LOST_RECORDS:
			if (rec->lost)
				record_lost(queue, rec, params);
			outbox_forget_held(queue);
			rec->hash = PG_INT64_MIN;
			rec->phase = PHASE_KEYS;
			break;
		case PHASE_KEYS:
			if (retry_first_of_keys(queue, rec, params))
				break;
			rec->from = 0;
			rec->phase = PHASE_NEEDLESS;
			break;
		case PHASE_NEEDLESS:
			find_needless(queue, rec, params);
			if (rec->from != PG_INT64_MAX)
				break;
			outbox_held_was_read(queue);
			rec->phase = PHASE_DONE;
			break;
		case PHASE_DONE:
			break;
	}
}

bool
outbox_reconcile_some(RelayQueue *queue, const ReconcileResult **result)
{
	Reconciliation *rec = queue->reconcile->rec;
	OutboxParam params[NPARAMS];

	*result = NULL;
	if (!outbox_begin_failure_step_of(queue))
		return false;
	SPI_connect();
	fill_params(params, queue, &rec->result.pos);
	do
	{
		do_next(queue, rec, params);
	} while (rec->phase != PHASE_DONE && !outbox_piece_is_done());
	SPI_finish();
	outbox_end_step();
	if (rec->phase == PHASE_DONE)
		*result = &rec->result;
	return true;
}
