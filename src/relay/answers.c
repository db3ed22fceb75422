/*-------------------------------------------------------------------------
 *
 * answers.c
 *	  Hand each answer of Redis to the file that sent the request.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A file that sends a request doesn't wait for the answer.  This file lies
 * above all of those, reads the answers and calls the one that is concerned,
 * so that none of them has to be called from below.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/answers.h"

#include "queue/partition.h"
#include "relay/base/mishap.h"
#include "relay/base/turn.h"
#include "relay/base/wanted.h"
#include "relay/cluster.h"
#include "relay/consumers/streams.h"
#include "relay/deliver/batch.h"
#include "relay/deliver/look.h"
#include "relay/deliver/move.h"
#include "relay/deliver/queue_state.h"
#include "relay/deliver/read_cursor.h"
#include "relay/deliver/retry.h"
#include "relay/deliver/script.h"
#include "relay/deliver/skip.h"
#include "relay/deliver/suspect.h"
#include "relay/sentinel.h"
#include "relay/upkeep/errand.h"
#include "relay/upkeep/replicas.h"
#include "server_commands.h"

/*
 * What each request may be answered with, beside an error.  Anything else does
 * not come from a Redis that has done what it was asked: perhaps from a proxy,
 * or from another kind of server.
 */
static const struct
{
	const char *command;
	int			expected;
}			requests[] = {
	[REQUEST_HANDSHAKE] = {"AUTH or SELECT", OUTBOX_REPLY_STATUS},
	[REQUEST_ROLE] = {"ROLE", OUTBOX_REPLY_ARRAY},
	[REQUEST_CLUSTER] = {"CLUSTER SLOTS", OUTBOX_REPLY_ARRAY},
	[REQUEST_SCRIPT] = {"SCRIPT LOAD", OUTBOX_REPLY_STRING},
	[REQUEST_IGNORED] = {"a command", OUTBOX_REPLY_ANY},
	[REQUEST_COMMANDS] = {"EVAL", OUTBOX_REPLY_STRING},
	[REQUEST_ERRAND] = {"EVAL", OUTBOX_REPLY_ARRAY},
	[REQUEST_REPLICAS] = {"SET", OUTBOX_REPLY_STATUS},
	[REQUEST_CURSOR] = {"HGETALL", OUTBOX_REPLY_ARRAY},
	[REQUEST_TAKEOVER] = {"EVALSHA", OUTBOX_REPLY_INTEGER | OUTBOX_REPLY_ARRAY},
	[REQUEST_MOVE] = {"EVAL", OUTBOX_REPLY_INTEGER | OUTBOX_REPLY_ARRAY},
	[REQUEST_LOOK] = {"EVALSHA", OUTBOX_REPLY_INTEGER | OUTBOX_REPLY_ARRAY},
	[REQUEST_BATCH] = {"EVALSHA", OUTBOX_REPLY_INTEGER | OUTBOX_REPLY_ARRAY},
	[REQUEST_SKIP] = {"EVALSHA", OUTBOX_REPLY_ARRAY},
	[REQUEST_RETRY] = {"EVALSHA", OUTBOX_REPLY_ARRAY},
	[REQUEST_CONSUMER_CHECK] = {"XINFO STREAM", OUTBOX_REPLY_ARRAY},
	[REQUEST_CONSUMER_LOOK] = {"XREAD", OUTBOX_REPLY_ARRAY | OUTBOX_REPLY_NIL},
	[REQUEST_CONSUMER_READ] = {"XREAD", OUTBOX_REPLY_ARRAY | OUTBOX_REPLY_NIL},
	[REQUEST_CONSUMER_TRIM] = {"XTRIM", OUTBOX_REPLY_INTEGER}
};

/*
 * Is this an answer of a script?  Their number is 1; their arrays are flat and
 * begin with a word.
 */
static bool
is_of_script(RequestKind kind, const OutboxReply *reply)
{
	const char *word = outbox_reply_element_string(reply, 0);
	size_t		n = outbox_reply_length(reply);

	if (!outbox_reply_is_array(reply))
		return outbox_reply_integer(reply) == 1;
	if (!outbox_reply_is_array_of(reply, OUTBOX_REPLY_STRING |
								  OUTBOX_REPLY_INTEGER))
		return false;
	if (strcmp(word, "differs") == 0)
		return n >= 3;
	if (kind == REQUEST_BATCH)
		return strcmp(word, "stopped") == 0 && n == 3;
	return (kind == REQUEST_SKIP || kind == REQUEST_RETRY) &&
		strcmp(word, "done") == 0 && n % 2 == 1;
}

static bool
is_sha(const OutboxReply *reply)
{
	const char *sha = outbox_reply_string(reply);

	return outbox_reply_size(reply) == OUTBOX_SHA_SIZE - 1 &&
		strspn(sha, "0123456789abcdef") == OUTBOX_SHA_SIZE - 1;
}

/*
 * Is this an answer that the commands or the scripts give?
 */
static bool
is_expected(RequestKind kind, const OutboxReply *reply)
{
	int			type = outbox_reply_type(reply);

	if (type == OUTBOX_REPLY_ERROR)
		return true;
	if ((type & requests[kind].expected) == 0)
		return false;
	switch (kind)
	{
		case REQUEST_SCRIPT:
			return is_sha(reply);
		case REQUEST_CURSOR:
			return outbox_reply_length(reply) % 2 == 0 &&
				outbox_reply_is_array_of(reply, OUTBOX_REPLY_STRING);
		case REQUEST_TAKEOVER:
		case REQUEST_MOVE:
		case REQUEST_LOOK:
		case REQUEST_BATCH:
		case REQUEST_SKIP:
		case REQUEST_RETRY:
			return is_of_script(kind, reply);
		default:
			return true;
	}
}

/*
 * An error with a script that all queues share is the link's trouble, an error
 * with a queue's own script is the queue's.
 */
static void
script_answer(Relay *relay, Link *link, const Request *request,
			  const OutboxReply *reply)
{
	RelayQueue *queue = request->queue;

	if (!outbox_reply_is_error(reply))
	{
		if (outbox_script_loaded(link, request, outbox_reply_string(reply)))
			outbox_link_is_ready(link);
	}
	else if (queue == NULL)
		outbox_link_fail(link, outbox_reply_string(reply));
	else if (queue->state->state == QUEUE_ASKED)
		outbox_queue_error(relay, queue, outbox_reply_string(reply));
}

/*
 * Redis can't read what it was sent, and closes the connection now.  It reads one
 * request after the other, so it is this one.
 */
static bool
is_unreadable(const Request *request, const OutboxReply *reply)
{
	static const char error[] = "ERR Protocol error";

	return request->queue != NULL && outbox_reply_is_error(reply) &&
		strncmp(outbox_reply_string(reply), error, strlen(error)) == 0;
}

static void
take_answer(Relay *relay, Link *link, const Request *request,
			const OutboxReply *reply)
{
	if (is_unreadable(request, reply))
	{
		outbox_suspect_is_named(request->queue);
		outbox_link_cut(link, outbox_reply_string(reply));
		return;
	}
	if (outbox_is_redirected(relay, link, request, reply))
		return;
	if (!is_expected(request->kind, reply))
	{
		const char *error = psprintf("unexpected reply to %s",
									 requests[request->kind].command);

		/* messages may be delivered all the same */
		if (outbox_is_of_consumer(request->kind))
			outbox_consumer_refused(relay, request, error);
		else
			outbox_link_fail(link, error);
		return;
	}
	switch (request->kind)
	{
		case REQUEST_HANDSHAKE:
			if (outbox_reply_is_error(reply))
				outbox_link_fail(link, outbox_reply_string(reply));
			break;
		case REQUEST_ROLE:
			outbox_role_answer(link, reply);
			break;
		case REQUEST_CLUSTER:
			outbox_map_answer(link, reply);
			break;
		case REQUEST_SCRIPT:
			script_answer(relay, link, request, reply);
			break;
		case REQUEST_IGNORED:
			/* the request may have kept its queue out of a plan */
			outbox_want_plan(PLAN_ANSWER);
			break;
		case REQUEST_COMMANDS:
			outbox_keep_server_commands(relay->slot,
										outbox_reply_is_error(reply) ? NULL :
										outbox_reply_string(reply));
			break;
		case REQUEST_ERRAND:
			outbox_errand_answer(relay, reply);
			break;
		case REQUEST_REPLICAS:
			outbox_marker_answer(link, reply);
			break;
		case REQUEST_CURSOR:
			outbox_cursor_answer(relay, request, reply);
			break;
		case REQUEST_TAKEOVER:
			outbox_takeover_answer(relay, request, reply);
			break;
		case REQUEST_MOVE:
			outbox_move_answer(relay, request, reply);
			break;
		case REQUEST_LOOK:
			outbox_look_answer(relay, request, reply);
			break;
		case REQUEST_BATCH:
			outbox_batch_answer(relay, request, reply);
			break;
		case REQUEST_SKIP:
			outbox_skip_answer(relay, request, reply);
			break;
		case REQUEST_RETRY:
			outbox_retry_answer(relay, request, reply);
			break;
		case REQUEST_CONSUMER_CHECK:
		case REQUEST_CONSUMER_LOOK:
		case REQUEST_CONSUMER_READ:
		case REQUEST_CONSUMER_TRIM:
			outbox_consumer_answer(relay, request, reply);
			break;
	}
}

static OutboxStep
step_of(RequestKind kind)
{
	switch (kind)
	{
		case REQUEST_CURSOR:
			return OUTBOX_STEP_RECONCILE;
		case REQUEST_SKIP:
		case REQUEST_RETRY:
		case REQUEST_CONSUMER_READ:
			return OUTBOX_STEP_REFUSALS;
		default:
			return OUTBOX_STEP_ANSWERS;
	}
}

/*
 * What an answer says can't be recorded: its queue is left for later.  Its
 * cursor will say again what has become of its messages.
 */
static void
answer_failed(Relay *relay, const Request *request, const char *error)
{
	if (request->kind >= REQUEST_CONSUMER_CHECK)
		outbox_consumer_failed(request->queue, error);
	else
		outbox_block_queue(relay, request->queue, NULL, error);
}

static void
try_answer(Relay *relay, Link *link, const Request *request,
		   const OutboxReply *reply)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		take_answer(relay, link, request, reply);
	}
	PG_CATCH();
	{
		if (request->queue == NULL)
			PG_RE_THROW();
		answer_failed(relay, request, outbox_end_error(context));
	}
	PG_END_TRY();
}

/*
 * Thousands of answers may have arrived at once, when cursors have been asked
 * for.  What is left is for the next turn.
 */
void
outbox_take_answers(Relay *relay, Link *link)
{
	OutboxTime	begin = outbox_now();
	OutboxStep	step = OUTBOX_STEPS;
	bool		more = false;
	Request    *request;
	OutboxReply *reply;

	while (!more && outbox_next_answer(link, &request, &reply))
	{
		if (step_of(request->kind) != step)
			outbox_turn_does(step = step_of(request->kind));
		outbox_turn_worked(request->queue != NULL ?
						   outbox_queue_of(request->queue->settings) : 0,
						   Max(request->count, 1));
		try_answer(relay, link, request, reply);
		if (link->is_cut)
		{
			/* it was no answer: the request is the one the link ended at */
			outbox_reply_free(reply);
			return;
		}
		outbox_answer_done(link, request, reply);
		more = outbox_now() - begin >= OUTBOX_PIECE_US;
	}
	outbox_link_has_more(link, more);
}
