/*-------------------------------------------------------------------------
 *
 * queue_checks.c
 *	  What the settings of a queue may be.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Wrong settings are refused here, with hints.  The constraints of outbox.queue
 * refuse them, too, if somebody writes the table by other means.
 *
 *-------------------------------------------------------------------------
 */
#include "api/queue_checks.h"

#include "convert.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "queue/partition.h"
#include "server_commands.h"
#include "targets/commands.h"
#include "targets/options.h"

void
outbox_check_name(const char *what, const char *value)
{
	int			len = pg_mbstrlen(value);

	if (len < 1 || len > OUTBOX_MAX_QUEUE_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d characters", what,
						OUTBOX_MAX_QUEUE_NAME)));

	/* Redis gets it as UTF-8 */
	outbox_check_utf8(value, strlen(value));
}

void
outbox_check_redis_key(const char *redis_key)
{
	if (redis_key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("redis_key must not be empty")));
	outbox_check_utf8(redis_key, strlen(redis_key));
}

const OutboxTargetInfo *
outbox_check_target(const char *target, const char *format)
{
	const OutboxTargetInfo *info = outbox_target_info(target);

	if (info == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown target \"%s\"", target),
				 errhint("Targets are stream, list, publish, asynq, watermill, celery, sidekiq, rq, dramatiq, commands and function.")));
	if (format != NULL && !info->formats)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no formats", target),
				 errhint("Leave the format out.")));
	if (format != NULL && strcmp(format, "json") != 0 &&
		strcmp(format, "raw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown format \"%s\"", format),
				 errhint("Formats are \"json\" and \"raw\".")));
	return info;
}

void
outbox_check_maxlen(const OutboxTargetInfo *target, int64 maxlen)
{
	if (!target->maxlen)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no maximum length", target->name),
				 errhint("Only a stream (target stream or watermill) can be trimmed with maxlen.")));
	if (maxlen < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("maxlen must be greater than zero")));
}

/*
 * Has the default server these commands?  If the relay could not ask it, or the queue
 * has another server, that is left to the first message.
 */
static void
check_commands(const struct varlena *options)
{
	const char *error;
	const char *hint;
	const OutboxTemplate *template = outbox_template_compile(options, &error, &hint);

	for (int i = 0; i < outbox_template_length(template); i++)
	{
		int			nargs;
		const char *name = outbox_template_command(template, i, &nargs);
		OutboxServerCommand command;

		switch (outbox_find_server_command(MyDatabaseId, name, &command))
		{
			case OUTBOX_COMMANDS_NOT_KNOWN:
				return;
			case OUTBOX_COMMAND_MISSING:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("unknown command \"%s\"", name),
						 errdetail("The Redis that the queue is delivered to does not have it.")));
				break;
			case OUTBOX_COMMAND_FOUND:
				if (command.noscript)
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("command \"%s\" cannot be one of a queue's commands", name),
							 errdetail("Commands run in a script, and Redis does not let scripts call it.")));
				if (command.arity >= 0 ? nargs != command.arity : nargs < -command.arity)
					ereport(ERROR,
							(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							 errmsg("wrong number of arguments for command \"%s\"", name)));
				break;
		}
	}
}

void
outbox_check_new_options(OutboxTarget target, const struct varlena *options,
						 const char *server)
{
	outbox_check_queue_options(target, options);
	if (target == OUTBOX_TARGET_COMMANDS && server == NULL)
		check_commands(options);
}

void
outbox_check_on_failure(const char *on_failure)
{
	if (strcmp(on_failure, "block") != 0 && strcmp(on_failure, "retry") != 0 &&
		strcmp(on_failure, "dead_letter") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_failure \"%s\"", on_failure),
				 errhint("It is \"block\", \"retry\" or \"dead_letter\".")));
}

void
outbox_check_max_attempts(int max_attempts)
{
	if (max_attempts < 1 || max_attempts > 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts must be from 1 to 1000"),
				 errhint("To try a message until it goes through, use on_failure => 'block'.")));
}

void
outbox_check_backoff(double backoff)
{
	/* written so that NaN is refused, too */
	if (!(backoff >= 1 && backoff <= 100))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("retry_backoff must be from 1 to 100"),
				 errhint("1 keeps the delay the same, 2 doubles it with each attempt.")));
}

void
outbox_check_delay(const char *name, const Interval *delay)
{
	if (outbox_interval_us(delay) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name)));
}

void
outbox_check_payload_type(const OutboxTargetInfo *target, const char *payload_type)
{
	if (target->payload_type_only && payload_type != NULL &&
		strcmp(payload_type, target->payload_type) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payloads of target \"%s\" are %s", target->name,
						target->payload_type),
				 errhint("Leave the setting \"payload_type\" out.")));
}

/*
 * Only what is in outbox's own format can say more of a message.
 */
void
outbox_check_fields(const OutboxTargetInfo *target, bool raw, int fields)
{
	if (fields != 0 && (!target->fields || raw))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 raw ? errmsg("format \"raw\" has no fields") :
				 errmsg("target \"%s\" has no fields", target->name),
				 errhint("Leave the setting \"fields\" out.")));
}

/*
 * A partition's number goes into the hash tag.  A { or } that makes no tag could
 * make one with it, of something else.
 */
void
outbox_check_partitions(const OutboxTargetInfo *target, int partitions,
						const char *redis_key)
{
	const char *tag;
	int			len;

	if (partitions == 1)
		return;
	if (!target->partitions)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" has no partitions", target->name),
				 errdetail("Its workers take jobs from one queue."),
				 errhint("Leave the setting \"partitions\" out.")));
	if (!outbox_find_tag(redis_key, &tag, &len) && strpbrk(redis_key, "{}") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("redis_key \"%s\" has braces and no hash tag", redis_key),
				 errdetail("Partitions have their numbers in the hash tag."),
				 errhint("For example \"{orders}:events\", or a key without braces.")));
}
