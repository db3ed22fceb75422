/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Settings, in alphabetical order, each with its reason.
 *
 * Design notes
 *
 * outbox.max_message_size: Redis closes the connection on a value beyond its
 * proto-max-bulk-len, which would look like an outage that never ends.  So
 * the limit is kept where the caller can be told, and well below; it also
 * bounds the relay's memory.
 *
 * outbox.redis_url: the one place where Redis is named.  It may hold a
 * password, so only superusers see it and no message quotes it.
 *
 * outbox.retention: rows that Redis has acknowledged are kept that long, in
 * case Redis loses its last writes.  More costs disk, less covers less.
 *
 * All three can be changed by a reload.
 *
 *-------------------------------------------------------------------------
 */
#include "guc.h"

#include "redis_url.h"
#include "utils/guc.h"

int			outbox_max_message_size = 1024 * 1024;
char	   *outbox_redis_url = NULL;
int			outbox_retention = 60;

static bool
check_redis_url(char **newval, void **extra, GucSource source)
{
	const char *complaint;
	OutboxRedisUrl *url = outbox_parse_redis_url(*newval, &complaint);

	if (url == NULL)
	{
		/* the default message would quote the value */
		GUC_check_errmsg("invalid value for parameter \"outbox.redis_url\"");
		GUC_check_errdetail("%s", complaint);
		GUC_check_errhint("Use redis://[user[:password]@]host[:port][/db] or unix:///path?db=n.");
		return false;
	}
	free(url);
	return true;
}

void
outbox_define_settings(void)
{
	DefineCustomIntVariable("outbox.max_message_size",
							"The largest message that outbox_enqueue() takes, headers included.",
							NULL,
							&outbox_max_message_size,
							1024 * 1024, 1, 64 * 1024 * 1024,
							PGC_SIGHUP,
							GUC_UNIT_BYTE,
							NULL, NULL, NULL);

	DefineCustomStringVariable("outbox.redis_url",
							   "Where messages are delivered: redis://[user[:password]@]host[:port][/db] or unix:///path?db=n.",
							   NULL,
							   &outbox_redis_url,
							   "redis://localhost:6379/0",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   check_redis_url, NULL, NULL);

	DefineCustomIntVariable("outbox.retention",
							"How long messages are kept after Redis has acknowledged them.",
							"What Redis loses of its last writes within this time is sent again.",
							&outbox_retention,
							60, 0, 7 * 24 * 3600,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	MarkGUCPrefixReserved("outbox");
}
