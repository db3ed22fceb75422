/*-------------------------------------------------------------------------
 *
 * master.c
 *	  What Sentinels, and servers themselves, say of who is master.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A Sentinel answers with the address by which it knows the master: numbers, or
 * a name where it is told to announce names.  The answer gets into logs and
 * views, and whoever answers need not be a Sentinel.  So an answer is taken only
 * if it could be an address.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/master.h"

#include "redis/resp.h"

const OutboxReplyLimits outbox_sentinel_limits = {1, 16, 4096};

/* of each replica ROLE says three things */
const OutboxReplyLimits outbox_role_limits = {3, 4096, 1024 * 1024};

int
outbox_ask_sentinel(StringInfo out, const OutboxRedisUrl *url)
{
	bool		logs_in = url->sentinel_password != NULL;

	if (logs_in)
	{
		outbox_resp_command(out, url->sentinel_user != NULL ? 3 : 2);
		outbox_resp_string(out, "AUTH");
		if (url->sentinel_user != NULL)
			outbox_resp_string(out, url->sentinel_user);
		outbox_resp_string(out, url->sentinel_password);
	}
	outbox_resp_command(out, 3);
	outbox_resp_string(out, "SENTINEL");
	outbox_resp_string(out, "get-master-addr-by-name");
	outbox_resp_string(out, url->master);
	return logs_in ? 2 : 1;
}

bool
outbox_is_host(const char *host, size_t len)
{
	if (len == 0 || len >= OUTBOX_HOST_SIZE)
		return false;
	for (size_t i = 0; i < len; i++)
		if (host[i] <= ' ' || host[i] >= 0x7f || host[i] == '/')
			return false;
	return true;
}

int
outbox_read_port(const char *digits, size_t len)
{
	int			port = 0;

	if (len == 0 || len > 5)
		return 0;
	for (size_t i = 0; i < len; i++)
	{
		if (digits[i] < '0' || digits[i] > '9')
			return 0;
		port = port * 10 + (digits[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

static bool
is_host(const OutboxReply *reply)
{
	return outbox_is_host(outbox_reply_string(reply), outbox_reply_size(reply));
}

static int
read_port(const OutboxReply *reply)
{
	return outbox_read_port(outbox_reply_string(reply),
							outbox_reply_size(reply));
}

const char *
outbox_read_master(const OutboxReply *reply, OutboxMaster *master)
{
	if (outbox_reply_is_error(reply))
		return outbox_reply_string(reply);
	if (outbox_reply_type(reply) == OUTBOX_REPLY_NIL)
		return "it knows no master of this name";
	if (outbox_reply_length(reply) != 2 ||
		!outbox_reply_is_array_of(reply, OUTBOX_REPLY_STRING) ||
		!is_host(outbox_reply_element(reply, 0)))
		return "its answer is no address";
	master->port = read_port(outbox_reply_element(reply, 1));
	if (master->port == 0)
		return "its answer is no address";
	strlcpy(master->host, outbox_reply_element_string(reply, 0),
			sizeof(master->host));
	return NULL;
}

bool
outbox_role_is_master(const OutboxReply *reply)
{
	return strcmp(outbox_reply_element_string(reply, 0), "master") == 0;
}
