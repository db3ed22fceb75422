/*-------------------------------------------------------------------------
 *
 * script.c
 *	  The scripts that move cursors, and how they are called.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * There are two that move cursors: apply.lua and skip.lua, which say what their
 * arguments and answers are.  The Makefile makes strings of them.
 *
 * A queue of target "function" has scripts of its own: these, behind a function
 * made of its source (function.lua).  So what it does is part of the one script
 * that moves the cursor, and is done once like all else; a library of FUNCTION
 * LOAD couldn't be called from here.  Its arguments are key (the queue's
 * redis_key), id, msgtype, msgkey, payload, headers (JSON), now_ms, attempt; it
 * returns nothing, or {err = ...}.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/script.h"

#include "redis/resp.h"
#include "relay/deliver/scripts.h"
#include "targets/message_args.h"
#include "targets/target.h"

/*
 * A message with more arguments is sent like several: what the script does for one
 * must not raise an error, and unpack() does if there are thousands.
 */
#define ONE_ARGS	100

static const char *const scripts[OUTBOX_SCRIPTS] = {
	[OUTBOX_SCRIPT_APPLY] = apply_script,
	[OUTBOX_SCRIPT_SKIP] = skip_script
};

static const struct
{
	const char *name;
	OutboxScript script;
}			modes[] = {
	[SCRIPT_APPLY] = {"apply", OUTBOX_SCRIPT_APPLY},
	[SCRIPT_ONE] = {"one", OUTBOX_SCRIPT_APPLY},
	[SCRIPT_MOVE] = {"move", OUTBOX_SCRIPT_APPLY},
	[SCRIPT_SKIP] = {"skip", OUTBOX_SCRIPT_SKIP},
	[SCRIPT_RETRY] = {"retry", OUTBOX_SCRIPT_SKIP}
};

static QueueScripts *
mine(const RelayQueue *queue)
{
	return unconstify(QueueScripts *, queue->scripts);
}

void
outbox_link_scripts_init(Link *link)
{
	link->scripts = MemoryContextAllocZero(link->context, sizeof(LinkScripts));
}

void
outbox_scripts_init(RelayQueue *queue)
{
	queue->scripts = outbox_make_part(queue, sizeof(QueueScripts));
}

/*
 * The text of a script; a queue's own one if it has a function.  What is before
 * the function's source becomes one line, so that errors name the source's lines.
 */
static const char *
script_text(OutboxScript script, const RelayQueue *queue)
{
	static const char place[] = "\nsource()\n";
	const char *behind = strstr(function_script, place);
	OutboxBytes source;
	char	   *before;

	if (queue == NULL)
		return scripts[script];
	Assert(behind != NULL);
	before = pnstrdup(function_script, behind - function_script);
	for (char *c = before; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
	source = outbox_text_option(queue->settings->options, "function");
	source = outbox_utf8_bytes(source.data, source.len);
	return psprintf("%s\n%.*s\n%s%s", before, (int) source.len, source.data,
					behind + strlen(place), scripts[script]);
}

void
outbox_send_scripts(Link *link, RelayQueue *queue)
{
	for (int i = 0; i < OUTBOX_SCRIPTS; i++)
		outbox_send_command(link, REQUEST_SCRIPT, queue, 3,
							(const char *const[]) {"SCRIPT", "LOAD",
								script_text(i, queue)})->number = i;
}

/*
 * By a script that is used once and needs not be loaded.
 */
void
outbox_ask_for_commands(Link *link)
{
	outbox_send_command(link, REQUEST_COMMANDS, NULL, 3,
						(const char *const[]) {"EVAL", commands_script, "0"});
}

void
outbox_mark_cursor(RelayQueue *queue, const char *owner)
{
	outbox_send_command(queue->link, REQUEST_IGNORED, queue, 5,
						(const char *const[]) {"EVAL", mark_script, "1",
							queue->cursor_key, owner});
}

Request *
outbox_send_move(RelayQueue *queue, int argc, const char *const *argv)
{
	StringInfo	out = outbox_link_out(queue->link);

	outbox_resp_command(out, 4 + argc);
	outbox_resp_string(out, "EVAL");
	outbox_resp_string(out, move_script);
	outbox_resp_string(out, "1");
	outbox_resp_string(out, queue->cursor_key);
	for (int i = 0; i < argc; i++)
		outbox_resp_string(out, argv[i]);
	return outbox_expect_answer(queue->link, REQUEST_MOVE, queue);
}

void
outbox_find_cursors(Link *link, const char *place)
{
	outbox_send_command(link, REQUEST_ERRAND, NULL, 4,
						(const char *const[]) {"EVAL", find_script, "0", place});
}

void
outbox_remove_cursor(Link *link, const char *key, const char *mark)
{
	outbox_send_command(link, REQUEST_ERRAND, NULL, 5,
						(const char *const[]) {"EVAL", remove_script, "1", key,
							mark});
}

bool
outbox_script_loaded(Link *link, const Request *request, const char *sha)
{
	strlcpy(request->queue != NULL ?
			mine(request->queue)->shas[request->number] :
			link->scripts->shas[request->number],
			sha, OUTBOX_SHA_SIZE);
	return request->queue == NULL && request->number == OUTBOX_SCRIPTS - 1;
}

static void
write_seqs(StringInfo out, const StringInfoData *seqs)
{
	if (seqs != NULL)
		outbox_resp_arg(out, seqs->data, seqs->len);
	else
		outbox_resp_string(out, "");
}

bool
outbox_is_for_one(const OutboxQueue *settings, int count, int nargs)
{
	if (count != 1 || nargs > ONE_ARGS)
		return false;
	return settings->target == OUTBOX_TARGET_STREAM ||
		settings->target == OUTBOX_TARGET_WATERMILL ||
		settings->target == OUTBOX_TARGET_LIST ||
		settings->target == OUTBOX_TARGET_PUBLISH;
}

/*
 * Does the target touch keys that are not named to Redis?  While a slot is on its way
 * to another node, such a key may be there already, and a message would be applied in
 * part.  So a key is named as well that never exists: then Redis does nothing while
 * anything in the slot is elsewhere.
 */
static bool
has_other_keys(const RelayQueue *queue)
{
	switch (queue->settings->target)
	{
		case OUTBOX_TARGET_ASYNQ:
		case OUTBOX_TARGET_COMMANDS:
		case OUTBOX_TARGET_FUNCTION:
			return outbox_is_in_cluster(queue->link);
		default:
			return false;
	}
}

/*
 * What calls differ in.  A channel is no key, so targets that have no key name it
 * as an argument.
 */
static void
write_one(StringInfo out, const OutboxQueue *settings, const ScriptCall *call)
{
	outbox_resp_number(out, call->expect_count + 1);
	appendBinaryStringInfoNT(out, call->args->data, call->args->len);
	if (settings->target == OUTBOX_TARGET_PUBLISH)
		outbox_resp_string(out, settings->redis_key);
}

static void
write_several(StringInfo out, const OutboxQueue *settings,
			  const ScriptCall *call)
{
	if (call->mode == SCRIPT_MOVE)
		outbox_resp_string(out, call->line != NULL ? call->line : "");
	else
		outbox_resp_string(out, settings->target == OUTBOX_TARGET_PUBLISH ?
						   settings->redis_key : "");
	write_seqs(out, call->seqs);
	outbox_resp_number(out, call->count);
	if (call->nargs > 0)
		appendBinaryStringInfoNT(out, call->args->data, call->args->len);
}

void
outbox_call_script(RelayQueue *queue, const ScriptCall *call)
{
	const OutboxQueue *settings = queue->settings;
	StringInfo	out = outbox_link_out(queue->link);
	bool		publish = settings->target == OUTBOX_TARGET_PUBLISH;
	bool		one = call->mode == SCRIPT_ONE;
	bool		whole = has_other_keys(queue);
	OutboxScript script = modes[call->mode].script;

	outbox_resp_command(out, (publish ? 4 : 5) + whole + call->nargs +
						(one ? 8 + publish : 10));
	outbox_resp_string(out, "EVALSHA");
	outbox_resp_string(out, settings->target == OUTBOX_TARGET_FUNCTION ?
					   queue->scripts->shas[script] :
					   queue->link->scripts->shas[script]);
	outbox_resp_string(out, publish ? "1" : whole ? "3" : "2");
	outbox_resp_string(out, queue->cursor_key);
	if (!publish)
		outbox_resp_string(out, settings->redis_key);
	if (whole)
		outbox_resp_string(out, psprintf("%s:none", queue->cursor_key));
	outbox_resp_string(out, modes[call->mode].name);
	outbox_resp_string(out, call->expect_text);
	outbox_resp_string(out, call->expect_seq);
	outbox_resp_number(out, call->expect_count);
	outbox_resp_string(out, call->to_text);
	outbox_resp_number(out, call->to_seq);
	outbox_resp_string(out, outbox_target_branch(settings));
	if (one)
		write_one(out, settings, call);
	else
		write_several(out, settings, call);
}
