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

/* the options that there are; those of a server and those of a user mapping */
typedef enum OptionNumber
{
	OPTION_URL,
	OPTION_SSLROOTCERT,
	OPTION_SSLHOST,
	OPTION_WAIT_REPLICAS,
	OPTION_WAIT_TIMEOUT,
	OPTION_USER,
	OPTION_PASSWORD,
	OPTION_PASSWORD_FILE,
	OPTION_SSLCERT,
	OPTION_SSLKEY,
	OPTION_SENTINEL_USER,
	OPTION_SENTINEL_PASSWORD
} OptionNumber;

#define OPTIONS			(OPTION_SENTINEL_PASSWORD + 1)
#define SERVER_OPTIONS	OPTION_USER

static const struct
{
	const char *name;
	bool		is_file;
}			options_table[OPTIONS] = {
	{OUTBOX_OPTION_URL, false},
	{OUTBOX_OPTION_SSLROOTCERT, true},
	{OUTBOX_OPTION_SSLHOST, false},
	{OUTBOX_OPTION_WAIT_REPLICAS, false},
	{OUTBOX_OPTION_WAIT_TIMEOUT, false},
	{OUTBOX_OPTION_USER, false},
	{OUTBOX_OPTION_PASSWORD, false},
	{OUTBOX_OPTION_PASSWORD_FILE, true},
	{OUTBOX_OPTION_SSLCERT, true},
	{OUTBOX_OPTION_SSLKEY, true},
	{OUTBOX_OPTION_SENTINEL_USER, false},
	{OUTBOX_OPTION_SENTINEL_PASSWORD, false}
};

static int
find_option(const char *name, Oid catalog)
{
	bool		of_server = catalog == ForeignServerRelationId;
	bool		of_mapping = catalog == UserMappingRelationId;
	int			first = of_server ? 0 : SERVER_OPTIONS;
	int			end = of_server ? SERVER_OPTIONS : of_mapping ? OPTIONS : first;

	for (int i = first; i < end; i++)
		if (strcmp(name, options_table[i].name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 of_server ?
			 errhint("Options of a server are url, sslrootcert, sslhost, wait_replicas and wait_timeout; user, password, password_file, sslcert, sslkey, sentinel_user and sentinel_password are those of a user mapping.") :
			 of_mapping ?
			 errhint("Options of a user mapping are user, password, password_file, sslcert, sslkey, sentinel_user and sentinel_password.") :
			 errhint("There are no options here."),
			 errhidestmt(true)));
}

/*
 * Everybody can read a server's options.
 */
static void
check_url_has_no_login(bool has_login)
{
	if (has_login)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("the url of a server must not have a user or a password"),
				 errdetail("Everybody can read the options of a server."),
				 errhint("Use CREATE USER MAPPING ... OPTIONS (user ..., password ...)."),
				 errhidestmt(true)));
}

static void
check_url(const char *url, bool for_tls)
{
	const char *complaint;
	OutboxRedisUrl *parsed;

	if (url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("a server needs the option url"),
				 errhint("OPTIONS (url 'redis://host:port/db')"),
				 errhidestmt(true)));
	check_url_has_no_login(outbox_redis_url_has_login(url));
	parsed = outbox_parse_redis_url(url, &complaint);
	if (parsed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\"", OUTBOX_OPTION_URL),
				 errdetail("%s", complaint),
				 errhint("Use redis://host[:port][/db], rediss:// for TLS, or unix:///path?db=n."),
				 errhidestmt(true)));
	check_url_has_no_login(parsed->sentinel_user != NULL ||
						   parsed->sentinel_password != NULL);
	if (outbox_not_in_server_url(parsed) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("the url of a server must not have parameters that are options"),
				 errhint("sslrootcert and sslhost are options of the server; password_file, sslcert and sslkey are those of a user mapping."),
				 errhidestmt(true)));
	if (!parsed->tls && for_tls)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("options for TLS need a url of rediss://"),
				 errhidestmt(true)));
	outbox_guc_free(parsed);
}

static void
check_wait(const char *replicas, const char *timeout)
{
	int			n;
	int			ms;
	const char *complaint = outbox_parse_wait(replicas, timeout, &n, &ms);

	if (complaint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("%s", complaint),
				 errhidestmt(true)));
}

static void
check_file(const char *name, const char *file)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only superusers may name a file"),
				 errhint("Use the option password, or have a superuser create the server and its user mapping."),
				 errhidestmt(true)));
	if (!is_absolute_path(file))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("%s must be an absolute path", name),
				 errhidestmt(true)));
}

/*
 * Whose login is it?  With sslcert alone Redis may know it by that.
 */
static void
check_login(char *const *values)
{
	const char *user = values[OPTION_USER];
	const char *password = values[OPTION_PASSWORD];
	const char *file = values[OPTION_PASSWORD_FILE];

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
	if ((values[OPTION_SSLCERT] == NULL) != (values[OPTION_SSLKEY] == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("a user mapping has sslcert and sslkey, or neither"),
				 errhidestmt(true)));
}

static void
check_sentinel_login(const char *user, const char *password)
{
	if (user != NULL && password == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("a user mapping with sentinel_user needs sentinel_password"),
				 errhidestmt(true)));
}

static void
check_not_empty(const char *value)
{
	if (value != NULL && value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("user and password must not be empty"),
				 errhint("Leave out what Redis does not want."),
				 errhidestmt(true)));
}

/*
 * outbox.server_options(options, catalog): the validator of the wrapper
 */
Datum
outbox_server_options(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	char	   *values[OPTIONS] = {0};
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);

		values[find_option(def->defname, catalog)] = defGetString(def);
	}
	if (catalog == ForeignServerRelationId)
	{
		check_url(values[OPTION_URL],
				  values[OPTION_SSLROOTCERT] != NULL || values[OPTION_SSLHOST] != NULL);
		check_wait(values[OPTION_WAIT_REPLICAS], values[OPTION_WAIT_TIMEOUT]);
	}
	else if (catalog == UserMappingRelationId)
	{
		for (int i = SERVER_OPTIONS; i < OPTIONS; i++)
			if (!options_table[i].is_file)
				check_not_empty(values[i]);
		check_login(values);
		check_sentinel_login(values[OPTION_SENTINEL_USER],
							 values[OPTION_SENTINEL_PASSWORD]);
	}
	if (values[OPTION_SSLHOST] != NULL && values[OPTION_SSLHOST][0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("sslhost must not be empty"),
				 errhidestmt(true)));
	for (int i = 0; i < OPTIONS; i++)
		if (options_table[i].is_file && values[i] != NULL)
			check_file(options_table[i].name, values[i]);
	PG_RETURN_VOID();
}
