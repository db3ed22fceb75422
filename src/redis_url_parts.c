/*-------------------------------------------------------------------------
 *
 * redis_url_parts.c
 *	  The parts of a URL of Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Whoever adds a member to the struct adds it here, so that a copy has it and a
 * URL in which it differs is another one.
 *
 *-------------------------------------------------------------------------
 */
#include "redis_url_parts.h"

/* replicas that may be waited for; the time until it is said that they lack it */
#define MAX_REPLICAS	100
#define WAIT_TIMEOUT_MS		1000
#define MIN_WAIT_TIMEOUT_MS 100
#define MAX_WAIT_TIMEOUT_MS	60000

static const char wrong_timeout[] = "wait_timeout must be a time from 100ms to 60s";

const OutboxUrlParameter outbox_url_parameters[OUTBOX_URL_PARAMETERS] = {
	{"password_file", offsetof(OutboxRedisUrl, password_file), OUTBOX_FOR_ALL, true, false},
	{"sentinel_user", offsetof(OutboxRedisUrl, sentinel_user), OUTBOX_FOR_SENTINEL, false, false},
	{"sentinel_password", offsetof(OutboxRedisUrl, sentinel_password), OUTBOX_FOR_SENTINEL, false, true},
	{"sslrootcert", offsetof(OutboxRedisUrl, sslrootcert), OUTBOX_FOR_TLS, true, false},
	{"sslcert", offsetof(OutboxRedisUrl, sslcert), OUTBOX_FOR_TLS, true, false},
	{"sslkey", offsetof(OutboxRedisUrl, sslkey), OUTBOX_FOR_TLS, true, false},
	{"sslhost", offsetof(OutboxRedisUrl, sslhost), OUTBOX_FOR_TLS, false, false},
	{"wait_replicas", offsetof(OutboxRedisUrl, wait_replicas), OUTBOX_FOR_ALL, false, false},
	{"wait_timeout", offsetof(OutboxRedisUrl, wait_timeout), OUTBOX_FOR_ALL, false, false},
};

const char **
outbox_url_parameter(const OutboxRedisUrl *url, int n)
{
	return (const char **) ((char *) url + outbox_url_parameters[n].offset);
}

/*
 * Reads at most six digits; sets *rest to what follows.
 */
static bool
read_number(const char *s, int *n, const char **rest)
{
	size_t		digits = strspn(s, "0123456789");

	*rest = s + digits;
	if (digits == 0 || digits > 6)
		return false;
	*n = atoi(s);
	return true;
}

const char *
outbox_parse_wait(const char *replicas, const char *timeout, int *n, int *ms)
{
	const char *rest;

	*n = 0;
	*ms = WAIT_TIMEOUT_MS;
	if (replicas != NULL &&
		(!read_number(replicas, n, &rest) || rest[0] != '\0' || *n > MAX_REPLICAS))
		return "wait_replicas must be a number from 0 to 100";
	if (timeout == NULL)
		return NULL;
	if (!read_number(timeout, ms, &rest))
		return wrong_timeout;
	if (strcmp(rest, "s") == 0 && *ms <= MAX_WAIT_TIMEOUT_MS)
		*ms *= 1000;
	else if (rest[0] != '\0' && strcmp(rest, "ms") != 0)
		return wrong_timeout;
	return *ms < MIN_WAIT_TIMEOUT_MS || *ms > MAX_WAIT_TIMEOUT_MS ?
		wrong_timeout : NULL;
}

static char *
copy(const char *s)
{
	return s == NULL ? NULL : pstrdup(s);
}

OutboxRedisUrl *
outbox_copy_redis_url(const OutboxRedisUrl *url)
{
	OutboxRedisUrl *to = palloc(sizeof(OutboxRedisUrl));

	memcpy(to, url, sizeof(OutboxRedisUrl));
	to->url = copy(url->url);
	to->path = copy(url->path);
	for (int i = 0; i < url->nhosts; i++)
		to->hosts[i].name = copy(url->hosts[i].name);
	to->master = copy(url->master);
	to->user = copy(url->user);
	to->password = copy(url->password);
	for (int i = 0; i < OUTBOX_URL_PARAMETERS; i++)
		*outbox_url_parameter(to, i) = copy(*outbox_url_parameter(url, i));
	to->complaint = copy(url->complaint);
	return to;
}

void
outbox_show_url_parameters(StringInfo out, const char *query)
{
	while (*query != '\0')
	{
		size_t		len = 1 + strcspn(query + 1, "&");
		size_t		name = strcspn(query + 1, "=&");
		bool		is_secret = false;

		for (int i = 0; i < OUTBOX_URL_PARAMETERS; i++)
			if (outbox_url_parameters[i].is_secret &&
				strlen(outbox_url_parameters[i].name) == name &&
				strncmp(query + 1, outbox_url_parameters[i].name, name) == 0)
				is_secret = true;
		appendBinaryStringInfo(out, query, is_secret ? name + 2 : len);
		if (is_secret)
			appendStringInfoString(out, "********");
		query += len;
	}
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
outbox_same_redis_url(const OutboxRedisUrl *a, const OutboxRedisUrl *b)
{
	for (int i = 0; i < OUTBOX_URL_PARAMETERS; i++)
		if (!same(*outbox_url_parameter(a, i), *outbox_url_parameter(b, i)))
			return false;
	if (a->nhosts != b->nhosts)
		return false;
	for (int i = 0; i < a->nhosts; i++)
		if (a->hosts[i].port != b->hosts[i].port ||
			!same(a->hosts[i].name, b->hosts[i].name))
			return false;
	return a->kind == b->kind && a->tls == b->tls && a->db == b->db &&
		same(a->path, b->path) && same(a->master, b->master) &&
		same(a->user, b->user) && same(a->password, b->password);
}
