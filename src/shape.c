/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  Whether our relations are as outbox has made them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Rows of our tables are read and written by C code and by SQL that rely on how
 * the tables were made.  If somebody has changed one by hand, the relay would
 * fail again and again, or worse: an expression index of a staging table can't
 * be filled without the executor, a number from a cached sequence breaks the
 * order of messages, and a CHECK that fails quotes the payload in the log.  So
 * a relation is looked at when it is used first after a change of the catalog,
 * and is not used if it isn't what is expected.
 *
 * What nobody is harmed by is left alone: comments, storage, statistics, foreign
 * keys that refer to our tables, and further indexes of columns that are not
 * unique.
 *
 * The columns, indexes and triggers below are those of the install script.
 *
 *-------------------------------------------------------------------------
 */
#include "shape.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#define STAGING_COLUMNS "xid:xid8! seq:int8! enqueued_at:timestamptz!" \
	" id:uuid! lsn:pg_lsn! queue:int4! attempts:int2! kind:char!" \
	" type:text key:text headers:jsonb payload:bytea! history:jsonb" \
	" options:jsonb"

/* the numbers of some columns there */
#define Anum_xid	1
#define Anum_seq	2
#define Anum_queue	6

typedef struct Shape
{
	const char *columns;		/* name:type, with ! if not null */
	const char *indexes;		/* names of those that it must have */
	const char *trigger;		/* function of its trigger, or NULL */
	int			nchecks;
} Shape;

static const Shape shapes[OUTBOX_NRELATIONS] = {
	[OUTBOX_REL_STAGING_1] = {
		STAGING_COLUMNS, "staging_1_xid_seq", "hold_restored", 0
	},
	[OUTBOX_REL_STAGING_2] = {
		STAGING_COLUMNS, "staging_2_xid_seq", "hold_restored", 0
	},
	[OUTBOX_REL_QUEUE] = {
		"id:int4! name:text! target:text! redis_key:text! format:text"
		" maxlen:int8 on_failure:text! max_attempts:int4! retry_delay:interval!"
		" retry_backoff:float8! retry_max_delay:interval!"
		" expires_after:interval paused_at:timestamptz created_at:timestamptz!"
		" options:jsonb consumer_retry:bool! payload_type:text! fields:_text"
		" server:text partitions:int4! moving_from:text",
		"queue_pkey queue_name_key queue_ids queue_consumer_key", "queue_changed", 13
	},
	[OUTBOX_REL_DEFERRED] = {
		STAGING_COLUMNS " reason:text! due_at:timestamptz",
		"deferred_due deferred_id deferred_delayed_key deferred_xid_seq deferred_queue_seq"
		" deferred_retry deferred_key deferred_applied deferred_restored",
		"hold_restored", 1
	},
	[OUTBOX_REL_DEAD_LETTER] = {
		STAGING_COLUMNS " reason:text! error:text dead_at:timestamptz!"
		" skipped:bool! gone_at:timestamptz",
		"dead_letter_queue_seq dead_letter_xid_seq dead_letter_id"
		" dead_letter_queue dead_letter_skipped", "hold_restored", 1
	},
	[OUTBOX_REL_RESEND_REQUEST] = {
		"queue:int4! since:timestamptz! upto:int8 done:int8!", "", NULL, 0
	},
	[OUTBOX_REL_QUEUE_TOTAL] = {
		"queue:int4! delivered:int8! failed:int8! dead_lettered:int8!"
		" expired:int8! cursor_key:text cursor_pos:text cursor_seq:int8"
		" cursor_count:int8",
		"queue_total_pkey", NULL, 0
	},
	[OUTBOX_REL_RETURNED] = {
		"n:int8! queue:int4! id:uuid! attempts:int2! digest:int8!"
		" due_at:timestamptz! history:jsonb",
		"returned_id returned_due", NULL, 0
	},
	[OUTBOX_REL_CONSUMER_POSITION] = {
		"queue:int4! address:text! redis_key:text! retry_id:text!"
		" dead_id:text!",
		"consumer_position_pkey", NULL, 0
	},
	[OUTBOX_REL_RUN] = {
		"number:int8! id:text! system:int8! timeline:int8! start:pg_lsn!"
		" place:text! server_version:int4! recorded_at:timestamptz!",
		"run_pkey", NULL, 0
	},
	[OUTBOX_REL_BACKFILL] = {
		"relation:oid! queue:int4! key:text! position:_text rows:int8!"
		" started_at:timestamptz! pid:int4! called_at:timestamptz!"
		" moved_at:timestamptz stopped_at:timestamptz finished_at:timestamptz",
		"backfill_pkey", NULL, 0
	},
	[OUTBOX_REL_RELAY_STATE] = {"source:uuid! database:oid! held:text held_why:text"
	" held_since:timestamptz restored:text", "", NULL, 0},
	[OUTBOX_REL_DELIVERY] = {
		"one:bool! enabled:bool! since:timestamptz!", "delivery_pkey", NULL, 1
	}
};

/* the epochs in which relations were found to have their shape */
static uint64 checked[OUTBOX_NRELATIONS];

/*
 * Is this one of the words of a list?
 */
static bool
is_among(const char *word, const char *list)
{
	size_t		len = strlen(word);

	for (const char *p = strstr(list, word); p != NULL; p = strstr(p + 1, word))
		if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

/*
 * The first word of a list that another list doesn't have; NULL if there is
 * none.
 */
static char *
first_missing(const char *list, const char *there)
{
	char	   *words = pstrdup(list);

	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		if (!is_among(word, there))
			return word;
	return NULL;
}

static char *
type_name(Oid type)
{
	HeapTuple	tup = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	char	   *result = "?";

	if (!HeapTupleIsValid(tup))
		return result;
	if (type < FirstUnpinnedObjectId)
		result = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tup))->typname));
	ReleaseSysCache(tup);
	return result;
}

static char *
column_fault(Relation rel, const char *columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData found;

	initStringInfo(&found);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			return "a column has been dropped";
		if (att->attgenerated != '\0' || att->attidentity != '\0')
			return psprintf("column \"%s\" is generated", NameStr(att->attname));
		appendStringInfo(&found, "%s%s:%s%s", i > 0 ? " " : "",
						 NameStr(att->attname), type_name(att->atttypid),
						 att->attnotnull ? "!" : "");
	}
	if (strcmp(found.data, columns) == 0)
		return NULL;
	if (first_missing(columns, found.data) != NULL)
		return psprintf("it has no column %s", first_missing(columns, found.data));
	return psprintf("it has a column %s", first_missing(found.data, columns));
}

static bool
is_not_built_in(Oid function, void *arg)
{
	return function >= FirstUnpinnedObjectId;
}

static bool
has_others_functions(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_not_built_in, arg) ||
		expression_tree_walker(node, has_others_functions, arg);
}

static char *
constraint_fault(Relation rel, int nchecks)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if ((constr != NULL ? constr->num_check : 0) != nchecks)
		return "it has other CHECK constraints";
	for (int i = 0; constr != NULL && i < constr->num_check; i++)
		if (has_others_functions(stringToNode(constr->check[i].ccbin), NULL))
			return psprintf("constraint \"%s\" is not outbox's",
							constr->check[i].ccname);
	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
		if (has_others_functions(stringToNode(constr->defval[i].adbin), NULL))
			return "a column has another default";
	return NULL;
}

/*
 * An expression of an index as it is in the catalog.  The relation cache has it
 * simplified, and to simplify it is to execute immutable functions.
 */
static Node *
index_node(Relation index, int column)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, column,
										&isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(value));
}

/*
 * An index of ours must be usable.  Another one must be such that inserting a
 * row can neither fail nor execute anything.
 */
static char *
index_fault(Relation index, bool ours, bool staging)
{
	Form_pg_index form = index->rd_index;
	Node	   *expressions = index_node(index, Anum_pg_index_indexprs);
	Node	   *predicate = index_node(index, Anum_pg_index_indpred);
	bool		computed = expressions != NULL || predicate != NULL;
	const char *name = RelationGetRelationName(index);

	if (ours && (!form->indisvalid || !form->indisready))
		return psprintf("index \"%s\" is not valid", name);
	if (!ours && (form->indisunique || form->indisexclusion || computed))
		return psprintf("index \"%s\" is not outbox's", name);
	if (has_others_functions(expressions, NULL) ||
		has_others_functions(predicate, NULL))
		return psprintf("index \"%s\" is not outbox's", name);
	if (ours && staging &&
		(index->rd_rel->relam != BTREE_AM_OID || computed ||
		 form->indisunique || form->indnatts != 3 || form->indnkeyatts != 3 ||
		 form->indkey.values[0] != Anum_xid ||
		 form->indkey.values[1] != Anum_queue ||
		 form->indkey.values[2] != Anum_seq))
		return psprintf("index \"%s\" is another one", name);
	return NULL;
}

static char *
indexes_fault(Relation rel, const char *ours, bool staging)
{
	List	   *indexes = RelationGetIndexList(rel);
	char	   *fault = NULL;
	StringInfoData found;
	ListCell   *lc;

	initStringInfo(&found);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		const char *name = RelationGetRelationName(index);

		if (fault == NULL)
			fault = index_fault(index, is_among(name, ours), staging);
		appendStringInfo(&found, " %s", name);
		index_close(index, AccessShareLock);
	}
	if (fault == NULL && first_missing(ours, found.data) != NULL)
		fault = psprintf("index \"%s\" is missing",
						 first_missing(ours, found.data));
	list_free(indexes);
	return fault;
}

/*
 * Is this trigger's function the one of this name that the extension made?
 */
static bool
is_our_function(Oid function, const char *name, Oid schema)
{
	HeapTuple	tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result;

	if (!HeapTupleIsValid(tup))
		return false;
	result = ((Form_pg_proc) GETSTRUCT(tup))->prolang == ClanguageId &&
		((Form_pg_proc) GETSTRUCT(tup))->pronamespace == schema &&
		strcmp(NameStr(((Form_pg_proc) GETSTRUCT(tup))->proname), name) == 0;
	ReleaseSysCache(tup);
	return result;
}

static char *
trigger_fault(Relation rel, const char *ours)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			schema = RelationGetNamespace(rel);
	bool		found = ours == NULL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		/* of a foreign key */
		if (trigger->tgisinternal)
			continue;
		if (trigger->tgqual == NULL &&
			is_our_function(trigger->tgfoid, "ignore_replicated", schema))
			continue;
		if (ours == NULL || trigger->tgqual != NULL ||
			!is_our_function(trigger->tgfoid, ours, schema))
			return psprintf("trigger \"%s\" is not outbox's", trigger->tgname);
		found = true;
	}
	return found ? NULL : psprintf("its trigger \"%s\" is missing", ours);
}

static char *
table_fault(Relation rel, const Shape *shape, bool staging)
{
	Form_pg_class form = rel->rd_rel;
	char	   *fault;

	if (form->relkind != RELKIND_RELATION || form->relam != HEAP_TABLE_AM_OID)
		return "it is not a heap table";
	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		return "it is not logged: a crash would empty it";
	if (rel->rd_rules != NULL)
		return "it has a rule";
	if (form->relrowsecurity || form->relforcerowsecurity)
		return "it has row security";
	if (form->relispartition ||
		(form->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL))
		return "it has children or is a partition";
	fault = column_fault(rel, shape->columns);
	if (fault == NULL)
		fault = constraint_fault(rel, shape->nchecks);
	if (fault == NULL)
		fault = indexes_fault(rel, shape->indexes, staging);
	if (fault == NULL)
		fault = trigger_fault(rel, shape->trigger);
	return fault;
}

/*
 * Numbers must be given out in their order, and be written to WAL.
 */
static char *
sequence_fault(Relation rel)
{
	HeapTuple	tup = SearchSysCache1(SEQRELID,
									  ObjectIdGetDatum(RelationGetRelid(rel)));
	Form_pg_sequence form;
	bool		ok;

	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return "it is not logged: a crash would reset it";
	if (!HeapTupleIsValid(tup))
		return "it is not a sequence";
	form = (Form_pg_sequence) GETSTRUCT(tup);
	ok = form->seqtypid == INT8OID && form->seqincrement == 1 &&
		form->seqcache == 1 && !form->seqcycle && form->seqmax == PG_INT64_MAX;
	ReleaseSysCache(tup);
	return ok ? NULL : "increment, cache, maximum or cycle have been changed";
}

static char *
shape_fault(Relation rel, OutboxRelation which)
{
	bool		sequence = which == OUTBOX_REL_SEQ ||
	which == OUTBOX_REL_DELIVERED || which == OUTBOX_REL_RETURNED_N || which == OUTBOX_REL_APPLIED;
	char	   *fault;

	if (sequence)
		fault = sequence_fault(rel);
	else if (shapes[which].columns != NULL)
		fault = table_fault(rel, &shapes[which],
							which == OUTBOX_REL_STAGING_1 ||
							which == OUTBOX_REL_STAGING_2);
	else
		return NULL;
	return fault == NULL ? NULL :
		psprintf("%s.%s has been changed by hand: %s", OUTBOX_SCHEMA,
				 RelationGetRelationName(rel), fault);
}

bool
outbox_shape_is_checked(OutboxRelation which)
{
	return checked[which] == outbox_catalog_epoch();
}

char *
outbox_check_shape(Relation rel, OutboxRelation which)
{
	uint64		now = outbox_catalog_epoch();
	char	   *fault = shape_fault(rel, which);

	if (fault == NULL)
		checked[which] = now;
	return fault;
}

void
outbox_need_shape(Relation rel, OutboxRelation which)
{
	char	   *fault;

	if (outbox_shape_is_checked(which))
		return;
	fault = outbox_check_shape(rel, which);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", fault),
				 errhint("Undo that change.  If outbox was updated, restart the server and run ALTER EXTENSION outbox UPDATE.")));
}
