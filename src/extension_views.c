/*-------------------------------------------------------------------------
 *
 * extension_views.c
 *	  Have queues' views dropped with the extension.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The views in schema outbox_queues are no members of the extension, as pg_dump
 * has to dump them with their grants.  They depend on it in the way of DEPENDS ON
 * EXTENSION.  For a view there is no such command, so pg_dump cannot dump that: a
 * view that pg_upgrade or a restore of the schema alone has made does not depend
 * on the extension until its queue is altered.  So DROP EXTENSION begins with
 * looking for such views.
 *
 * A view is found by its name, so one that its owner renames, or moves to another
 * schema, would be missing: that is refused, unless it is done by a function of
 * ours, which are security-restricted operations.
 *
 *-------------------------------------------------------------------------
 */
#include "extension_views.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

void
outbox_depend_on_extension(Oid view)
{
	ObjectAddress self;
	ObjectAddress extension;

	if (getAutoExtensionsOfObject(RelationRelationId, view) != NIL)
		return;
	ObjectAddressSet(self, RelationRelationId, view);
	ObjectAddressSet(extension, ExtensionRelationId,
					 get_extension_oid(OUTBOX_EXTENSION, false));
	recordDependencyOn(&self, &extension, DEPENDENCY_AUTO_EXTENSION);
}

/*
 * The function of the views' triggers; InvalidOid if it is gone.
 */
static Oid
trigger_function(void)
{
	Oid			schema = get_namespace_oid(OUTBOX_SCHEMA, true);

	return !OidIsValid(schema) ? InvalidOid :
		GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						CStringGetDatum("queue_insert"),
						PointerGetDatum(buildoidvector(NULL, 0)),
						ObjectIdGetDatum(schema));
}

void
outbox_views_depend_on_extension(void)
{
	Oid			function = trigger_function();
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tup;

	if (!OidIsValid(function))
		return;
	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgfoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
		outbox_depend_on_extension(((Form_pg_trigger) GETSTRUCT(tup))->tgrelid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommandCounterIncrement();
}

/*
 * Returns the relation that a command renames or moves; NULL if it does neither.
 */
static const RangeVar *
renamed_relation(Node *command)
{
	if (IsA(command, RenameStmt) &&
		(((RenameStmt *) command)->renameType == OBJECT_VIEW ||
		 ((RenameStmt *) command)->renameType == OBJECT_TABLE))
		return ((RenameStmt *) command)->relation;
	if (IsA(command, AlterObjectSchemaStmt) &&
		(((AlterObjectSchemaStmt *) command)->objectType == OBJECT_VIEW ||
		 ((AlterObjectSchemaStmt *) command)->objectType == OBJECT_TABLE))
		return ((AlterObjectSchemaStmt *) command)->relation;
	return NULL;
}

void
outbox_views_keep_their_names(Node *command)
{
	const RangeVar *name = renamed_relation(command);
	Oid			view;

	if (name == NULL || InSecurityRestrictedOperation())
		return;
	view = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(view) || get_rel_relkind(view) != RELKIND_VIEW ||
		get_rel_namespace(view) != get_namespace_oid(OUTBOX_VIEWS, true) ||
		!OidIsValid(trigger_function()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("view %s.%s cannot be renamed", OUTBOX_VIEWS,
					quote_identifier(get_rel_name(view))),
			 errdetail("It has the rights on a queue, and is found by its name."),
			 errhint("outbox_alter_queue() with the setting \"name\" renames a queue and its view.")));
}
