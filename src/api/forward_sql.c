/*-------------------------------------------------------------------------
 *
 * forward_sql.c
 *	  outbox_forward_watermill() and outbox_unforward_watermill().
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The trigger that is made here is in forward.c.
 *
 *-------------------------------------------------------------------------
 */
#include "api/triggers.h"

#include "access/table.h"
#include "api/args.h"
#include "api/topic_queues.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(outbox_forward_watermill);
PG_FUNCTION_INFO_V1(outbox_unforward_watermill);

/*
 * Has the table a column with envelopes?
 */
static void
check_topic_table(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), "payload") == 0 &&
			(att->atttypid == JSONOID || att->atttypid == JSONBOID ||
			 att->atttypid == BYTEAOID))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a topic table of watermill-sql",
					RelationGetRelationName(rel)),
			 errdetail("It has no column \"payload\" of type json, jsonb or bytea.")));
}

/*
 * Returns the settings as the trigger's argument; they are what queues are made
 * with.
 */
static char *
settings_argument(FunctionCallInfo fcinfo, Oid owner)
{
	Jsonb	   *settings;

	if (PG_ARGISNULL(1))
		return "";
	settings = PG_GETARG_JSONB_P(1);
	outbox_check_topic_queues(get_func_namespace(fcinfo->flinfo->fn_oid), settings,
							  GetUserId(), owner);
	return quote_literal_cstr(DatumGetCString(DirectFunctionCall1(jsonb_out,
																  JsonbPGetDatum(settings))));
}

/*
 * outbox_forward_watermill(topic_table, settings)
 */
Datum
outbox_forward_watermill(PG_FUNCTION_ARGS)
{
	Oid			function = outbox_trigger_function(fcinfo, "outbox_forward_watermill_row");
	Relation	rel;

	PreventCommandIfReadOnly("outbox_forward_watermill()");
	outbox_need_arg(fcinfo, 0, "topic_table");
	rel = outbox_open_for_trigger(PG_GETARG_OID(0));
	check_topic_table(rel);
	outbox_run_command(psprintf("CREATE TRIGGER outbox_forward_watermill BEFORE INSERT ON %s"
								" FOR EACH ROW EXECUTE FUNCTION %s(%s)",
								outbox_relation_name(rel), outbox_function_name(function),
								settings_argument(fcinfo, rel->rd_rel->relowner)));
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * outbox_unforward_watermill(topic_table)
 */
Datum
outbox_unforward_watermill(PG_FUNCTION_ARGS)
{
	Oid			function = outbox_trigger_function(fcinfo, "outbox_forward_watermill_row");

	PreventCommandIfReadOnly("outbox_unforward_watermill()");
	outbox_need_arg(fcinfo, 0, "topic_table");
	if (!outbox_drop_triggers(PG_GETARG_OID(0), function, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not forwarded",
						get_rel_name(PG_GETARG_OID(0)))));
	PG_RETURN_VOID();
}
