/*-------------------------------------------------------------------------
 *
 * backfill_chunk.c
 *	  Enqueue some rows of a captured table.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A row's message must not arrive behind that of a later change of the row, nor
 * before that of an earlier one.  Each row is locked FOR SHARE, read in the version
 * that is the newest once it is locked, and its message drawn a number, before the
 * transaction ends.  So whoever has changed the row has committed before, and has a
 * lower number; whoever changes it next waits for the end of this transaction, and
 * has a greater one.  (FOR KEY SHARE would let updates pass.)
 *
 * Writers come first: a chunk ends after some rows or LONGEST_CHUNK, and never
 * waits for a row while it holds the lock of another one, as that could be part of
 * a deadlock.  A row that somebody else has locked ends the chunk; it is the first
 * one of the next chunk, and that waits for it and has no other row.  The caller
 * limits that wait to less than deadlock_timeout, since a lock on the table is
 * held meanwhile.
 *
 * Rows are taken by their primary key.  One that is inserted, deleted or moved to
 * another key meanwhile is told by the capture, whole.
 *
 * A row is told as its insert would have been: with the columns, key, settings and
 * condition of the capture of inserts.
 *
 * Operators are named with their schema, as the caller's search path may lead to
 * those of another type.
 *
 * The condition, a cast to json and the check of a domain may call functions of the
 * table's owner, who gets no rights of the caller by that.
 *
 *-------------------------------------------------------------------------
 */
#include "api/backfill_chunk.h"

#include "access/table.h"
#include "api/capture_message.h"
#include "api/triggers.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "owner.h"
#include "portability/instr_time.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/typcache.h"

/* for how long rows are locked, in milliseconds */
#define LONGEST_CHUNK 50

typedef struct KeyColumn
{
	char	   *name;			/* quoted */
	Oid			type;
	char	   *equal;			/* OPERATOR(...) */
	char	   *greater;
	FmgrInfo	output;
	bool		by_value;
	int16		len;
} KeyColumn;

typedef struct Work
{
	const OutboxBackfill *backfill;
	Relation	rel;
	int			nkeys;
	KeyColumn  *keys;
	Oid		   *types;			/* of the key's columns */
	OutboxCaptureState *state;
	EState	   *estate;
	ExprState  *condition;
	TupleTableSlot *slot;
	MemoryContext row_context;
	SPIPlanPtr	take;			/* lock a row if nobody else has, and read it */
	SPIPlanPtr	wait;			/* the same, and wait for the lock */
	SPIPlanPtr	look;			/* is the row there? */
	int64		rows;
} Work;

/*
 * The rights are those that outbox_capture() needs, and those of SELECT FOR SHARE.
 */
static void
check_rights(const OutboxBackfill *backfill)
{
	static const AclMode needed[] = {ACL_TRIGGER, ACL_SELECT, ACL_UPDATE};

	for (int i = 0; i < lengthof(needed); i++)
	{
		AclResult	may = pg_class_aclcheck(backfill->relid, GetUserId(), needed[i]);

		if (may != ACLCHECK_OK)
			aclcheck_error(may, get_relkind_objtype(get_rel_relkind(backfill->relid)),
						   get_rel_name(backfill->relid));
	}
	outbox_need_right(outbox_queue_use(backfill->queue), GetUserId());
	if (check_enable_rls(backfill->relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security would hide rows of table \"%s\" from the backfill",
						get_rel_name(backfill->relid)),
				 errhint("Call outbox_backfill() as the table's owner, or as a role with BYPASSRLS.")));
}

static Relation
open_table(const OutboxBackfill *backfill)
{
	Relation	rel;

	check_rights(backfill);
	rel = try_table_open(backfill->relid, RowShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table has been dropped")));
	return rel;
}

/*
 * Returns the trigger that tells inserts.
 */
static const Trigger *
find_trigger(const OutboxBackfill *backfill, Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (outbox_is_trigger(trigger, backfill->function, backfill->queue) &&
			TRIGGER_FOR_INSERT(trigger->tgtype) && !trigger->tgisclone &&
			trigger->tgenabled != TRIGGER_DISABLED)
			return trigger;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("inserts into table \"%s\" are not captured for queue \"%s\"",
					RelationGetRelationName(rel), backfill->queue),
			 errhint("Call outbox_capture() first.  Partitions are backfilled with their table.")));
	return NULL;				/* keep compiler quiet */
}

static List *
key_of(Relation rel)
{
	List	   *key = outbox_primary_key(rel);

	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(rel)),
				 errhint("A backfill goes by the primary key: add one with ALTER TABLE ... ADD PRIMARY KEY.")));
	return key;
}

/*
 * Numbers, types and collations of the key's columns: a position is of no use if
 * one of them has changed.  A column may be renamed.
 */
static char *
key_text(Relation rel, List *key)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, key)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), lfirst_int(lc) - 1);

		appendStringInfo(&buf, "%s%d:%u:%u", buf.len > 0 ? "," : "", att->attnum,
						 att->atttypid, att->attcollation);
	}
	return buf.data;
}

char *
outbox_check_backfill(const OutboxBackfill *backfill)
{
	Relation	rel = open_table(backfill);
	const Trigger *trigger = find_trigger(backfill, rel);
	char	   *result = key_text(rel, key_of(rel));

	/* its columns are there */
	(void) outbox_capture_state(rel, RelationGetRelid(rel), trigger);
	table_close(rel, NoLock);
	return result;
}

static void
fill_keys(Work *work, List *key)
{
	ListCell   *lc;

	work->keys = palloc0(list_length(key) * sizeof(KeyColumn));
	work->types = palloc0(list_length(key) * sizeof(Oid));
	foreach(lc, key)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(work->rel), lfirst_int(lc) - 1);
		KeyColumn  *col = &work->keys[work->nkeys];
		TypeCacheEntry *type = lookup_type_cache(att->atttypid,
												 TYPECACHE_EQ_OPR | TYPECACHE_GT_OPR);
		Oid			output;
		bool		is_varlena;

		col->name = pstrdup(quote_identifier(NameStr(att->attname)));
		col->type = work->types[work->nkeys++] = att->atttypid;
		col->equal = outbox_operator_name(type->eq_opr);
		col->greater = outbox_operator_name(type->gt_opr);
		col->by_value = att->attbyval;
		col->len = att->attlen;
		getTypeOutputInfo(att->atttypid, &output, &is_varlena);
		fmgr_info(output, &col->output);
	}
}

/*
 * Make the condition of a trigger one on the slot.
 */
static void
prepare_condition(Work *work, const char *qual)
{
	OutboxCaller caller;
	Node	   *node;

	work->estate = CreateExecutorState();
	if (qual == NULL)
		return;
	node = stringToNode(qual);
	ChangeVarNodes(node, PRS2_NEW_VARNO, OUTER_VAR, 0);
	outbox_become_lesser(&caller, work->rel->rd_rel->relowner);
	work->condition = ExecPrepareQual(make_ands_implicit((Expr *) node), work->estate);
	outbox_become_caller(&caller);
}

static void
append_list(StringInfo buf, const Work *work, bool parameters)
{
	for (int i = 0; i < work->nkeys; i++)
		if (parameters)
			appendStringInfo(buf, "%s$%d", i > 0 ? ", " : "", i + 1);
		else
			appendStringInfo(buf, "%st.%s", i > 0 ? ", " : "", work->keys[i].name);
}

/*
 * Rows behind a key.  One comparison of rows can use the index as a whole, but has
 * one operator for all columns.
 */
static void
append_behind(StringInfo buf, const Work *work)
{
	bool		one_operator = true;

	for (int i = 1; i < work->nkeys; i++)
		if (strcmp(work->keys[i].greater, work->keys[0].greater) != 0)
			one_operator = false;
	if (one_operator)
	{
		appendStringInfoChar(buf, '(');
		append_list(buf, work, false);
		appendStringInfo(buf, ") %s (", work->keys[0].greater);
		append_list(buf, work, true);
		appendStringInfoChar(buf, ')');
		return;
	}
	for (int i = 0; i < work->nkeys; i++)
	{
		appendStringInfoString(buf, i > 0 ? " OR (" : "((");
		for (int j = 0; j < i; j++)
			appendStringInfo(buf, "t.%s %s $%d AND ", work->keys[j].name,
							 work->keys[j].equal, j + 1);
		appendStringInfo(buf, "t.%s %s $%d)", work->keys[i].name,
						 work->keys[i].greater, i + 1);
	}
	appendStringInfoChar(buf, ')');
}

static void
append_from(StringInfo buf, const Work *work)
{
	appendStringInfo(buf, " FROM %s%s AS t",
					 work->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 outbox_relation_name(work->rel));
}

static SPIPlanPtr
prepare(const char *sql, int nparams, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nparams, types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Prepare a statement for one row; it has the table's columns in their places.
 */
static SPIPlanPtr
prepare_row(const Work *work, bool columns, const char *lock)
{
	TupleDesc	desc = RelationGetDescr(work->rel);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (int i = 0; i < desc->natts && columns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		appendStringInfo(&buf, "%s%s%s", i > 0 ? ", " : "",
						 att->attisdropped ? "NULL" : "t.",
						 att->attisdropped ? "" : quote_identifier(NameStr(att->attname)));
	}
	append_from(&buf, work);
	for (int i = 0; i < work->nkeys; i++)
		appendStringInfo(&buf, "%st.%s %s $%d", i > 0 ? " AND " : " WHERE ",
						 work->keys[i].name, work->keys[i].equal, i + 1);
	appendStringInfoString(&buf, lock);
	return prepare(buf.data, work->nkeys, work->types);
}

static Work *
begin_work(const OutboxBackfill *backfill, Relation rel, List *key)
{
	Work	   *work = palloc0(sizeof(Work));
	const Trigger *trigger = find_trigger(backfill, rel);

	work->backfill = backfill;
	work->rel = rel;
	work->state = outbox_capture_state(rel, RelationGetRelid(rel), trigger);
	prepare_condition(work, trigger->tgqual);
	fill_keys(work, key);

	/*
	 * without what a query's columns don't have, such as how they are
	 * generated
	 */
	work->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
										  &TTSOpsVirtual);
	work->slot->tts_tableOid = RelationGetRelid(rel);
	work->row_context = AllocSetContextCreate(CurrentMemoryContext, "outbox backfilled row",
											  ALLOCSET_DEFAULT_SIZES);
	work->take = prepare_row(work, true, " FOR SHARE SKIP LOCKED");
	work->wait = prepare_row(work, true, " FOR SHARE");
	work->look = prepare_row(work, false, "");
	return work;
}

static bool
meets_condition(Work *work)
{
	ExprContext *context = GetPerTupleExprContext(work->estate);

	if (work->condition == NULL)
		return true;
	context->ecxt_outertuple = work->slot;
	return ExecQual(work->condition, context);
}

static void
tell_row(Work *work, HeapTuple tup, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(work->row_context);
	OutboxCaller caller;

	ExecClearTuple(work->slot);
	heap_deform_tuple(tup, desc, work->slot->tts_values, work->slot->tts_isnull);
	ExecStoreVirtualTuple(work->slot);
	outbox_become_lesser(&caller, work->rel->rd_rel->relowner);
	if (meets_condition(work))
	{
		outbox_enqueue_change(work->state, OUTBOX_READ, NULL, work->slot);
		work->rows++;
	}
	outbox_become_caller(&caller);
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(work->estate);
	MemoryContextReset(work->row_context);
}

static uint64
execute(SPIPlanPtr plan, Datum *key)
{
	int			result = SPI_execute_plan(plan, key, NULL, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * Lock a row and tell it.  Returns false if it was not there, or not to be had.
 */
static bool
take_row(Work *work, SPIPlanPtr plan, Datum *key)
{
	bool		taken = execute(plan, key) > 0;
	SPITupleTable *table = SPI_tuptable;

	if (taken)
		tell_row(work, table->vals[0], table->tupdesc);
	SPI_freetuptable(table);
	return taken;
}

static bool
is_there(Work *work, Datum *key)
{
	bool		result = execute(work->look, key) > 0;

	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * The values of a position, in the form of outbox_json_set_settings().
 */
static Datum *
parse_position(Work *work, Datum position)
{
	Datum	   *result = palloc(work->nkeys * sizeof(Datum));
	OutboxCaller caller;
	Datum	   *elems;
	int			n;

	outbox_become_lesser(&caller, work->rel->rd_rel->relowner);
	(void) outbox_json_set_settings();
	deconstruct_array(DatumGetArrayTypeP(position), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &n);
	for (int i = 0; i < work->nkeys; i++)
	{
		Oid			input;
		Oid			param;

		getTypeInputInfo(work->keys[i].type, &input, &param);
		result[i] = OidInputFunctionCall(input, TextDatumGetCString(elems[i]), param, -1);
	}
	outbox_become_caller(&caller);
	return result;
}

static Datum
position_text(Work *work, Datum *key)
{
	Datum	   *elems = palloc(work->nkeys * sizeof(Datum));
	int			level = outbox_json_set_settings();

	for (int i = 0; i < work->nkeys; i++)
		elems[i] = CStringGetTextDatum(OutputFunctionCall(&work->keys[i].output, key[i]));
	AtEOXact_GUC(true, level);
	return PointerGetDatum(construct_array(elems, work->nkeys, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * Returns the keys of the next rows.  Nothing is locked.
 */
static Datum **
next_keys(Work *work, Datum position, int *n)
{
	Datum	  **result;
	StringInfoData buf;
	SPIPlanPtr	plan;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	append_list(&buf, work, false);
	append_from(&buf, work);
	if (position != (Datum) 0)
	{
		appendStringInfoString(&buf, " WHERE ");
		append_behind(&buf, work);
	}
	appendStringInfoString(&buf, " ORDER BY ");
	append_list(&buf, work, false);
	appendStringInfo(&buf, " LIMIT %d", work->backfill->chunk_rows);
	plan = prepare(buf.data, position != (Datum) 0 ? work->nkeys : 0, work->types);
	*n = execute(plan, position != (Datum) 0 ? parse_position(work, position) : NULL);

	/* values stay in SPI's table until the end */
	result = palloc((*n + 1) * sizeof(Datum *));
	for (int i = 0; i < *n; i++)
	{
		result[i] = palloc(work->nkeys * sizeof(Datum));
		for (int j = 0; j < work->nkeys; j++)
		{
			bool		isnull;

			result[i][j] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										 j + 1, &isnull);
		}
	}
	return result;
}

static bool
is_over(instr_time begin)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, begin);
	return INSTR_TIME_GET_MILLISEC(now) > LONGEST_CHUNK;
}

/*
 * Take rows until one is locked by somebody else, or it has taken long enough.
 * Returns how many keys are done.
 */
static int
take_rows(Work *work, Datum **keys, int n)
{
	instr_time	begin;

	INSTR_TIME_SET_CURRENT(begin);
	for (int i = 0; i < n; i++)
	{
		if (!take_row(work, work->take, keys[i]) && is_there(work, keys[i]))
		{
			if (i > 0)
				return i;
			/* it may be deleted, or get another key, while we wait */
			(void) take_row(work, work->wait, keys[i]);
			return 1;
		}
		if (is_over(begin))
			return i + 1;
	}
	return n;
}

OutboxChunk
outbox_backfill_chunk(const OutboxBackfill *backfill, const OutboxProgress *progress)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	rel = open_table(backfill);
	List	   *key = key_of(rel);
	OutboxChunk chunk = {0};
	Work	   *work;
	Datum	  **keys;
	int			n;
	int			done;

	if (strcmp(key_text(rel, key), progress->key) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has another primary key than when its backfill began",
						RelationGetRelationName(rel)),
				 errhint("Begin again with settings => '{\"restart\": true}'.")));
	SPI_connect();
	work = begin_work(backfill, rel, key);
	keys = next_keys(work, progress->position, &n);
	done = take_rows(work, keys, n);
	chunk.rows = work->rows;
	chunk.finished = done == n && n < backfill->chunk_rows;
	if (done > 0)
	{
		context = MemoryContextSwitchTo(context);
		chunk.position = position_text(work, keys[done - 1]);
		MemoryContextSwitchTo(context);
	}
	ExecDropSingleTupleTableSlot(work->slot);
	FreeExecutorState(work->estate);
	SPI_finish();
	table_close(rel, NoLock);
	return chunk;
}
