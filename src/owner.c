/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Work on our tables with the rights of their owner, and no others.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Whoever owns a table decides what is executed when the table is written:
 * triggers, rules, defaults, policies, expressions of indexes.  The relay is a
 * superuser and callers may be superusers, while the owner may be anybody,
 * after REASSIGN OWNED for example.  So all SQL on our tables runs as the
 * tables' owner in a security-restricted operation, as VACUUM and REINDEX do
 * it: what the owner has attached has the owner's rights, and can't become the
 * session's user again.
 *
 * Payload and key are parameters of our statements.  They must not be printed by
 * what prints plans and parameters, be it in the session of a caller whose own
 * statement has them in a table.
 *
 * The same goes for the tables of users, where we evaluate what is attached to them
 * and PostgreSQL would not (api/backfill_chunk.c).
 *
 * The search path is ours meanwhile, since the session's may lead functions of
 * the owner astray.  What such a function sets is undone.
 *
 *-------------------------------------------------------------------------
 */
#include "owner.h"

#include "catalog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"

const OutboxSetting outbox_quiet_settings[] = {
	{"debug_print_parse", "off"},
	{"debug_print_rewritten", "off"},
	{"debug_print_plan", "off"},
	{"auto_explain.log_min_duration", "-1"},
	{"pgaudit.log_parameter", "off"}
};
const int	outbox_n_quiet_settings = lengthof(outbox_quiet_settings);

static void
set_meanwhile(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * What a session prints of its own statements is its business.
 */
static void
be_quiet(void)
{
	for (int i = 0; i < lengthof(outbox_quiet_settings); i++)
	{
		const OutboxSetting *setting = &outbox_quiet_settings[i];
		const char *value = GetConfigOption(setting->name, true, false);

		if (value != NULL && strcmp(value, setting->value) != 0)
			set_meanwhile(setting->name, setting->value);
	}
}

static void
become(OutboxCaller *caller, Oid role)
{
	GetUserIdAndSecContext(&caller->user, &caller->context);
	SetUserIdAndSecContext(role, caller->context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	caller->nestlevel = NewGUCNestLevel();
}

void
outbox_become_owner(OutboxCaller *caller)
{
	become(caller, outbox_owner());
	if (strcmp(namespace_search_path, OUTBOX_SEARCH_PATH) != 0)
		set_meanwhile("search_path", OUTBOX_SEARCH_PATH);
	be_quiet();
}

/*
 * Others than the owner may have attached something to a table, and a caller who
 * does not have the owner's rights must not get them in this way.
 */
void
outbox_become_lesser(OutboxCaller *caller, Oid role)
{
	Oid			user = GetUserId();

	become(caller, has_privs_of_role(user, role) ? role : user);
}

void
outbox_restore_settings(const OutboxCaller *caller)
{
	AtEOXact_GUC(false, caller->nestlevel);
}

void
outbox_restore_user(const OutboxCaller *caller)
{
	SetUserIdAndSecContext(caller->user, caller->context);
}

void
outbox_become_caller(const OutboxCaller *caller)
{
	outbox_restore_settings(caller);
	outbox_restore_user(caller);
}
