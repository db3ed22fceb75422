/*-------------------------------------------------------------------------
 *
 * redis_server.c
 *	  Which Redis a name stands for: a foreign server, or outbox.redis_url.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A database's Redis is a foreign server of the extension's wrapper: its option
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
 * the owner has to be a superuser at the time at which the file is read.
 *
 *-------------------------------------------------------------------------
 */
#include "redis_server.h"

#include <sys/stat.h>

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
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* the longest password that a file may have */
#define MAX_PASSWORD	1024

static char *
copy(const char *s)
{
	return s == NULL ? NULL : pstrdup(s);
}

static OutboxRedisUrl *
copy_url(const OutboxRedisUrl *from)
{
	OutboxRedisUrl *to = palloc0(sizeof(OutboxRedisUrl));

	to->url = copy(from->url);
	to->path = copy(from->path);
	to->host = copy(from->host);
	to->port = from->port;
	to->user = copy(from->user);
	to->password = copy(from->password);
	to->db = from->db;
	to->complaint = copy(from->complaint);
	return to;
}

static char *
address_of(const OutboxRedisUrl *url)
{
	bool		brackets;

	if (url->path != NULL)
		return psprintf("unix://%s?db=%d", url->path, url->db);
	if (url->host == NULL)
		return "nowhere";
	brackets = strchr(url->host, ':') != NULL;
	return psprintf("%s%s%s:%d/%d", brackets ? "[" : "", url->host,
					brackets ? "]" : "", url->port, url->db);
}

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

static char *
utf8(const char *s)
{
	OutboxBytes bytes = outbox_utf8_bytes(s, strlen(s));

	return pnstrdup(bytes.data, bytes.len);
}

/*
 * Read a password, without the newline at its end.  Returns what is wrong, or
 * NULL.  What isn't a file may never end, or never begin.
 */
static const char *
read_password(const char *path, const char **password)
{
	char		buf[MAX_PASSWORD + 3];
	struct stat st;
	FILE	   *file;
	size_t		len;

	if (stat(path, &st) != 0)
		return psprintf("password_file cannot be read: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return "password_file is not a file";
	file = AllocateFile(path, "r");
	if (file == NULL)
		return psprintf("password_file cannot be read: %s", strerror(errno));
	len = fread(buf, 1, sizeof(buf) - 1, file);
	FreeFile(file);
	buf[len] = '\0';
	while (len > 0 && (buf[len - 1] == '\n' || buf[len - 1] == '\r'))
		buf[--len] = '\0';
	if (len == 0)
		return "password_file is empty";
	if (len > MAX_PASSWORD || strlen(buf) != len || strchr(buf, '\n') != NULL)
		return "password_file must have one line with the password, and nothing else";
	*password = pstrdup(buf);
	explicit_bzero(buf, sizeof(buf));
	return NULL;
}

/*
 * Log in as the user mapping says.  Returns what is wrong, or NULL.
 */
static const char *
take_mapping(const ForeignServer *server, OutboxRedisUrl *url)
{
	List	   *options;
	const char *user;
	const char *password;
	const char *file;

	if (!read_mapping(server->serverid, outbox_owner(), &options))
		(void) read_mapping(server->serverid, InvalidOid, &options);
	user = option(options, OUTBOX_OPTION_USER);
	password = option(options, OUTBOX_OPTION_PASSWORD);
	file = option(options, OUTBOX_OPTION_PASSWORD_FILE);
	if (user != NULL)
		url->user = utf8(user);
	if (password != NULL)
		url->password = utf8(password);
	if (file == NULL)
		return NULL;
	if (!superuser_arg(server->owner))
		return "its owner is not a superuser, and its user mapping names a file";
	return read_password(file, &url->password);
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
	result->url = url = copy_url(parsed);
	outbox_guc_free(parsed);
	if (url->password != NULL)
		return "its url has a password";
	return passwords ? take_mapping(server, url) : NULL;
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
		result->url = copy_url(outbox_redis_server);
		if (result->url->complaint != NULL)
			result->fault = psprintf("outbox.redis_url cannot be used: %s",
									 result->url->complaint);
	}
	else
	{
		result->name = pstrdup(name);
		result->url = palloc0(sizeof(OutboxRedisUrl));
		result->fault = psprintf("server \"%s\" does not exist", name);
	}
	result->address = address_of(result->url);
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
		same(a->address, b->address) && same(a->url->user, b->url->user) &&
		same(a->url->password, b->url->password);
}

char *
outbox_describe_server(const OutboxRedisServer *server)
{
	return server->name == NULL ?
		psprintf("%s (outbox.redis_url)", server->address) :
		psprintf("%s (server \"%s\")", server->address, server->name);
}
