/*-------------------------------------------------------------------------
 *
 * server_ddl.c
 *	  A server is renamed.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.queue has servers by their names.  So when a server is renamed the queues'
 * rows are, in the same transaction.  The relay then finds another name with the
 * same settings: a new link, and the same cursors there.
 *
 * The default server is the one that is called outbox_default, whichever it is, and
 * queues that have it name none.
 *
 *-------------------------------------------------------------------------
 */
#include "api/server_ddl.h"

#include "catalog.h"
#include "nodes/parsenodes.h"
#include "redis_server.h"
#include "store/query.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

static ProcessUtility_hook_type prev_process_utility = NULL;

static void
rename_in_queues(const char *old, const char *new)
{
	OutboxParam params[] = {
		{"old", TEXTOID, CStringGetTextDatum(old)},
		{"new", TEXTOID, CStringGetTextDatum(new)}
	};
	OutboxCaller caller;

	outbox_connect(&caller);
	outbox_query_latest("UPDATE outbox.queue SET"
						" server = CASE WHEN server = $old THEN $new ELSE server END,"
						" moving_from = CASE WHEN moving_from = $old THEN $new ELSE moving_from END"
						" WHERE server = $old OR moving_from = $old",
						params, lengthof(params));
	outbox_finish(&caller);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest,
				QueryCompletion *completion)
{
	const RenameStmt *rename = (RenameStmt *) pstmt->utilityStmt;
	bool		ours = IsA(pstmt->utilityStmt, RenameStmt) &&
	rename->renameType == OBJECT_FOREIGN_SERVER &&
	OidIsValid(outbox_find_redis_server(strVal(rename->object)));
	char	   *old = ours ? pstrdup(strVal(rename->object)) : NULL;
	char	   *new = ours ? pstrdup(rename->newname) : NULL;

	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params,
							 environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params,
								environment, dest, completion);
	if (ours && outbox_catalog_load())
		rename_in_queues(old, new);
}

void
outbox_install_server_hook(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
