/*-------------------------------------------------------------------------
 *
 * server_settings.c
 *	  PostgreSQL's settings, as the relay has them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A database's owner or a role may set almost anything for the sessions of a
 * database: another role, a search path, timeouts, limits, what is logged.
 * PostgreSQL applies that to the relay, too, when it connects.  So the server's
 * own settings are remembered before, and afterwards each setting that came
 * from a database or a role is given back the server's value.  No list of
 * dangerous settings has to be complete.
 *
 * Some settings the relay depends on whatever the server has, see below.  All of
 * these have the source PGC_S_OVERRIDE: a reload doesn't change them.
 *
 * Payload and key are in parameters of the relay's statements, and must not get
 * into a log: see owner.h.
 *
 * Staging has no statistics, and those of outbox.deferred are old when many rows
 * have come at once: the planner would take large tables for small ones and
 * read them as a whole, again and again.  Every frequent query has an index.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/server_settings.h"

#include "mb/pg_wchar.h"
#include "owner.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

/*
 * Locks are asked for conditionally, or rows that are locked are skipped.  This
 * is for what is left: it ends a statement that would wait.
 */
#define OUTBOX_LOCK_TIMEOUT_MS "10"

typedef struct Remembered
{
	char	   *name;
	char	   *value;
} Remembered;

static MemoryContext context = NULL;
static Remembered *remembered = NULL;
static int	nremembered = 0;

static bool
may_be_set_for_a_session(const struct config_generic *setting)
{
	return setting->context == PGC_SUSET || setting->context == PGC_USERSET;
}

void
outbox_remember_settings(void)
{
	struct config_generic **all;
	MemoryContext old;
	int			n;

	context = AllocSetContextCreate(TopMemoryContext, "outbox settings",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	all = outbox_all_settings(&n);
	remembered = palloc(n * sizeof(Remembered));
	for (int i = 0; i < n; i++)
	{
		const char *value;

		if (!may_be_set_for_a_session(all[i]))
			continue;
		value = GetConfigOption(all[i]->name, true, false);
		remembered[nremembered].name = pstrdup(all[i]->name);
		remembered[nremembered++].value = pstrdup(value != NULL ? value : "");
	}
	MemoryContextSwitchTo(old);
}

static void
pin(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * A setting that the server doesn't know does nothing.
 */
static void
give_back(const char *name)
{
	for (int i = 0; i < nremembered; i++)
		if (strcmp(remembered[i].name, name) == 0)
			pin(name, remembered[i].value);
}

static void
give_back_all(void)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	struct config_generic **all;
	int			n;

	all = outbox_all_settings(&n);
	for (int i = 0; i < n; i++)
		if (may_be_set_for_a_session(all[i]) &&
			all[i]->source >= PGC_S_GLOBAL &&
			all[i]->source <= PGC_S_DATABASE_USER)
			give_back(all[i]->name);
	MemoryContextSwitchTo(old);
}

void
outbox_fix_settings(void)
{
	static const char *const settings[][2] = {
		/* steps wait for nobody, and nothing ends them halfway */
		{"lock_timeout", OUTBOX_LOCK_TIMEOUT_MS},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		OUTBOX_SETTINGS_OF_VERSION
		{"temp_file_limit", "-1"},
		/* steps are what they are meant to be */
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"synchronous_commit", "off"},
		{"row_security", "off"},
		{"search_path", OUTBOX_SEARCH_PATH},
		{"role", "none"},
		/* plans */
		{"enable_seqscan", "off"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"}
	};

	give_back_all();
	pin("client_encoding", GetDatabaseEncodingName());
	for (int i = 0; i < lengthof(settings); i++)
		pin(settings[i][0], settings[i][1]);
	for (int i = 0; i < outbox_n_quiet_settings; i++)
		if (GetConfigOption(outbox_quiet_settings[i].name, true, false) != NULL)
			pin(outbox_quiet_settings[i].name, outbox_quiet_settings[i].value);
	MemoryContextDelete(context);
	remembered = NULL;
	nremembered = 0;
}
