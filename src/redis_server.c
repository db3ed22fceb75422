/*-------------------------------------------------------------------------
 *
 * redis_server.c
 *	  Which Redis a name stands for: a foreign server, or outbox.redis_url.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A Redis is a foreign server of the extension's wrapper: its option
 * "url" says where it is, and everybody can read that.  What is secret is in a
 * user mapping, which PostgreSQL shows to whom it concerns.  The relay delivers for
 * the owner of the extension's tables and uses that role's mapping, else PUBLIC's.
 * Servers and mappings are part of the database: templates and dumps carry them.
 *
 * A server of that name which belongs to another wrapper is none of ours.  Anybody
 * who may use some wrapper could make one, and must not be able to stop or to
 * redirect delivery.
 *
 * What is wrong with a server is its fault, and nothing is delivered then.  To
 * fall back to outbox.redis_url would be to deliver to somebody else's Redis.
 *
 * Files are read by the relay, with the rights of the server's process.  So only
 * superusers may name one (api/server_options.c), and it is sent only where a
 * superuser wants it: the owner of a server may change its url afterwards.  So
 * the owner has to be a superuser at the time at which the file is read.  That
 * goes for the files of TLS, too, which are read when a link connects: servers
 * are read again as soon as somebody is no superuser any more.
 *
 * outbox.redis_url has all of this as parameters.  The url of a server must not,
 * as options are the one place where it is checked who may set them.
 *
 *-------------------------------------------------------------------------
 */
#include "redis_server.h"

#include "access/reloptions.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "convert.h"
#include "foreign/foreign.h"
#include "guc.h"
#include "miscadmin.h"
#include "small_file.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* the longest password that a file may have */
#define MAX_PASSWORD	1024

static const char *
option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);

		if (strcmp(def->defname, name) == 0)
			return defGetString(def);
	}
	return NULL;
}

/*
 * Returns the server if it is one of ours, else NULL.
 */
static ForeignServer *
find_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	Oid			extension = get_extension_oid(OUTBOX_EXTENSION, true);

	if (server == NULL || !OidIsValid(extension) ||
		getExtensionOfObject(ForeignDataWrapperRelationId,
							 server->fdwid) != extension)
		return NULL;
	return server;
}

bool
outbox_has_server(const char *name)
{
	return find_server(name) != NULL;
}

Oid
outbox_find_redis_server(const char *name)
{
	const ForeignServer *server = find_server(name);

	return server == NULL ? InvalidOid : server->serverid;
}

/*
 * The options of the mapping for a role.  False if there is none.
 */
static bool
read_mapping(Oid server, Oid role, List **options)
{
	HeapTuple	tup = SearchSysCache2(USERMAPPINGUSERSERVER,
									  ObjectIdGetDatum(role),
									  ObjectIdGetDatum(server));
	Datum		value;
	bool		isnull;

	*options = NIL;
	if (!HeapTupleIsValid(tup))
		return false;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tup,
							Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		*options = untransformRelOptions(value);
	ReleaseSysCache(tup);
	return true;
}

/*
 * If there is this option, take it, as bytes.
 */
static void
take_option(List *options, const char *name, const char **value)
{
	const char *s = option(options, name);
	OutboxBytes bytes;

	if (s == NULL)
		return;
	bytes = outbox_utf8_bytes(s, strlen(s));
	*value = pnstrdup(bytes.data, bytes.len);
}

/*
 * Read a password, without the newline at its end.  Returns what is wrong, or
 * NULL.
 */
static const char *
read_password(const char *path, const char **password)
{
	char	   *data;
	size_t		size;
	size_t		len;
	const char *complaint = outbox_read_small_file(path, OUTBOX_OPTION_PASSWORD_FILE,
												   MAX_PASSWORD + 2, &data,
												   &size);

	if (complaint != NULL)
		return complaint;
	len = size;
	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		data[--len] = '\0';
	if (len == 0)
		complaint = "password_file is empty";
	else if (len > MAX_PASSWORD || strlen(data) != len || strchr(data, '\n') != NULL)
		complaint = "password_file must have one line with the password, and nothing else";
	else
		*password = pstrdup(data);
	explicit_bzero(data, size);
	pfree(data);
	return complaint;
}

/*
 * Log in as the user mapping says.
 */
static void
take_mapping(const ForeignServer *server, OutboxRedisUrl *url)
{
	List	   *options;

	if (!read_mapping(server->serverid, outbox_owner(), &options))
		(void) read_mapping(server->serverid, InvalidOid, &options);
	take_option(options, OUTBOX_OPTION_USER, &url->user);
	take_option(options, OUTBOX_OPTION_PASSWORD, &url->password);
	take_option(options, OUTBOX_OPTION_PASSWORD_FILE, &url->password_file);
	take_option(options, OUTBOX_OPTION_SENTINEL_USER, &url->sentinel_user);
	take_option(options, OUTBOX_OPTION_SENTINEL_PASSWORD, &url->sentinel_password);
	take_option(options, OUTBOX_OPTION_SSLCERT, &url->sslcert);
	take_option(options, OUTBOX_OPTION_SSLKEY, &url->sslkey);
}

/*
 * Is what a server and its mapping say to be used?  Returns what is wrong, or NULL.
 */
static const char *
check_files(const ForeignServer *server, const OutboxRedisUrl *url)
{
	bool		for_tls = url->sslrootcert != NULL || url->sslhost != NULL ||
	url->sslcert != NULL || url->sslkey != NULL;

	if (for_tls && !url->tls)
		return "it has options for TLS, and its url is not one of rediss://";
	if ((url->sslcert == NULL) != (url->sslkey == NULL))
		return "its user mapping has only one of sslcert and sslkey";
	if (url->sslrootcert != NULL && !superuser_arg(server->owner))
		return "its owner is not a superuser, and it names a file";
	if ((url->password_file != NULL || url->sslcert != NULL) &&
		!superuser_arg(server->owner))
		return "its owner is not a superuser, and its user mapping names a file";
	return NULL;
}

const char *
outbox_not_in_server_url(const OutboxRedisUrl *url)
{
	if (url->user != NULL || url->password != NULL)
		return "a password";
	return url->password_file != NULL || url->sentinel_password != NULL ||
		url->sslrootcert != NULL || url->sslhost != NULL ||
		url->sslcert != NULL ? "parameters that are options" : NULL;
}

/*
 * Options of the server go before parameters of its url.  Both were checked when they
 * were written.
 */
static const char *
take_wait(OutboxRedisServer *result, List *options)
{
	const char *replicas = option(options, OUTBOX_OPTION_WAIT_REPLICAS);
	const char *timeout = option(options, OUTBOX_OPTION_WAIT_TIMEOUT);

	if (replicas == NULL)
		replicas = result->url->wait_replicas;
	if (timeout == NULL)
		timeout = result->url->wait_timeout;
	return outbox_parse_wait(replicas, timeout, &result->wait_replicas,
							 &result->wait_timeout);
}

/*
 * Fill in what a foreign server says.  Returns what is wrong, or NULL.
 */
static const char *
take_server(OutboxRedisServer *result, const ForeignServer *server,
			bool passwords)
{
	const char *text = option(server->options, OUTBOX_OPTION_URL);
	const char *complaint = "It has no url.";
	OutboxRedisUrl *parsed = text == NULL ? NULL :
	outbox_parse_redis_url(text, &complaint);
	OutboxRedisUrl *url;

	result->name = pstrdup(server->servername);
	if (parsed == NULL)
	{
		result->url = url = palloc0(sizeof(OutboxRedisUrl));
		url->url = "";
		return complaint;
	}
	result->url = url = outbox_copy_redis_url(parsed);
	outbox_guc_free(parsed);
	complaint = outbox_not_in_server_url(url);
	if (complaint != NULL)
		return psprintf("its url has %s", complaint);
	take_option(server->options, OUTBOX_OPTION_SSLROOTCERT, &url->sslrootcert);
	take_option(server->options, OUTBOX_OPTION_SSLHOST, &url->sslhost);
	complaint = take_wait(result, server->options);
	if (complaint != NULL || !passwords)
		return complaint;
	take_mapping(server, url);
	complaint = check_files(server, url);
	if (complaint == NULL && url->password_file != NULL)
		complaint = read_password(url->password_file, &url->password);
	return complaint;
}

/*
 * Fill in what outbox.redis_url says.  Returns what is wrong, or NULL.
 */
static const char *
take_setting(OutboxRedisServer *result, bool passwords)
{
	OutboxRedisUrl *url = outbox_copy_redis_url(outbox_redis_server);

	result->url = url;
	if (url->complaint != NULL)
		return url->complaint;
	(void) take_wait(result, NIL);
	return passwords && url->password_file != NULL ?
		read_password(url->password_file, &url->password) : NULL;
}

OutboxRedisServer *
outbox_resolve_server(MemoryContext parent, const char *name, bool passwords)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox server",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxRedisServer *result = palloc0(sizeof(OutboxRedisServer));
	ForeignServer *server = find_server(name);
	const char *fault;

	result->context = context;
	if (server != NULL)
	{
		fault = take_server(result, server, passwords);
		if (fault != NULL)
			result->fault = psprintf("server \"%s\" cannot be used: %s",
									 result->name, fault);
	}
	else if (strcmp(name, OUTBOX_DEFAULT_SERVER) == 0)
	{
		fault = take_setting(result, passwords);
		if (fault != NULL)
			result->fault = psprintf("outbox.redis_url cannot be used: %s",
									 fault);
	}
	else
	{
		result->name = pstrdup(name);
		result->url = palloc0(sizeof(OutboxRedisUrl));
		result->fault = psprintf("server \"%s\" does not exist", name);
	}
	result->address = outbox_redis_address(result->url);
	MemoryContextSwitchTo(old);
	/* until here an error of the catalog frees it */
	MemoryContextSetParent(context, parent);
	return result;
}

void
outbox_forget_server(OutboxRedisServer *server)
{
	MemoryContextDelete(server->context);
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
outbox_same_server(const OutboxRedisServer *a, const OutboxRedisServer *b)
{
	return same(a->name, b->name) && same(a->fault, b->fault) &&
		a->wait_replicas == b->wait_replicas &&
		a->wait_timeout == b->wait_timeout &&
		outbox_same_redis_url(a->url, b->url);
}

char *
outbox_describe_server(const OutboxRedisServer *server)
{
	return server->name == NULL ?
		psprintf("%s (outbox.redis_url)", server->address) :
		psprintf("%s (server \"%s\")", server->address, server->name);
}
