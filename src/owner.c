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
 * The search path is ours meanwhile, since the session's may lead functions of
 * the owner astray.  What such a function sets is undone.
 *
 *-------------------------------------------------------------------------
 */
#include "owner.h"

#include "catalog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
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

void
outbox_become_owner(OutboxCaller *caller)
{
	Oid			owner = outbox_owner();

	GetUserIdAndSecContext(&caller->user, &caller->context);
	SetUserIdAndSecContext(owner, caller->context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	caller->nestlevel = NewGUCNestLevel();
	if (strcmp(namespace_search_path, OUTBOX_SEARCH_PATH) != 0)
		set_meanwhile("search_path", OUTBOX_SEARCH_PATH);
	be_quiet();
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
