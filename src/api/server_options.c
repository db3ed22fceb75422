/*-------------------------------------------------------------------------
 *
 * server_options.c
 *	  Are these the options of a server, or of its user mapping?
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * PostgreSQL calls this with all options, as they would be, whenever somebody
 * creates or alters a server or a user mapping of the wrapper "outbox".  Whoever
 * changes something of a mapping that names a file names that file, too.
 *
 * A value may be a secret that somebody has put into the wrong place.  So no
 * message has one, and the log does not get the statement that has failed.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "redis_server.h"
#include "utils/guc.h"

PG_FUNCTION_INFO_V1(outbox_server_options);

static void
check_name(const DefElem *def, Oid catalog)
{
	const char *name = def->defname;
	const char *hint = "There are no options here.";

	if (catalog == ForeignServerRelationId)
	{
		if (strcmp(name, OUTBOX_OPTION_URL) == 0)
			return;
		hint = "The option of a server is url; user, password and password_file are those of a user mapping.";
	}
	else if (catalog == UserMappingRelationId)
	{
		if (strcmp(name, OUTBOX_OPTION_USER) == 0 ||
			strcmp(name, OUTBOX_OPTION_PASSWORD) == 0 ||
			strcmp(name, OUTBOX_OPTION_PASSWORD_FILE) == 0)
			return;
		hint = "Options of a user mapping are user, password and password_file.";
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 errhint("%s", hint),
			 errhidestmt(true)));
}

static void
check_url(const char *url)
{
	const char *complaint;
	OutboxRedisUrl *parsed;

	if (url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("a server needs the option url"),
				 errhint("OPTIONS (url 'redis://host:port/db')"),
				 errhidestmt(true)));
	/* everybody can read a server's options */
	if (strncmp(url, "redis://", 8) == 0 && strchr(url, '@') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("the url of a server must not have a user or a password"),
				 errdetail("Everybody can read the options of a server."),
				 errhint("Use CREATE USER MAPPING ... OPTIONS (user ..., password ...)."),
				 errhidestmt(true)));
	parsed = outbox_parse_redis_url(url, &complaint);
	if (parsed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\"", OUTBOX_OPTION_URL),
				 errdetail("%s", complaint),
				 errhint("Use redis://host[:port][/db] or unix:///path?db=n."),
				 errhidestmt(true)));
	outbox_guc_free(parsed);
}

static void
check_file(const char *file)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only superusers may name a file"),
				 errhint("Use the option password, or have a superuser create the user mapping."),
				 errhidestmt(true)));
	if (!is_absolute_path(file))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("password_file must be an absolute path"),
				 errhidestmt(true)));
}

static void
check_login(const char *user, const char *password, const char *file)
{
	if (password != NULL && file != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("a user mapping has either password or password_file"),
				 errhidestmt(true)));
	if (user != NULL && password == NULL && file == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("a user mapping with a user needs password or password_file"),
				 errhidestmt(true)));
	if ((user != NULL && user[0] == '\0') ||
		(password != NULL && password[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("user and password must not be empty"),
				 errhint("Leave out what Redis does not want."),
				 errhidestmt(true)));
	if (file != NULL)
		check_file(file);
}

/*
 * outbox.server_options(options, catalog): the validator of the wrapper
 */
Datum
outbox_server_options(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	const char *url = NULL;
	const char *user = NULL;
	const char *password = NULL;
	const char *file = NULL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);
		const char *value = defGetString(def);

		check_name(def, catalog);
		if (strcmp(def->defname, OUTBOX_OPTION_URL) == 0)
			url = value;
		else if (strcmp(def->defname, OUTBOX_OPTION_USER) == 0)
			user = value;
		else if (strcmp(def->defname, OUTBOX_OPTION_PASSWORD) == 0)
			password = value;
		else
			file = value;
	}
	if (catalog == ForeignServerRelationId)
		check_url(url);
	else if (catalog == UserMappingRelationId)
		check_login(user, password, file);
	PG_RETURN_VOID();
}
