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
 * An update of the primary key is told, also where no message has its columns:
 * a backfill goes by the primary key, and would not find a row that has moved
 * behind it.
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
#include "utils/fmgrprotos.h"
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

List *
outbox_primary_key(Relation rel)
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
	return result;
}

static List *
needed_primary_key(Relation rel)
{
	List	   *result = outbox_primary_key(rel);

	if (result == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(rel)),
				 errhint("Name the columns that tell rows apart, as key => '{...}'; with key => '{}' messages have no key.")));
	return result;
}

static OutboxCaptureSettings
read_settings(const char *json)
{
	Datum		jsonb;

	if (json[0] == '\0')
		return outbox_read_capture_settings(NULL);
	jsonb = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
	return outbox_read_capture_settings((struct varlena *) DatumGetPointer(jsonb));
}

/*
 * Fill in the columns that are in one of the lists.
 */
static void
add_columns(OutboxCapture *capture, Relation rel, List *captured, List *keys,
			List *primary)
{
	TupleDesc	desc = RelationGetDescr(rel);

	capture->columns = palloc0(desc->natts * sizeof(OutboxJsonColumn));
	capture->captured = palloc0(desc->natts * sizeof(bool));
	capture->identifies = palloc0(desc->natts * sizeof(bool));
	for (int attnum = 1; attnum <= desc->natts; attnum++)
	{
		int			n = capture->ncolumns;
		bool		is_key = list_member_int(keys, attnum) ||
		list_member_int(primary, attnum);

		if (!list_member_int(captured, attnum) && !is_key)
			continue;
		outbox_json_column(&capture->columns[n], TupleDescAttr(desc, attnum - 1));
		outbox_json_as_text(&capture->columns[n], capture->settings.bigint_text,
							capture->settings.numeric_text);
		capture->captured[n] = list_member_int(captured, attnum);
		capture->identifies[n] = is_key;
		capture->ncolumns++;
	}
}

static const char *
argument(char *const *args, int n)
{
	return args[n] != NULL ? args[n] : "";
}

OutboxCapture *
outbox_capture_resolve(Relation rel, char *const *args)
{
	OutboxCapture *result = palloc0(sizeof(OutboxCapture));
	const char *columns = argument(args, OUTBOX_CAPTURE_COLUMNS);
	const char *key = argument(args, OUTBOX_CAPTURE_KEY);
	List	   *captured = columns[0] == '\0' ? all_columns(rel) :
	find_columns(rel, read_names(columns, "columns"));
	List	   *keys = key[0] == '\0' ? needed_primary_key(rel) :
	find_columns(rel, read_names(key, "key"));
	ListCell   *lc;

	if (captured == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must not be empty")));
	result->settings = read_settings(argument(args, OUTBOX_CAPTURE_SETTINGS));
	add_columns(result, rel, captured, keys, outbox_primary_key(rel));
	result->key = palloc0(list_length(keys) * sizeof(int));
	foreach(lc, keys)
	{
		int			n = 0;

		while (result->columns[n].attnum != lfirst_int(lc))
			n++;
		result->key[result->nkey++] = n;
	}
	return result;
}
