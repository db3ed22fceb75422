/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Settings, in alphabetical order, each with its reason.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * outbox.max_message_size: Redis closes the connection on a value beyond its
 * proto-max-bulk-len, which would look like an outage that never ends.  So
 * larger messages are refused where the caller can be told, with a limit well
 * below Redis's.  It also bounds the relay's memory.
 *
 * outbox.redis_url: the one place where Redis is named.  The URL may hold a
 * password.  Only superusers see the URL, without the password, and no message
 * quotes it.  But PostgreSQL logs the new value of a setting that a reload
 * changes.  So PostgreSQL is given the empty string as the value, whatever was
 * set, and the URL is kept as the check hook's extra.
 *
 * A reload with a malformed URL keeps the old one.  When the server starts there
 * is no old one, and the default may be somebody else's Redis.  Then there is no
 * URL, nothing is delivered, and the status says why.
 *
 * outbox.retention: rows that Redis has acknowledged are kept that long, in
 * case Redis loses its last writes.  A longer time costs disk space, a shorter
 * one covers smaller losses.
 *
 * outbox.wait_for_standby: a message leaves when the synchronous standby has it.
 * Whoever would rather have doubles and phantoms after a failover than no delivery
 * while the standby is away turns it off.
 *
 * All of them can be changed by a reload.
 *
 *-------------------------------------------------------------------------
 */
#include "guc.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/guc.h"

#define DEFAULT_REDIS_URL "redis://localhost:6379/0"

int			outbox_max_message_size = 1024 * 1024;
const OutboxRedisUrl *outbox_redis_server = NULL;
int			outbox_retention = 60;
bool		outbox_wait_for_standby = true;

static char *redis_url = NULL;	/* always empty, see above */

static bool
check_redis_url(char **newval, void **extra, GucSource source)
{
	const char *complaint;
	OutboxRedisUrl *url;

	/* a parallel worker is given the value that PostgreSQL knows: '' */
	url = outbox_parse_redis_url(InitializingParallelWorker ?
								 DEFAULT_REDIS_URL : *newval, &complaint);
	if (url == NULL && process_shared_preload_libraries_in_progress)
	{
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"outbox.redis_url\""),
				 errdetail("%s", complaint),
				 errhint("Nothing is delivered until it is corrected and the configuration is reloaded.")));
		url = outbox_no_redis_url(complaint);
	}
	if (url == NULL)
	{
		/* the default message would quote the value */
		GUC_check_errmsg("invalid value for parameter \"outbox.redis_url\"");
		GUC_check_errdetail("%s", complaint);
		GUC_check_errhint("Use redis://[user[:password]@]host[:port][/db], rediss:// for TLS, or unix:///path?db=n.");
		return false;
	}
	*extra = url;
	(*newval)[0] = '\0';
	return true;
}

static void
assign_redis_url(const char *newval, void *extra)
{
	outbox_redis_server = extra;
}

static const char *
show_redis_url(void)
{
	return outbox_show_redis_url(outbox_redis_server);
}

void
outbox_define_settings(void)
{
	DefineCustomIntVariable("outbox.max_message_size",
							"The maximum size of a message, headers included.",
							NULL,
							&outbox_max_message_size,
							1024 * 1024, 1024, 64 * 1024 * 1024,
							PGC_SIGHUP,
							GUC_UNIT_BYTE,
							NULL, NULL, NULL);

	DefineCustomStringVariable("outbox.redis_url",
							   "The Redis server that gets the messages: redis://[user[:password]@]host[:port][/db], rediss:// for TLS, or unix:///path?db=n.",
							   NULL,
							   &redis_url,
							   DEFAULT_REDIS_URL,
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   check_redis_url, assign_redis_url,
							   show_redis_url);

	DefineCustomIntVariable("outbox.retention",
							"The time for which messages are kept after Redis has acknowledged them.",
							"If Redis loses its last writes, messages that it acknowledged within this time are sent again.",
							&outbox_retention,
							60, 0, 7 * 24 * 3600,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("outbox.wait_for_standby",
							 "Messages are delivered when the synchronous standby has them.",
							 "Nothing is waited for if synchronous_standby_names is empty.",
							 &outbox_wait_for_standby,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("outbox");
}
