/*-------------------------------------------------------------------------
 *
 * fuzz_url.c
 *	  URLs of Redis, be they right or wrong.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Most of what the fuzzer says are pieces out of which URLs are made.  What is
 * taken for a URL is what its copy is, can be shown, and what is shown is a URL
 * of the same place, which has none of the secrets.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "redis_url.h"
#include "utils/guc.h"

static const char *const pieces[] = {
	"redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://",
	"redis+cluster://", "/", "/", "?", "&", "=", "@", ":", ",", "#", "[::1]", "%25", "%40",
	"%", "%00", "h", "host.example", "10.0.0.1", "6379", "0", "/1", "m", "SECRET",
	":SECRET@", "db=", "password_file=/", "sentinel_user=u", "sentinel_password=SECRET",
	"sslrootcert=/", "sslcert=/", "sslkey=/", "sslhost="
};

static char *
take_url(Input *in)
{
	StringInfoData url;

	initStringInfo(&url);
	while (in->at < in->end)
	{
		uint8_t		c = *in->at++;

		if (c >= 0x80)
			appendStringInfoString(&url, pieces[c % lengthof(pieces)]);
		else if (c != 0)
			appendStringInfoChar(&url, (char) c);
	}
	return url.data;
}

static bool
is_secret(const char *value, const char *shown)
{
	return value == NULL || strstr(value, "SECRET") == NULL || strstr(shown, "SECRET") == NULL;
}

void
fuzz_url(Input *in)
{
	char	   *url = take_url(in);
	const char *complaint;
	OutboxRedisUrl *u = outbox_parse_redis_url(url, &complaint);
	OutboxRedisUrl *copy;
	OutboxRedisUrl *again;
	char	   *shown;

	if (u == NULL)
	{
		check(complaint != NULL && strstr(complaint, "SECRET") == NULL);
		return;
	}
	copy = outbox_copy_redis_url(u);
	check(outbox_same_redis_url(u, copy));
	check((u->path != NULL) != (u->nhosts > 0));
	check(u->nhosts <= 1 || u->kind != OUTBOX_REDIS_SINGLE);
	check((u->master != NULL) == (u->kind == OUTBOX_REDIS_SENTINEL));
	check(u->user == NULL || u->password != NULL || u->password_file != NULL);
	for (int i = 0; i < u->nhosts; i++)
		check(u->hosts[i].name[0] != '\0' && u->hosts[i].port > 0 && u->hosts[i].port < 65536);
	check(outbox_redis_url_has_login(url) || (u->user == NULL && u->password == NULL));

	shown = outbox_show_redis_url(u);
	again = outbox_parse_redis_url(shown, &complaint);
	check(again != NULL);
	check(strcmp(outbox_redis_address(u), outbox_redis_address(again)) == 0);
	/* the rest of the URL may have the same word */
	if (strstr(outbox_redis_address(u), "SECRET") == NULL && u->user == NULL &&
		u->sentinel_user == NULL && u->sslhost == NULL && u->sslrootcert == NULL &&
		u->sslcert == NULL && u->sslkey == NULL && u->password_file == NULL)
		check(is_secret(u->password, shown) && is_secret(u->sentinel_password, shown));
	outbox_guc_free(u);
	outbox_guc_free(again);
}
