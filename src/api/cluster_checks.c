/*-------------------------------------------------------------------------
 *
 * cluster_checks.c
 *	  A queue's server may be a Redis Cluster.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A server can become a cluster later.  The relay looks at a queue as well, before
 * it asks for its cursor; the keys of a queue's commands are looked at here only.
 * Which arguments are keys is what COMMAND of the default server says, by way of the
 * relay: another server's may know more commands, and does not differ in that.
 *
 *-------------------------------------------------------------------------
 */
#include "api/cluster_checks.h"

#include "convert.h"
#include "miscadmin.h"
#include "queue/partition.h"
#include "redis_server.h"
#include "server_commands.h"
#include "targets/cluster_fault.h"
#include "targets/commands.h"

static bool
is_cluster(const char *server)
{
	OutboxRedisServer *resolved =
	outbox_resolve_server(CurrentMemoryContext, server != NULL ? server :
						  OUTBOX_DEFAULT_SERVER, false);
	bool		result = resolved->fault == NULL &&
	resolved->url->kind == OUTBOX_REDIS_CLUSTER;

	outbox_forget_server(resolved);
	return result;
}

static void
refuse(const OutboxQueue *queue, const char *fault, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("queue \"%s\" cannot be delivered to a Redis Cluster: %s",
					queue->name, fault),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Do all keys of a command have the slot of the queue's?
 */
static void
check_keys(const OutboxQueue *queue, const OutboxTemplate *template, int n)
{
	int			slot = outbox_slot_of_bytes(queue->redis_key);
	int			nargs;
	const char *name = outbox_template_command(template, n, &nargs);
	OutboxServerCommand command;
	int			last;

	switch (outbox_find_server_command(MyDatabaseId, name, &command))
	{
		case OUTBOX_COMMANDS_NOT_KNOWN:
			refuse(queue, "which of its commands' arguments are keys cannot be asked now",
				   "Try again when outbox.status says that the relay is running.");
			break;
		case OUTBOX_COMMAND_MISSING:
			return;
		case OUTBOX_COMMAND_FOUND:
			break;
	}
	last = command.last_key < 0 ? nargs + command.last_key : command.last_key;
	for (int arg = command.first_key; arg > 0 && arg <= last && arg < nargs;
		 arg += Max(command.key_step, 1))
		if (outbox_template_slot(template, n, arg, queue) != slot)
			refuse(queue, psprintf("argument %d of command \"%s\" may be a key of another slot", arg, name),
				   "Give the queue a redis_key with a hash tag, such as \"{orders}\", and begin each key with {redis_key}.");
}

void
outbox_check_cluster(const OutboxQueue *queue)
{
	OutboxQueue sent = *queue;
	OutboxBytes key = outbox_utf8_bytes(queue->redis_key, strlen(queue->redis_key));
	const char *fault;
	const char *hint;
	OutboxTemplate *template;

	if (!is_cluster(queue->server))
		return;
	sent.redis_key = pnstrdup(key.data, key.len);
	fault = outbox_cluster_fault(&sent, &hint);
	if (fault != NULL)
		refuse(queue, fault, hint);
	if (queue->target != OUTBOX_TARGET_COMMANDS)
		return;
	template = outbox_template_compile(queue->options, &fault, &hint);
	for (int i = 0; template != NULL && i < outbox_template_length(template); i++)
		check_keys(&sent, template, i);
}
