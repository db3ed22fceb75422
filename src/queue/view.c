/*-------------------------------------------------------------------------
 *
 * view.c
 *	  The views in schema outbox_queues, which carry the rights on queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * INSERT on a queue's view is the right to enqueue to the queue, whichever way
 * it is done.  So GRANT, membership in roles, dumps, DROP OWNED and \dp need
 * nothing of ours.  The views are made and dropped by api/queue_view.c.
 *
 * A queue's view has the queue's name, unless that is too long for a relation:
 * then the queue's id makes the name.  A queue whose own name looks like that is
 * treated in the same way, and so no two queues have views of the same name.
 *
 * Nobody but the owner of the schema may create anything there.  So a view is
 * trusted by its name.
 *
 * The OID of the view is cached with the queue.  Changes of a queue begin a new
 * epoch of the catalog; somebody who drops a view or makes it again by hand does
 * not, so what is not there is looked up again.
 *
 * A queue whose view was dropped by hand has no rights that could be looked at.
 * The owner and superusers may go on.
 *
 *-------------------------------------------------------------------------
 */
#include "queue/view.h"

#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define NUMBERED "queue "

static bool
is_numbered(const char *queue)
{
	const char *digits = queue + strlen(NUMBERED);

	return strncmp(queue, NUMBERED, strlen(NUMBERED)) == 0 &&
		digits[0] != '\0' && strspn(digits, "0123456789") == strlen(digits);
}

char *
outbox_view_name(int32 id, const char *queue)
{
	if (strlen(queue) < NAMEDATALEN && !is_numbered(queue))
		return pstrdup(queue);
	return psprintf(NUMBERED "%d", id);
}

char *
outbox_view_full_name(int32 id, const char *queue)
{
	return quote_qualified_identifier(OUTBOX_VIEWS, outbox_view_name(id, queue));
}

Oid
outbox_view_find(int32 id, const char *queue)
{
	Oid			result = get_relname_relid(outbox_view_name(id, queue),
										   get_namespace_oid(OUTBOX_VIEWS, false));

	return OidIsValid(result) && get_rel_relkind(result) == RELKIND_VIEW ?
		result : InvalidOid;
}

static bool
may_insert(Oid view, Oid role)
{
	bool		missing = false;

	return OidIsValid(view) &&
		pg_class_aclcheck_ext(view, role, ACL_INSERT, &missing) == ACLCHECK_OK;
}

static void
has_no_right(const OutboxQueue *queue, Oid role)
{
	char	   *name = quote_literal_cstr(queue->name);
	char	   *who = GetUserNameFromId(role, false);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for queue \"%s\"", queue->name),
			 errdetail("Role \"%s\" may not enqueue to it.", who),
			 errhint("Have outbox_grant(%s, %s) called, or GRANT INSERT ON %s.",
					 quote_literal_cstr(quote_identifier(who)), name,
					 outbox_view_full_name(queue->id, queue->name))));
}

static void
has_no_view(const OutboxQueue *queue)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for queue \"%s\"", queue->name),
			 errdetail("The view %s, which has the rights on it, is missing.",
					   outbox_view_full_name(queue->id, queue->name)),
			 errhint("outbox_grant() makes it again and grants rights on it; a restore without the schema has not made it.")));
}

bool
outbox_may_enqueue(const OutboxQueue *queue, Oid role)
{
	Oid			view;

	if (may_insert(queue->view, role))
		return true;
	view = outbox_view_find(queue->id, queue->name);
	return OidIsValid(view) ? may_insert(view, role) :
		has_privs_of_role(role, outbox_owner());
}

void
outbox_need_right(const OutboxQueue *queue, Oid role)
{
	if (outbox_may_enqueue(queue, role))
		return;
	if (OidIsValid(outbox_view_find(queue->id, queue->name)))
		has_no_right(queue, role);
	has_no_view(queue);
}
