/*-------------------------------------------------------------------------
 *
 * queue_view.c
 *	  Make, rename and drop queues' views.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The trigger on outbox.queue comes here for each row that is inserted, updated
 * or deleted, whoever does it.  So each queue has its view, and an update of a
 * queue makes a view again that somebody has dropped.
 *
 * The views are no members of the extension: pg_dump must dump them, with the
 * grants.  They depend on it in the way of DEPENDS ON EXTENSION, and so go with
 * it.
 *
 * pg_restore makes the views, loads outbox.queue, and then makes the views'
 * triggers and grants the rights.  So a view without our trigger is left alone.
 * A view with the trigger of another queue is what is left of that one, under a
 * name that a long name or an id has brought back; its grants are not for this
 * queue.
 *
 * The type of a view's column cannot be changed.  If the payload type changes,
 * the view is made anew, and gets the access control list of the old one as it
 * was, with who granted what.
 *
 * Our commands run as the owner of the schema, in a security-restricted
 * operation, see owner.c.  The tables' owner may be another role, which need not
 * have the right to create something there.
 *
 * Whoever enqueues waits behind us while we wait for the lock of a view.  So we
 * do not wait for long.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_view.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "api/args.h"
#include "api/queue_server.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "extension_views.h"
#include "miscadmin.h"
#include "queue/queue.h"
#include "queue/view.h"
#include "store/query.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* how long to wait for the lock of a view */
#define LOCK_TIMEOUT "500ms"

PG_FUNCTION_INFO_V1(outbox_queue_view);

/* a row of outbox.queue, as far as its view shows it */
typedef struct QueueRow
{
	int32		id;
	char	   *name;
	char	   *payload_type;
	char	   *server;			/* NULL: it has none, and so the next */
	char	   *moving_from;
} QueueRow;

/* a relation that has the name of a queue's view */
typedef struct View
{
	Oid			oid;			/* InvalidOid: there is none */
	bool		is_view;
	char	   *queue;			/* of its trigger; NULL: it has none of ours */
	Oid			payload_type;	/* of its first column */
} View;

static QueueRow
read_row(HeapTuple tup, TupleDesc desc)
{
	QueueRow	row;

	row.id = pg_strtoint32(SPI_getvalue(tup, desc, SPI_fnumber(desc, "id")));
	row.name = SPI_getvalue(tup, desc, SPI_fnumber(desc, "name"));
	row.payload_type = SPI_getvalue(tup, desc, SPI_fnumber(desc, "payload_type"));
	row.server = SPI_getvalue(tup, desc, SPI_fnumber(desc, "server"));
	row.moving_from = SPI_getvalue(tup, desc, SPI_fnumber(desc, "moving_from"));
	return row;
}

static char *
full_name(const QueueRow *row)
{
	return outbox_view_full_name(row->id, row->name);
}

static bool
is_our_trigger(const Trigger *trigger)
{
	char	   *name = get_func_name(trigger->tgfoid);

	return trigger->tgnargs == 1 && name != NULL &&
		strcmp(name, "queue_insert") == 0 &&
		get_func_namespace(trigger->tgfoid) ==
		get_rel_namespace(outbox_relid(OUTBOX_REL_QUEUE));
}

static View
look_at(const QueueRow *row)
{
	View		view = {0};
	Relation	rel;

	view.oid = get_relname_relid(outbox_view_name(row->id, row->name),
								 get_namespace_oid(OUTBOX_VIEWS, false));
	if (!OidIsValid(view.oid))
		return view;
	rel = relation_open(view.oid, AccessShareLock);
	view.is_view = rel->rd_rel->relkind == RELKIND_VIEW;
	if (RelationGetNumberOfAttributes(rel) > 0)
		view.payload_type = TupleDescAttr(RelationGetDescr(rel), 0)->atttypid;
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		if (is_our_trigger(&rel->trigdesc->triggers[i]))
			view.queue = pstrdup(rel->trigdesc->triggers[i].tgargs[0]);
	relation_close(rel, AccessShareLock);
	return view;
}

static Oid
payload_oid(const QueueRow *row)
{
	return strcmp(row->payload_type, "json") == 0 ? JSONOID :
		strcmp(row->payload_type, "text") == 0 ? TEXTOID : BYTEAOID;
}

static void
run(const char *command)
{
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", command);
}

static void
create_trigger(const QueueRow *row)
{
	run(psprintf("CREATE TRIGGER enqueue INSTEAD OF INSERT ON %s"
				 " FOR EACH ROW EXECUTE FUNCTION outbox.queue_insert(%s)",
				 full_name(row), quote_literal_cstr(row->name)));
	run(psprintf("COMMENT ON VIEW %s IS %s", full_name(row),
				 quote_literal_cstr(psprintf("what is inserted here is enqueued to queue \"%s\"",
											 row->name))));
}

/*
 * The view is empty, so everybody may see it: INSERT ... RETURNING needs that.
 */
static void
create(const QueueRow *row)
{
	run(psprintf("CREATE VIEW %s AS SELECT NULL::pg_catalog.%s AS payload,"
				 " NULL::pg_catalog.text AS type, NULL::pg_catalog.text AS key,"
				 " NULL::pg_catalog.jsonb AS headers, NULL::pg_catalog.uuid AS id,"
				 " NULL::pg_catalog.timestamptz AS deliver_at,"
				 " NULL::pg_catalog.jsonb AS options WHERE false",
				 full_name(row), row->payload_type));
	run(psprintf("GRANT SELECT ON %s TO PUBLIC", full_name(row)));
	create_trigger(row);
	outbox_depend_on_extension(look_at(row).oid);
}

/*
 * Somebody has made something that depends on the view.
 */
static void
is_needed(const QueueRow *row, const ErrorData *error)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("other objects depend on the view of queue \"%s\"", row->name),
			 errdetail("The view %s has to be dropped. %s", full_name(row),
					   error->detail != NULL ? error->detail : ""),
			 errhint("Drop these objects first; after a change of the queue they can be made again.")));
}

static void
drop(const QueueRow *row)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		run(psprintf("DROP VIEW %s", full_name(row)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
			PG_RE_THROW();
		FlushErrorState();
		is_needed(row, error);
	}
	PG_END_TRY();
}

/*
 * Returns the view's access control list, or NULL if it is the default.
 */
static Acl *
acl_of(HeapTuple tup)
{
	bool		isnull;
	Datum		acl = SysCacheGetAttr(RELOID, tup, Anum_pg_class_relacl, &isnull);

	return isnull ? NULL : DatumGetAclPCopy(acl);
}

static void
set_acl(Oid view, Acl *acl)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	old = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	int			column = Anum_pg_class_relacl;
	Datum		value = PointerGetDatum(acl);
	bool		isnull = acl == NULL;
	Oid		   *before;
	Oid		   *after;
	int			nbefore;
	int			nafter;
	HeapTuple	new;

	if (!HeapTupleIsValid(old))
		elog(ERROR, "cache lookup failed for relation %u", view);
	nbefore = aclmembers(acl_of(old), &before);
	nafter = aclmembers(acl, &after);
	new = heap_modify_tuple_by_cols(old, RelationGetDescr(rel), 1, &column,
									&value, &isnull);
	CatalogTupleUpdate(rel, &new->t_self, new);
	updateAclDependencies(RelationRelationId, view, 0,
						  ((Form_pg_class) GETSTRUCT(old))->relowner,
						  nbefore, before, nafter, after);
	ReleaseSysCache(old);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
make_anew(const QueueRow *row, Oid view)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Acl		   *acl;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", view);
	acl = acl_of(tup);
	ReleaseSysCache(tup);
	drop(row);
	create(row);
	set_acl(look_at(row).oid, acl);
}

static void
move(const QueueRow *old, const QueueRow *new)
{
	View		view = look_at(old);
	char	   *name = outbox_view_name(new->id, new->name);

	if (view.queue == NULL || strcmp(view.queue, old->name) != 0)
		return;
	if (strcmp(outbox_view_name(old->id, old->name), name) != 0)
	{
		if (OidIsValid(look_at(new).oid))
			drop(new);
		run(psprintf("ALTER VIEW %s RENAME TO %s", full_name(old),
					 quote_identifier(name)));
	}
	if (strcmp(old->name, new->name) == 0)
		return;
	run(psprintf("DROP TRIGGER enqueue ON %s", full_name(new)));
	create_trigger(new);
}

/*
 * Make the view as the row wants it, unless it is already.
 */
static void
make(const QueueRow *row)
{
	View		view = look_at(row);

	if (!OidIsValid(view.oid))
		create(row);
	else if (view.queue == NULL)
	{
		if (view.is_view)
			outbox_depend_on_extension(view.oid);
	}
	else if (strcmp(view.queue, row->name) != 0)
	{
		drop(row);
		create(row);
	}
	else if (view.payload_type != payload_oid(row))
		make_anew(row, view.oid);
	else
		outbox_depend_on_extension(view.oid);
}

static void
make_it_depend(const QueueRow *row)
{
	View		view = look_at(row);

	if (view.is_view)
		outbox_depend_on_servers(view.oid, row->server, row->moving_from);
}

static void
drop_if_ours(const QueueRow *row)
{
	View		view = look_at(row);

	if (view.queue != NULL && strcmp(view.queue, row->name) == 0)
		drop(row);
}

static Oid
owner_of_views(void)
{
	HeapTuple	tup = SearchSysCache1(NAMESPACEOID,
									  ObjectIdGetDatum(get_namespace_oid(OUTBOX_VIEWS, false)));
	Oid			result;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for schema \"%s\"", OUTBOX_VIEWS);
	result = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	ReleaseSysCache(tup);
	return result;
}

/*
 * To be called with SPI connected as the owner of our tables.
 */
static void
become_owner_of_views(void)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner_of_views(), context);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
follow(const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	QueueRow	row = read_row(trigger->tg_trigtuple, desc);

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		drop_if_ours(&row);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		QueueRow	new = read_row(trigger->tg_newtuple, desc);

		if (strcmp(row.name, new.name) != 0 || row.id != new.id)
			move(&row, &new);
		make(&new);
		make_it_depend(&new);
	}
	else
	{
		make(&row);
		make_it_depend(&row);
	}
}

static void
drop_all(void)
{
	uint64		n;
	SPITupleTable *views;

	n = outbox_query("SELECT t.tgrelid::pg_catalog.regclass FROM pg_catalog.pg_trigger AS t"
					 " JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid"
					 " WHERE c.relnamespace = '" OUTBOX_VIEWS "'::pg_catalog.regnamespace"
					 " AND t.tgfoid = 'outbox.queue_insert'::pg_catalog.regproc",
					 NULL, 0);
	views = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
		run(psprintf("DROP VIEW %s", SPI_getvalue(views->vals[i], views->tupdesc, 1)));
}

void
outbox_views_follow(const TriggerData *trigger)
{
	OutboxCaller caller;
	bool		was_creating = creating_extension;

	outbox_connect(&caller);
	become_owner_of_views();

	/* the extension whose script creates a queue does not own the view */
	creating_extension = false;
	PG_TRY();
	{
		if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
			follow(trigger);
		else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
			drop_all();
	}
	PG_FINALLY();
	{
		creating_extension = was_creating;
	}
	PG_END_TRY();
	outbox_finish(&caller);
}

/*
 * outbox.queue_view(queue), for outbox_grant() and outbox_revoke(): null if
 * somebody has dropped the view
 */
Datum
outbox_queue_view(PG_FUNCTION_ARGS)
{
	char	   *name = outbox_needed_text_arg(fcinfo, 0, "queue");
	const OutboxQueue *queue = outbox_queue_find_or_error(name);
	Oid			view = outbox_view_find(queue->id, queue->name);

	if (!OidIsValid(view))
		PG_RETURN_NULL();
	PG_RETURN_OID(view);
}
