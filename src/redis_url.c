/*-------------------------------------------------------------------------
 *
 * redis_url.c
 *	  Where Redis is: a URL taken apart.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The forms are those of redis-cli -u and the client libraries:
 *
 *		redis://[user[:password]@]host[:port][/db]	redis://:password@host/0
 *		unix://[user[:password]@]/path?db=n
 *		redis+sentinel://[user[:password]@]host[:port],.../master[/db]
 *		redis+cluster://[user[:password]@]host[:port],...
 *
 * and rediss for TLS.  There is one grammar for all of them.  A scheme says what
 * the hosts and the path are, and a parameter for which schemes it is.
 *
 * Whatever has a reserved character is percent-encoded.  A user or password may
 * have all of them but "?" as they are, since hosts and databases have no "@".
 * In a parameter "@" must be encoded: else a URL with a "?" in its password would
 * be taken for one with another host.  An IPv6 address stands in brackets.
 *
 * No complaint quotes any part of the URL, because complaints are logged and the
 * URL may hold a password.
 *
 *-------------------------------------------------------------------------
 */
#include "redis_url.h"

#include <limits.h>

#include "convert.h"
#include "lib/stringinfo.h"
#include "utils/guc.h"

#define DEFAULT_PORT	6379
#define DEFAULT_SENTINEL_PORT	26379

typedef struct Scheme
{
	const char *name;
	bool		is_unix;
	bool		tls;
	OutboxRedisKind kind;
} Scheme;

static const Scheme schemes[] = {
	{"redis", false, false, OUTBOX_REDIS_SINGLE},
	{"rediss", false, true, OUTBOX_REDIS_SINGLE},
	{"unix", true, false, OUTBOX_REDIS_SINGLE},
	{"redis+sentinel", false, false, OUTBOX_REDIS_SENTINEL},
	{"rediss+sentinel", false, true, OUTBOX_REDIS_SENTINEL},
	{"redis+cluster", false, false, OUTBOX_REDIS_CLUSTER},
	{"rediss+cluster", false, true, OUTBOX_REDIS_CLUSTER},
};

/*
 * Decode %XX in place.  Returns false if a percent sign is not followed by two
 * digits, or if they stand for a zero byte.
 */
static bool
decode_percent(char *s)
{
	char	   *to = s;

	for (; *s != '\0'; s++)
	{
		if (*s == '%')
		{
			int			hi = outbox_hex_digit(s[1]);
			int			lo = hi < 0 ? -1 : outbox_hex_digit(s[2]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return false;
			*to++ = (char) (hi << 4 | lo);
			s += 2;
		}
		else
			*to++ = *s;
	}
	*to = '\0';
	return true;
}

static bool
parse_decimal(const char *s, int max, int *result)
{
	int			n = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
	{
		if (*s < '0' || *s > '9' || n > max)
			return false;
		n = n * 10 + (*s - '0');
	}
	*result = n;
	return n <= max;
}

static bool
parse_db(OutboxRedisUrl *u, const char *s)
{
	return parse_decimal(s, INT_MAX / 100, &u->db);
}

/* cut the string at the first c; returns the rest, or NULL */
static char *
cut(char *s, char c)
{
	char	   *at = strchr(s, c);

	if (at == NULL)
		return NULL;
	*at = '\0';
	return at + 1;
}

/*
 * The last @ of what may be user and password: what is behind :// and before any
 * parameter, or the path of a socket.  NULL if there is none.
 */
static const char *
end_of_login(const char *rest, bool is_unix)
{
	const char *end = rest + strcspn(rest, is_unix ? "/?" : "?");

	while (end > rest)
		if (*--end == '@')
			return end;
	return NULL;
}

/*
 * Take user and password; *rest is what is behind them.
 */
static const char *
parse_login(OutboxRedisUrl *u, char **rest, bool is_unix)
{
	char	   *user = *rest;
	char	   *end = unconstify(char *, end_of_login(user, is_unix));
	char	   *password;

	if (end == NULL)
		return NULL;
	*end = '\0';
	*rest = end + 1;
	password = cut(user, ':');
	if (!decode_percent(user) ||
		(password != NULL && !decode_percent(password)))
		return "A percent sign in the user or password must be written as %25.";
	u->user = user[0] != '\0' ? user : NULL;
	u->password = password;
	return NULL;
}

static const char *
parse_parameter(OutboxRedisUrl *u, char *name, char *value)
{
	for (int i = 0; i < OUTBOX_URL_PARAMETERS; i++)
	{
		if (strcmp(name, outbox_url_parameters[i].name) != 0)
			continue;
		if (outbox_url_parameters[i].use == OUTBOX_FOR_TLS && !u->tls)
			return "A parameter of the URL is for TLS, and so for rediss:// only.";
		if (outbox_url_parameters[i].use == OUTBOX_FOR_SENTINEL &&
			u->kind != OUTBOX_REDIS_SENTINEL)
			return "A parameter of the URL is for Sentinel only.";
		if (outbox_url_parameters[i].is_file && value[0] != '/')
			return "A parameter of the URL that names a file needs an absolute path.";
		if (*outbox_url_parameter(u, i) != NULL)
			return "A parameter of the URL is there twice.";
		*outbox_url_parameter(u, i) = value;
		return NULL;
	}
	return u->path != NULL ?
		"A parameter of the URL is unknown; a unix URL has db, password_file, wait_replicas and wait_timeout." :
		"A parameter of the URL is unknown; there are password_file, sslrootcert, sslcert, sslkey, sslhost, sentinel_user, sentinel_password, wait_replicas and wait_timeout.";
}

static const char *
check_wait(const OutboxRedisUrl *u)
{
	int			n;
	int			ms;

	if (outbox_parse_wait(u->wait_replicas, NULL, &n, &ms) != NULL)
		return "The parameter wait_replicas must be a number from 0 to 100.";
	if (outbox_parse_wait(NULL, u->wait_timeout, &n, &ms) != NULL)
		return "The parameter wait_timeout must be a time from 100ms to 60s.";
	return NULL;
}

static const char *
parse_parameters(OutboxRedisUrl *u, char *query)
{
	char	   *next;

	for (; query != NULL; query = next)
	{
		char	   *value;
		const char *complaint;

		next = cut(query, '&');
		value = cut(query, '=');
		if (value == NULL || value[0] == '\0')
			return "Each parameter of the URL must have a value: key=value.";
		if (!decode_percent(value))
			return "A percent sign in a parameter must be written as %25.";
		if (u->path != NULL && strcmp(query, "db") == 0)
		{
			if (!parse_db(u, value))
				return "The parameter db must be a database number.";
			continue;
		}
		complaint = parse_parameter(u, query, value);
		if (complaint != NULL)
			return complaint;
	}
	return check_wait(u);
}

static const char *
parse_host(OutboxRedisUrl *u, char *host)
{
	OutboxRedisHost *h = &u->hosts[u->nhosts];
	char	   *port;

	if (u->nhosts == OUTBOX_MAX_HOSTS)
		return "The URL has more than " CppAsString2(OUTBOX_MAX_HOSTS) " hosts.";
	h->port = u->kind == OUTBOX_REDIS_SENTINEL ? DEFAULT_SENTINEL_PORT :
		DEFAULT_PORT;
	if (host[0] == '[')
	{
		char	   *end = strchr(host, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return "An IPv6 address stands in brackets: [::1]:6379.";
		port = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
		host++;
	}
	else
		port = cut(host, ':');

	if (host[0] == '\0')
		return "The URL has no host.";
	if (strpbrk(host, "#[] \t\r\n") != NULL)
		return "A host of the URL has a character that no host has.";
	if (port != NULL && (!parse_decimal(port, 65535, &h->port) || h->port == 0))
		return "The port must be a number from 1 to 65535.";
	h->name = host;
	u->nhosts++;
	return NULL;
}

static const char *
parse_hosts(OutboxRedisUrl *u, char *hosts)
{
	char	   *next;

	for (; hosts != NULL; hosts = next)
	{
		const char *complaint;

		next = cut(hosts, ',');
		complaint = parse_host(u, hosts);
		if (complaint != NULL)
			return complaint;
	}
	if (u->nhosts > 1 && u->kind == OUTBOX_REDIS_SINGLE)
		return "The URL has several hosts, which are for redis+sentinel:// and redis+cluster:// only.";
	return NULL;
}

/*
 * What is behind the hosts; NULL if nothing is.
 */
static const char *
parse_path(OutboxRedisUrl *u, char *path)
{
	char	   *db = path;

	if (u->kind == OUTBOX_REDIS_SENTINEL)
	{
		if (path == NULL || path[0] == '\0' || path[0] == '/')
			return "The URL must name the master: redis+sentinel://host:port/master/db.";
		db = cut(path, '/');
		if (!decode_percent(path))
			return "A percent sign in the master's name must be written as %25.";
		u->master = path;
	}
	if (db == NULL || db[0] == '\0')
		return NULL;
	if (u->kind == OUTBOX_REDIS_CLUSTER)
		return "A cluster has no databases: redis+cluster://host:port.";
	if (!parse_db(u, db))
		return u->kind == OUTBOX_REDIS_SENTINEL ?
			"The part after the master's name must be a database number." :
			"The part after the host must be a database number.";
	return NULL;
}

static const char *
parse_place(OutboxRedisUrl *u, char *place, bool is_unix)
{
	char	   *path;
	const char *complaint;

	if (is_unix)
	{
		if (place[0] != '/')
			return "A unix URL needs an absolute path: unix:///path/to/socket.";
		if (!decode_percent(place))
			return "A percent sign in the path must be written as %25.";
		u->path = place;
		return NULL;
	}
	path = cut(place, '/');
	complaint = parse_hosts(u, place);
	return complaint != NULL ? complaint : parse_path(u, path);
}

/*
 * Do the parts go together?
 */
static const char *
check_together(const OutboxRedisUrl *u)
{
	if (u->password != NULL && u->password_file != NULL)
		return "The URL has either a password or password_file.";
	if (u->user != NULL && u->password == NULL && u->password_file == NULL)
		return "The user has no password: redis://user:password@host.";
	if (u->sentinel_user != NULL && u->sentinel_password == NULL)
		return "The URL has sentinel_user without sentinel_password.";
	if ((u->sslcert == NULL) != (u->sslkey == NULL))
		return "The URL must have sslcert and sslkey, or neither.";
	return NULL;
}

static const Scheme *
find_scheme(const char *url)
{
	size_t		len = strcspn(url, ":");

	for (int i = 0; i < lengthof(schemes); i++)
		if (strlen(schemes[i].name) == len &&
			strncmp(url, schemes[i].name, len) == 0 &&
			strncmp(url + len, "://", 3) == 0)
			return &schemes[i];
	return NULL;
}

static const char *
parse(OutboxRedisUrl *u, char *parts)
{
	const Scheme *scheme = find_scheme(parts);
	const char *complaint;
	char	   *rest;
	char	   *query;

	if (scheme == NULL)
		return "The URL must start with redis://, rediss:// or unix://.";
	u->kind = scheme->kind;
	u->tls = scheme->tls;
	rest = parts + strlen(scheme->name) + 3;
	query = strchr(rest, '?');
	if (query != NULL && strpbrk(query, "@#") != NULL)
		return "What is reserved in a URL must be percent-encoded: %3F for ?, %40 for @, %23 for #.";
	complaint = parse_login(u, &rest, scheme->is_unix);
	if (complaint != NULL)
		return complaint;
	query = cut(rest, '?');
	complaint = parse_place(u, rest, scheme->is_unix);
	if (complaint == NULL)
		complaint = parse_parameters(u, query);
	return complaint != NULL ? complaint : check_together(u);
}

OutboxRedisUrl *
outbox_parse_redis_url(const char *url, const char **complaint)
{
	Size		len = strlen(url) + 1;
	OutboxRedisUrl *u = outbox_guc_malloc(offsetof(OutboxRedisUrl, buffer) + 2 * len);
	char	   *parts;

	*complaint = "Out of memory.";
	if (u == NULL)
		return NULL;
	memset(u, 0, sizeof(OutboxRedisUrl));
	u->url = memcpy(u->buffer, url, len);
	parts = memcpy(u->buffer + len, url, len);
	*complaint = parse(u, parts);
	if (*complaint == NULL)
		return u;
	outbox_guc_free(u);
	return NULL;
}

OutboxRedisUrl *
outbox_no_redis_url(const char *complaint)
{
	OutboxRedisUrl *u = outbox_guc_malloc(sizeof(OutboxRedisUrl) + 1);

	if (u == NULL)
		return NULL;
	memset(u, 0, sizeof(OutboxRedisUrl) + 1);
	u->url = u->buffer;
	u->complaint = complaint;
	return u;
}

bool
outbox_redis_url_has_login(const char *url)
{
	const char *rest = strstr(url, "://");
	const Scheme *scheme = find_scheme(url);

	if (rest == NULL)
		return false;
	return end_of_login(rest + 3, scheme != NULL && scheme->is_unix) != NULL;
}

char *
outbox_show_redis_url(const OutboxRedisUrl *url)
{
	const char *rest = strstr(url->url, "://");
	const char *login;
	StringInfoData out;

	if (rest == NULL)
		return pstrdup(url->url);
	initStringInfo(&out);
	rest += 3;
	login = end_of_login(rest, url->path != NULL);
	if (login != NULL)
	{
		appendBinaryStringInfo(&out, url->url,
							   rest - url->url + strcspn(rest, ":@"));
		if (url->password != NULL)
			appendStringInfoString(&out, ":********");
		rest = login;
	}
	else
		appendBinaryStringInfo(&out, url->url, rest - url->url);
	appendBinaryStringInfo(&out, rest, strcspn(rest, "?"));
	outbox_show_url_parameters(&out, rest + strcspn(rest, "?"));
	return out.data;
}

char *
outbox_redis_address(const OutboxRedisUrl *url)
{
	StringInfoData out;

	if (url->path != NULL)
		return psprintf("unix://%s?db=%d", url->path, url->db);
	if (url->nhosts == 0)
		return pstrdup("nowhere");
	initStringInfo(&out);
	if (url->tls || url->kind != OUTBOX_REDIS_SINGLE)
		appendStringInfo(&out, "redis%s%s://", url->tls ? "s" : "",
						 url->kind == OUTBOX_REDIS_SENTINEL ? "+sentinel" :
						 url->kind == OUTBOX_REDIS_CLUSTER ? "+cluster" : "");
	for (int i = 0; i < url->nhosts; i++)
	{
		const char *name = url->hosts[i].name;
		bool		brackets = strchr(name, ':') != NULL;

		appendStringInfo(&out, "%s%s%s%s:%d", i > 0 ? "," : "",
						 brackets ? "[" : "", name, brackets ? "]" : "",
						 url->hosts[i].port);
	}
	if (url->master != NULL)
		appendStringInfo(&out, "/%s", url->master);
	if (url->kind != OUTBOX_REDIS_CLUSTER)
		appendStringInfo(&out, "/%d", url->db);
	return out.data;
}
