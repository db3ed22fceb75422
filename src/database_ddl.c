/*-------------------------------------------------------------------------
 *
 * database_ddl.c
 *	  What is done to a database or to the extension, and what the relay does.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A relay is a connection.  While somebody is connected to a database it can't
 * be copied (CREATE DATABASE ... TEMPLATE), renamed, moved (SET TABLESPACE) or
 * dropped: the command waits for five seconds and then fails.  So the relay is
 * ended before such a command and kept away until its transaction is over
 * (slots.c).  That costs the database's messages this time and nothing else: the
 * next relay continues from the cursors.
 *
 * RENAME may be one of many commands of a transaction, and the database is
 * locked until the transaction ends.  SET TABLESPACE commits in its middle and
 * goes on, with the database locked by the session.
 *
 * Whoever may not do this to the database may not end its relay either, so the
 * owner's right is checked here as the commands do it.  Everybody who may create
 * databases may copy a template, but templates have no relay.
 *
 * When such a transaction is over, or the options of a database have been
 * altered, the launcher is asked to read pg_database: there may be a new
 * database, or one less, or one that is a template now and may have no relay,
 * or none any more.  Who writes to pg_database by hand waits for the launcher's
 * next look.
 *
 * Before the extension is dropped, what it has made is made to depend on it, see
 * extension_views.c.
 *
 * Who drops or renames server outbox_default, perhaps to make it anew in another
 * transaction, is warned that messages go to outbox.redis_url meanwhile.
 *
 * The name of the database is looked up before the command has locked it.  If
 * somebody renames it at this moment, the command may fail as it would have
 * without outbox.
 *
 *-------------------------------------------------------------------------
 */
#include "database_ddl.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "extension_views.h"
#include "miscadmin.h"
#include "redis_server.h"
#include "shmem.h"
#include "slots.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "wake.h"

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

/* databases are concerned by this transaction, and by this command */
static bool in_transaction = false;
static bool in_command = false;

/*
 * The database that nobody may be connected to for this command; NULL: none.
 */
static const char *
database_to_leave(Node *command)
{
	ListCell   *lc;

	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			foreach(lc, ((CreatedbStmt *) command)->options)
			{
				DefElem    *option = lfirst(lc);

				if (strcmp(option->defname, "template") == 0 &&
					option->arg != NULL)
					return defGetString(option);
			}
			return "template1";
		case T_RenameStmt:
			return ((RenameStmt *) command)->subname;
		case T_AlterDatabaseStmt:
			foreach(lc, ((AlterDatabaseStmt *) command)->options)
				if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
				return ((AlterDatabaseStmt *) command)->dbname;
			return NULL;
		case T_DropdbStmt:
			return ((DropdbStmt *) command)->dbname;
		default:
			return NULL;
	}
}

static bool
is_about_database(Node *command)
{
	return IsA(command, CreatedbStmt) || IsA(command, AlterDatabaseStmt) ||
		IsA(command, DropdbStmt) ||
		(IsA(command, RenameStmt) &&
		 ((RenameStmt *) command)->renameType == OBJECT_DATABASE);
}

/*
 * Does the command drop our extension?
 */
static bool
drops_extension(Node *command)
{
	ListCell   *lc;

	if (!IsA(command, DropStmt) ||
		((DropStmt *) command)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(lc, ((DropStmt *) command)->objects)
		if (strcmp(strVal(lfirst(lc)), OUTBOX_EXTENSION) == 0)
		return OidIsValid(get_extension_oid(OUTBOX_EXTENSION, true));
	return false;
}

/*
 * Does the command take the name outbox_default from a server?
 */
static bool
unnames_default_server(Node *command)
{
	ListCell   *lc;

	if (IsA(command, RenameStmt) &&
		((RenameStmt *) command)->renameType == OBJECT_FOREIGN_SERVER)
		return strcmp(strVal(((RenameStmt *) command)->object),
					  OUTBOX_DEFAULT_SERVER) == 0;
	if (!IsA(command, DropStmt) ||
		((DropStmt *) command)->removeType != OBJECT_FOREIGN_SERVER)
		return false;
	foreach(lc, ((DropStmt *) command)->objects)
		if (strcmp(strVal(lfirst(lc)), OUTBOX_DEFAULT_SERVER) == 0)
		return true;
	return false;
}

static void
warn_of_other_server(void)
{
	ereport(WARNING,
			(errmsg("messages of this database go to outbox.redis_url when this is committed"),
			 errdetail("There is no server \"%s\" then.", OUTBOX_DEFAULT_SERVER),
			 errhint("Create it in the same transaction, or call outbox_enable(false) before.")));
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (!in_transaction || event == XACT_EVENT_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	/* SET TABLESPACE goes on after its commit */
	if (in_command && event == XACT_EVENT_COMMIT)
		return;
	in_transaction = false;
	outbox_let_relays_back();
	outbox_request_scan();
}

static void
before_command(Node *command)
{
	static bool registered = false;
	const char *name = database_to_leave(command);
	Oid			database = name == NULL ? InvalidOid : get_database_oid(name, true);

	if (!registered)
		RegisterXactCallback(transaction_ends, NULL);
	registered = true;
	in_transaction = true;
	if (OidIsValid(database) && outbox_owns_database(database))
		outbox_keep_relay_away(database);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest,
				QueryCompletion *completion)
{
	ProcessUtility_hook_type next = prev_process_utility ?
	prev_process_utility : standard_ProcessUtility;
	bool		ours = is_about_database(pstmt->utilityStmt);
	bool		to_be_warned = unnames_default_server(pstmt->utilityStmt) &&
	outbox_has_server(OUTBOX_DEFAULT_SERVER);

	if (drops_extension(pstmt->utilityStmt))
		outbox_views_depend_on_extension();
	outbox_views_keep_their_names(pstmt->utilityStmt);
	if (!ours)
	{
		next(pstmt, query, read_only_tree, context, params, environment, dest,
			 completion);
		if (to_be_warned)
			warn_of_other_server();
		return;
	}

	before_command(pstmt->utilityStmt);
	in_command = true;
	PG_TRY();
	{
		next(pstmt, query, read_only_tree, context, params, environment, dest,
			 completion);
	}
	PG_FINALLY();
	{
		in_command = false;
	}
	PG_END_TRY();
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid(OUTBOX_EXTENSION, true))
		outbox_tell_state_at_commit();
}

void
outbox_install_ddl_hooks(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
