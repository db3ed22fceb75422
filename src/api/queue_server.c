/*-------------------------------------------------------------------------
 *
 * queue_server.c
 *	  The server of a queue.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.queue has the server's name, so a dump of it can be loaded where the server
 * has another oid.  That the server is needed is known to PostgreSQL by the queue's
 * view, which depends on it: DROP SERVER and DROP OWNED say so, and CASCADE drops
 * the view.  ALTER SERVER ... RENAME renames it in outbox.queue as well
 * (server_ddl.c).
 *
 * Who has a queue delivered somewhere needs USAGE on that server, as it is for
 * foreign tables.  The default server is everybody's who may create queues.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_server.h"

#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "compat.h"
#include "miscadmin.h"
#include "redis_server.h"
#include "utils/acl.h"

const char *
outbox_check_server(const char *name)
{
	Oid			server;
	AclResult	result;

	if (name == NULL)
		return NULL;
	server = outbox_find_redis_server(name);
	if (!OidIsValid(server) && strcmp(name, OUTBOX_DEFAULT_SERVER) == 0)
		return NULL;
	if (!OidIsValid(server))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errdetail("There is no server of this name that has the foreign-data wrapper \"outbox\"."),
				 errhint("Create it with CREATE SERVER ... FOREIGN DATA WRAPPER outbox OPTIONS (url ...).")));
	result = outbox_server_acl(server, GetUserId());
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, name);
	return strcmp(name, OUTBOX_DEFAULT_SERVER) == 0 ? NULL : name;
}

static void
depend_on(Oid view, const char *name)
{
	Oid			server = name == NULL || name[0] == '\0' ? InvalidOid :
	outbox_find_redis_server(name);
	ObjectAddress self;
	ObjectAddress other;

	/* edited by hand, or not there yet: the relay says so */
	if (!OidIsValid(server))
		return;
	ObjectAddressSet(self, RelationRelationId, view);
	ObjectAddressSet(other, ForeignServerRelationId, server);
	recordDependencyOn(&self, &other, DEPENDENCY_NORMAL);
}

void
outbox_depend_on_servers(Oid view, const char *server, const char *moving_from)
{
	if (!OidIsValid(view))
		return;
	(void) deleteDependencyRecordsForClass(RelationRelationId, view,
										   ForeignServerRelationId,
										   DEPENDENCY_NORMAL);
	depend_on(view, server);
	depend_on(view, moving_from);
}
