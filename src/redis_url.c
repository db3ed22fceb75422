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
 *		unix:///path?db=n
 *
 * User and password are percent-encoded where they hold reserved characters.
 * An IPv6 address stands in brackets.  No complaint quotes any part of the
 * URL, because complaints are logged and the URL may hold a password.
 *
 *-------------------------------------------------------------------------
 */
#include "redis_url.h"

#include <limits.h>

#include "convert.h"
#include "utils/guc.h"

#define DEFAULT_PORT 6379

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

/* cut the string at the last (or first) c; returns the rest, or NULL */
static char *
cut(char *s, char c, bool last)
{
	char	   *at = last ? strrchr(s, c) : strchr(s, c);

	if (at == NULL)
		return NULL;
	*at = '\0';
	return at + 1;
}

static const char *
parse_unix(OutboxRedisUrl *u, char *rest)
{
	char	   *query = cut(rest, '?', false);

	if (rest[0] != '/')
		return "A unix URL needs an absolute path: unix:///path/to/socket.";
	u->path = rest;
	if (query != NULL &&
		(strncmp(query, "db=", 3) != 0 ||
		 !parse_decimal(query + 3, INT_MAX / 100, &u->db)))
		return "The only parameter of a unix URL is db=n.";
	return NULL;
}

static const char *
parse_host(OutboxRedisUrl *u, char *host)
{
	char	   *port;

	if (strpbrk(host, "?#") != NULL)
		return "A redis URL has no parameters: redis://host:port/db.";
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
		port = cut(host, ':', false);

	if (host[0] == '\0')
		return "The URL has no host.";
	u->host = host;
	if (port != NULL && (!parse_decimal(port, 65535, &u->port) || u->port == 0))
		return "The port must be a number from 1 to 65535.";
	return NULL;
}

static const char *
parse_redis(OutboxRedisUrl *u, char *rest)
{
	char	   *host = cut(rest, '@', true);
	char	   *db;

	if (host != NULL)
	{
		char	   *password = cut(rest, ':', false);

		if (!decode_percent(rest) ||
			(password != NULL && !decode_percent(password)))
			return "A percent sign in the user or password must be written as %25.";
		u->user = rest[0] != '\0' ? rest : NULL;
		u->password = password;
		if (password == NULL)
			return "The user has no password: redis://user:password@host.";
	}
	else
		host = rest;

	db = cut(host, '/', false);
	if (db != NULL && db[0] != '\0' && !parse_decimal(db, INT_MAX / 100, &u->db))
		return "The part after the host must be a database number.";
	return parse_host(u, host);
}

OutboxRedisUrl *
outbox_parse_redis_url(const char *url, const char **complaint)
{
	Size		len = strlen(url) + 1;
	OutboxRedisUrl *u = outbox_guc_malloc(sizeof(OutboxRedisUrl) + 2 * len);
	char	   *parts;

	*complaint = "Out of memory.";
	if (u == NULL)
		return NULL;
	memset(u, 0, sizeof(OutboxRedisUrl));
	u->port = DEFAULT_PORT;
	u->url = strcpy(u->buffer, url);
	parts = strcpy(u->buffer + len, url);

	if (strncmp(url, "redis://", 8) == 0)
		*complaint = parse_redis(u, parts + 8);
	else if (strncmp(url, "unix://", 7) == 0)
		*complaint = parse_unix(u, parts + 7);
	else
		*complaint = "The URL must start with redis:// or unix://.";

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

char *
outbox_show_redis_url(const OutboxRedisUrl *url)
{
	bool		brackets;

	if (url->path != NULL || url->password == NULL)
		return pstrdup(url->url);
	brackets = strchr(url->host, ':') != NULL;
	return psprintf("redis://%s:********@%s%s%s:%d/%d",
					url->user != NULL ? url->user : "",
					brackets ? "[" : "", url->host, brackets ? "]" : "",
					url->port, url->db);
}
