/*-------------------------------------------------------------------------
 *
 * query.c
 *	  SQL with named parameters, by SPI.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Names are replaced by numbers before PostgreSQL sees the statement.  In
 * PostgreSQL's syntax $ followed by a letter can only begin a dollar-quoted
 * string, and our statements have none.
 *
 * SPI runs all statements as not read-only, so that a statement sees the
 * effects of those before it in the same transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "store/query.h"

#include "convert.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

static int
find_param(const char *name, size_t len, const OutboxParam *params, int nparams)
{
	for (int i = 0; i < nparams; i++)
		if (strlen(params[i].name) == len &&
			memcmp(params[i].name, name, len) == 0)
			return i;
	elog(ERROR, "there is no parameter \"%.*s\"", (int) len, name);
	return -1;
}

static char *
number_params(const char *sql, const OutboxParam *params, int nparams)
{
	StringInfoData result;

	initStringInfo(&result);
	while (*sql != '\0')
	{
		size_t		len = 0;

		appendStringInfoChar(&result, *sql);
		if (*sql++ != '$')
			continue;
		while ((sql[len] >= 'a' && sql[len] <= 'z') || sql[len] == '_')
			len++;
		if (len > 0)
			appendStringInfo(&result, "%d",
							 find_param(sql, len, params, nparams) + 1);
		sql += len;
	}
	return result.data;
}

static void
split_params(const OutboxParam *params, int nparams, Oid *types,
			 Datum *values, char *nulls)
{
	for (int i = 0; i < nparams; i++)
	{
		types[i] = params[i].type;
		values[i] = params[i].value;
		nulls[i] = params[i].is_null ? 'n' : ' ';
	}
}

void
outbox_connect(OutboxCaller *caller)
{
	outbox_become_owner(caller);
	SPI_connect();
}

void
outbox_finish(const OutboxCaller *caller)
{
	SPI_finish();
	outbox_become_caller(caller);
}

uint64
outbox_query(const char *sql, const OutboxParam *params, int nparams)
{
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	char	   *nulls = palloc(nparams + 1);
	int			result;

	split_params(params, nparams, types, values, nulls);
	result = SPI_execute_with_args(number_params(sql, params, nparams),
								   nparams, types, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

uint64
outbox_query_planned(SPIPlanPtr *plan, const char *sql, const OutboxParam *params,
					 int nparams)
{
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	char	   *nulls = palloc(nparams + 1);
	int			result;

	split_params(params, nparams, types, values, nulls);
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare_cursor(number_params(sql, params, nparams),
												  nparams, types,
												  CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL)
			elog(ERROR, "SPI_prepare_cursor failed: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	result = SPI_execute_plan(*plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

uint64
outbox_query_latest(const char *sql, const OutboxParam *params, int nparams)
{
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	char	   *nulls = palloc(nparams + 1);
	SPIPlanPtr	plan;

	split_params(params, nparams, types, values, nulls);
	plan = SPI_prepare(number_params(sql, params, nparams), nparams, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(),
						 InvalidSnapshot, false, true, 0);
	SPI_freeplan(plan);
	return SPI_processed;
}

Portal
outbox_query_cursor(const char *sql, const OutboxParam *params, int nparams)
{
	Oid		   *types = palloc((nparams + 1) * sizeof(Oid));
	Datum	   *values = palloc((nparams + 1) * sizeof(Datum));
	char	   *nulls = palloc(nparams + 1);

	split_params(params, nparams, types, values, nulls);
	return SPI_cursor_open_with_args(NULL, number_params(sql, params, nparams),
									 nparams, types, values, nulls, false, 0);
}

Datum
outbox_result(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

int64
outbox_result_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = outbox_result(row, column, &isnull);

	if (isnull)
		return 0;
	switch (SPI_gettypeid(SPI_tuptable->tupdesc, column))
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
		case XID8OID:
		case TIMESTAMPTZOID:
			return DatumGetInt64(value);
	}
	elog(ERROR, "column %d is not a number", column);
	return 0;
}

Datum
outbox_tid_array(Datum *tids, int n)
{
	return PointerGetDatum(construct_array(tids, n, TIDOID, sizeof(ItemPointerData),
										   false, TYPALIGN_SHORT));
}

Datum
outbox_int8_array(const uint64 *numbers, int n)
{
	Datum	   *values = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum((int64) numbers[i]);
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
outbox_xid_text(uint64 xid)
{
	char		text[OUTBOX_UINT64_SIZE];

	(void) outbox_uint64_text(xid, text);
	return CStringGetTextDatum(text);
}

uint64
outbox_query_in_order(SPIPlanPtr *plan, const char *sql, const OutboxParam *params,
					  int nparams)
{
	int			level = NewGUCNestLevel();
	uint64		n;

	(void) set_config_option("enable_sort", "off", PGC_USERSET,
							 PGC_S_OVERRIDE, GUC_ACTION_SAVE, true, 0, false);
	n = outbox_query_planned(plan, sql, params, nparams);
	AtEOXact_GUC(true, level);
	return n;
}
