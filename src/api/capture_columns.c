/*-------------------------------------------------------------------------
 *
 * capture_columns.c
 *	  Which columns of a table a capture writes.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A capture's trigger has names of columns as its arguments.  They are looked
 * up when outbox_capture() is called, to refuse wrong ones, and again in each
 * statement that fires the trigger.  So a dump can be restored, and a partition
 * may have its columns in another order.  If a column is gone the statement
 * fails, as consumers would miss the column otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_columns.h"

#include "access/htup_details.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * Read a list of names, an argument of the trigger.
 */
static List *
read_names(const char *array, const char *what)
{
	Datum		value = OidInputFunctionCall(F_ARRAY_IN, pstrdup(array), TEXTOID,
											 -1);
	List	   *result = NIL;
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", what)));
		result = lappend(result, TextDatumGetCString(elems[i]));
	}
	return result;
}

static AttrNumber
find_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;
		if (att->attgenerated == OUTBOX_GENERATED_VIRTUAL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" cannot be captured",
							name, RelationGetRelationName(rel)),
					 errdetail("It is a virtual generated column, which has no value when a trigger runs.")));
		return att->attnum;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of table \"%s\" does not exist",
					name, RelationGetRelationName(rel)),
			 errhint("If it was renamed or dropped, call outbox_uncapture() and outbox_capture() again.")));
	return InvalidAttrNumber;	/* keep compiler quiet */
}

static List *
find_columns(Relation rel, List *names)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
		result = lappend_int(result, find_column(rel, lfirst(lc)));
	return result;
}

static List *
all_columns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated != OUTBOX_GENERATED_VIRTUAL)
			result = lappend_int(result, att->attnum);
	}
	return result;
}

static List *
primary_key(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tup = SearchSysCache1(INDEXRELID,
										  ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tup))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tup);
		if (index->indisprimary)
			for (int i = 0; i < index->indnkeyatts; i++)
				result = lappend_int(result, index->indkey.values[i]);
		ReleaseSysCache(tup);
	}
	if (result == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(rel)),
				 errhint("Name the columns that tell rows apart, as key => '{...}'; with key => '{}' messages have no key.")));
	return result;
}

OutboxCapture *
outbox_capture_resolve(Relation rel, const char *columns, const char *key)
{
	OutboxCapture *result = palloc0(sizeof(OutboxCapture));
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *captured = columns[0] == '\0' ? all_columns(rel) :
	find_columns(rel, read_names(columns, "columns"));
	List	   *keys = key[0] == '\0' ? primary_key(rel) :
	find_columns(rel, read_names(key, "key"));
	ListCell   *lc;

	if (captured == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must not be empty")));

	result->columns = palloc0(desc->natts * sizeof(OutboxJsonColumn));
	result->captured = palloc0(desc->natts * sizeof(bool));
	result->key = palloc0(list_length(keys) * sizeof(int));
	for (int attnum = 1; attnum <= desc->natts; attnum++)
	{
		int			n = result->ncolumns;

		if (!list_member_int(captured, attnum) && !list_member_int(keys, attnum))
			continue;
		outbox_json_column(&result->columns[n], TupleDescAttr(desc, attnum - 1));
		result->captured[n] = list_member_int(captured, attnum);
		result->ncolumns++;
	}
	foreach(lc, keys)
	{
		int			n = 0;

		while (result->columns[n].attnum != lfirst_int(lc))
			n++;
		result->key[result->nkey++] = n;
	}
	return result;
}
