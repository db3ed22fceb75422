/*-------------------------------------------------------------------------
 *
 * url.c
 *	  A URL taken apart, as a line of text.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "redis_url.h"
#include "utils/builtins.h"
#include "utils/guc.h"

PG_FUNCTION_INFO_V1(url_parts);
PG_FUNCTION_INFO_V1(url_shown);
PG_FUNCTION_INFO_V1(url_address);
PG_FUNCTION_INFO_V1(url_is_usable);

static OutboxRedisUrl *
take_apart(const char *url, const char **complaint)
{
	OutboxRedisUrl *parsed = outbox_parse_redis_url(url, complaint);
	OutboxRedisUrl *copy;

	if (parsed == NULL)
		return NULL;
	copy = outbox_copy_redis_url(parsed);
	if (!outbox_same_redis_url(parsed, copy))
		elog(ERROR, "a copy is another URL");
	outbox_guc_free(parsed);
	return copy;
}

static void
add(StringInfo out, const char *name, const char *value)
{
	if (value != NULL)
		appendStringInfo(out, " %s=<%s>", name, value);
}

Datum
url_parts(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {"single", "sentinel", "cluster"};
	const char *complaint;
	OutboxRedisUrl *u = take_apart(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								   &complaint);
	StringInfoData out;

	if (u == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(complaint));
	initStringInfo(&out);
	appendStringInfo(&out, "%s%s", kinds[u->kind], u->tls ? " tls" : "");
	add(&out, "path", u->path);
	for (int i = 0; i < u->nhosts; i++)
		appendStringInfo(&out, " <%s>:%d", u->hosts[i].name, u->hosts[i].port);
	add(&out, "master", u->master);
	appendStringInfo(&out, " db=%d", u->db);
	add(&out, "user", u->user);
	add(&out, "password", u->password);
	add(&out, "password_file", u->password_file);
	add(&out, "sentinel_user", u->sentinel_user);
	add(&out, "sentinel_password", u->sentinel_password);
	add(&out, "sslrootcert", u->sslrootcert);
	add(&out, "sslcert", u->sslcert);
	add(&out, "sslkey", u->sslkey);
	add(&out, "sslhost", u->sslhost);
	add(&out, "wait_replicas", u->wait_replicas);
	add(&out, "wait_timeout", u->wait_timeout);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

Datum
url_shown(PG_FUNCTION_ARGS)
{
	const char *complaint;
	OutboxRedisUrl *u = take_apart(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								   &complaint);

	if (u == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(outbox_show_redis_url(u)));
}

Datum
url_address(PG_FUNCTION_ARGS)
{
	const char *complaint;
	OutboxRedisUrl *u = take_apart(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								   &complaint);

	if (u == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(outbox_redis_address(u)));
}

/* NULL if it is, else why not */
Datum
url_is_usable(PG_FUNCTION_ARGS)
{
	const char *complaint;
	OutboxRedisUrl *u = outbox_parse_redis_url(text_to_cstring(PG_GETARG_TEXT_PP(0)),
											   &complaint);

	if (u == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(complaint));
	outbox_guc_free(u);
	PG_RETURN_NULL();
}
