/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  Our triggers on users' tables: make and drop them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Triggers are made by CREATE TRIGGER and removed by DROP TRIGGER, with the
 * caller's rights.  So the server checks the rights on the table and on the
 * trigger's function, calls event triggers, clones triggers to partitions and
 * records dependencies.  There is no other record of a trigger and its
 * arguments, so nothing can disagree with them, and pg_dump dumps them.
 *
 * Such a trigger enqueues with the right of the table's owner, which is looked at
 * for each message: PostgreSQL knows the owner of a table, and not who has made a
 * trigger.  Like any trigger, it runs for everybody who writes to the table, and
 * they need no right.
 *
 *-------------------------------------------------------------------------
 */
#include "api/triggers.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

Oid
outbox_trigger_function(FunctionCallInfo fcinfo, const char *name)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	oidvector  *none = buildoidvector(NULL, 0);
	Oid			result = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum(name),
										 PointerGetDatum(none),
										 ObjectIdGetDatum(schema));

	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s() does not exist",
						quote_qualified_identifier(get_namespace_name(schema),
												   name))));
	return result;
}

char *
outbox_function_name(Oid function)
{
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
									  get_func_name(function));
}

char *
outbox_relation_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

char *
outbox_operator_name(Oid operator)
{
	HeapTuple	tup = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tup);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tup);
	return result;
}

Relation
outbox_open_for_trigger(Oid relid)
{
	AclResult	may = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (may != ACLCHECK_OK)
		aclcheck_error(may, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
	return table_open(relid, ShareRowExclusiveLock);
}

void
outbox_run_command(const char *command)
{
	SPI_connect();
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", command);
	SPI_finish();
}

bool
outbox_is_trigger(const Trigger *trigger, Oid function, const char *first_arg)
{
	return trigger->tgfoid == function &&
		(first_arg == NULL ||
		 (trigger->tgnargs > 0 && strcmp(trigger->tgargs[0], first_arg) == 0));
}

/*
 * The catalog is read, and not the tables' relcache entries, as that would have to
 * wait for whoever has locked one of the tables.
 */
List *
outbox_tables_with_trigger(Oid function, const char *first_arg)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;
	List	   *result = NIL;

	/* there is no index by function; a new snapshot sees what was committed */
	ScanKeyInit(&key, Anum_pg_trigger_tgfoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tup);
		bool		isnull;
		Datum		args = heap_getattr(tup, Anum_pg_trigger_tgargs,
										RelationGetDescr(rel), &isnull);

		/* each argument ends in a zero byte */
		if (!OidIsValid(trigger->tgparentid) && trigger->tgnargs > 0 &&
			strcmp(VARDATA_ANY(DatumGetByteaPP(args)), first_arg) == 0)
			result = list_append_unique_oid(result, trigger->tgrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * Returns the commands that drop triggers.  A clone on a partition is left out,
 * as it is dropped with its parent's trigger.
 */
static List *
drop_commands(Oid relid, Oid function, const char *first_arg)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	List	   *result = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (outbox_is_trigger(trigger, function, first_arg) &&
			!trigger->tgisclone)
			result = lappend(result,
							 psprintf("DROP TRIGGER %s ON %s",
									  quote_identifier(trigger->tgname),
									  outbox_relation_name(rel)));
	}
	table_close(rel, AccessShareLock);
	return result;
}

bool
outbox_drop_triggers(Oid relid, Oid function, const char *first_arg)
{
	List	   *commands = drop_commands(relid, function, first_arg);
	ListCell   *lc;

	foreach(lc, commands)
		outbox_run_command(lfirst(lc));
	return commands != NIL;
}
