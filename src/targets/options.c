/*-------------------------------------------------------------------------
 *
 * options.c
 *	  What a target can be told beyond the message itself.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Like everything that can be refused, options are checked while somebody can
 * be told: when a queue is created or altered, and when a message is enqueued.
 *
 * Options of asynq's messages are staged complete, see task_options.c.  Messages
 * of Watermill may have an id that is no UUID, see OUTBOX_OPTION_MESSAGE_ID.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/options.h"

#include "queue/queue.h"
#include "targets/commands.h"
#include "targets/function_source.h"
#include "targets/jobs.h"
#include "targets/message_args.h"
#include "targets/stream.h"
#include "targets/task_options.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

static void
check_is_object(const struct varlena *options)
{
	Jsonb	   *jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be an object"),
				 errhint("For example options => '{\"max_retry\": 10}'.")));
}

static bool
is_empty(const struct varlena *options)
{
	return options == NULL ||
		JB_ROOT_COUNT((Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options))) == 0;
}

/*
 * An error unless the options are this one, which the target needs.
 */
static void
check_only_option(const struct varlena *options, const char *target,
				  const char *name)
{
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	jsonb = is_empty(options) ? NULL :
		(Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	if (jsonb == NULL || JB_ROOT_COUNT(jsonb) != 1 ||
		findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("target \"%s\" needs the option \"%s\", and no other", target, name),
				 errhint("For example options => '{\"%s\": %s}'.", name,
						 strcmp(name, "commands") == 0 ?
						 "[[\"LPUSH\", \"{redis_key}\", \"{payload}\"]]" :
						 "\"redis.call(''LPUSH'', key, payload)\"")));
}

static void
no_options(OutboxTarget target, const char *of)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s of target \"%s\" have no options", of, outbox_targets[target].name),
			 outbox_has_jobs(target) ? errhint("Options of a job are members of its payload.") :
			 errhint("Leave the options out.")));
}

static void
check_function(OutboxBytes source)
{
	const char *fault;

	if (source.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"function\" must be a string that is not empty"),
				 errhint("It is the source of a Lua function's body.")));
	outbox_check_utf8(source.data, source.len);
	fault = outbox_function_fault(source);
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", fault),
				 errhint("It is the source of a Lua function's body.")));
}

void
outbox_check_queue_options(OutboxTarget target, const struct varlena *options)
{
	const char *error;
	const char *hint;

	if (options != NULL)
		check_is_object(options);
	switch (target)
	{
		case OUTBOX_TARGET_ASYNQ:
			outbox_check_task_defaults(options);
			break;
		case OUTBOX_TARGET_COMMANDS:
			check_only_option(options, "commands", "commands");
			if (outbox_template_compile(options, &error, &hint) == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s", error),
						 hint != NULL ? errhint("%s", hint) : 0));
			break;
		case OUTBOX_TARGET_FUNCTION:
			check_only_option(options, "function", "function");
			check_function(outbox_text_option(options, "function"));
			break;
		default:
			if (!is_empty(options))
				no_options(target, "queues");
			break;
	}
}

static void
check_metadata(const OutboxMessage *msg)
{
	OutboxBytes name = {OUTBOX_WATERMILL_UUID, strlen(OUTBOX_WATERMILL_UUID)};

	if (outbox_header(msg, name).data != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is reserved for the message's id", OUTBOX_WATERMILL_UUID)));
}

struct varlena *
outbox_message_id_option(const char *id)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"%s\": ", OUTBOX_OPTION_MESSAGE_ID);
	escape_json(&json, id);
	appendStringInfoChar(&json, '}');
	return (struct varlena *)
		DatumGetPointer(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

/*
 * A Watermill message has an id at most.
 */
static struct varlena *
watermill_options(const struct varlena *given)
{
	OutboxBytes id = outbox_text_option(given, OUTBOX_OPTION_MESSAGE_ID);

	if (is_empty(given))
		return NULL;
	if (JB_ROOT_COUNT((Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(given))) != 1 || id.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a message of target \"watermill\" has the option \"%s\" only, a string that is not empty",
						OUTBOX_OPTION_MESSAGE_ID)));
	outbox_check_utf8(id.data, id.len);
	return (struct varlena *) PG_DETOAST_DATUM(PointerGetDatum(given));
}

struct varlena *
outbox_message_options(const OutboxQueue *queue, const OutboxMessage *msg,
					   const struct varlena *given, TimestampTz due)
{
	if (given != NULL)
		check_is_object(given);
	if (queue->target == OUTBOX_TARGET_ASYNQ)
		return outbox_complete_task_options(queue, msg, given, due);
	if (queue->target == OUTBOX_TARGET_WATERMILL)
	{
		check_metadata(msg);
		return watermill_options(given);
	}
	if (!is_empty(given))
		no_options(queue->target, "messages");
	if (outbox_has_jobs(queue->target))
		outbox_check_job(queue->target, msg);
	return NULL;
}
