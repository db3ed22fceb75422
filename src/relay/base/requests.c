/*-------------------------------------------------------------------------
 *
 * requests.c
 *	  Commands to Redis, and whose answers come next.
 *
 * Design notes
 *
 * Redis answers in the order in which it was asked, so what is awaited is a
 * list.  When the connection goes, the list goes too: whatever it asked for is
 * seen from the cursors that are read on the next connection.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/relay.h"

#include "targets/options.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BUFFER_KEEP		(1024 * 1024)

/*
 * Empty a buffer, and give back what a large message has made it take.
 */
void
outbox_empty_buffer(StringInfo buf)
{
	resetStringInfo(buf);
	if (buf->maxlen > BUFFER_KEEP)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(buf->data));

		pfree(buf->data);
		initStringInfo(buf);
		MemoryContextSwitchTo(old);
	}
}

void
outbox_send_command(Relay *relay)
{
	outbox_redis_append(relay->command.data, relay->command.len);
	outbox_empty_buffer(&relay->command);
}

/*
 * Where a queue's requests are counted.  What is read from its consumers'
 * streams has nothing to do with its cursor.
 */
static int *
requests_of(RelayQueue *queue, RequestKind kind)
{
	return kind >= REQUEST_CONSUMER_CHECK ? &queue->consumer_reads :
		&queue->inflight;
}

/*
 * An answer is awaited.  Of the same connection and in the order of calls.
 */
Request *
outbox_expect_answer(Relay *relay, RequestKind kind, RelayQueue *queue)
{
	Request    *request = MemoryContextAllocZero(relay->context,
												 sizeof(Request));

	request->kind = kind;
	request->queue = queue;
	dlist_push_tail(&relay->requests, &request->node);
	if (relay->inflight++ == 0)
		relay->progress_at = GetCurrentTimestamp();
	if (queue != NULL)
		++*requests_of(queue, kind);
	relay->consumer_reads += kind >= REQUEST_CONSUMER_CHECK;
	return request;
}

static void
free_request(Relay *relay, Request *request)
{
	dlist_delete(&request->node);
	relay->inflight--;
	if (request->queue != NULL)
		--*requests_of(request->queue, request->kind);
	relay->consumer_reads -= request->kind >= REQUEST_CONSUMER_CHECK;
	outbox_snap_unref(request->pos.prev);
	outbox_snap_unref(request->pos.cur);
	if (request->entries != NULL)
		pfree(request->entries);
	pfree(request);
}

/*
 * Forget what was asked: the connection is gone.
 */
void
outbox_drop_requests(Relay *relay)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &relay->requests)
		free_request(relay, dlist_container(Request, node, iter.cur));
}

static Request *
simple_command(Relay *relay, RequestKind kind, int argc,
			   const char *const *argv)
{
	outbox_resp_command(&relay->command, argc);
	for (int i = 0; i < argc; i++)
		outbox_resp_string(&relay->command, argv[i]);
	outbox_send_command(relay);
	return outbox_expect_answer(relay, kind, NULL);
}

/*
 * Load the scripts, or a queue's own ones.
 */
static void
send_scripts(Relay *relay, RelayQueue *queue)
{
	for (int i = 0; i < OUTBOX_SCRIPTS; i++)
	{
		Request    *request;

		outbox_resp_command(&relay->command, 3);
		outbox_resp_string(&relay->command, "SCRIPT");
		outbox_resp_string(&relay->command, "LOAD");
		outbox_resp_string(&relay->command, outbox_script_text(i, queue));
		outbox_send_command(relay);
		request = outbox_expect_answer(relay, REQUEST_SCRIPT, queue);
		request->count = i;
	}
}

/*
 * What every connection begins with.
 */
void
outbox_send_handshake(Relay *relay, const OutboxRedisUrl *url)
{
	if (url->password != NULL)
	{
		if (url->user != NULL)
			simple_command(relay, REQUEST_HANDSHAKE, 3,
						   (const char *const[]) {"AUTH", url->user,
							   url->password});
		else
			simple_command(relay, REQUEST_HANDSHAKE, 2,
						   (const char *const[]) {"AUTH", url->password});
	}
	if (url->db != 0)
		simple_command(relay, REQUEST_HANDSHAKE, 2,
					   (const char *const[]) {"SELECT", psprintf("%d", url->db)});

	/* for CLIENT LIST; not allowed by every ACL */
	simple_command(relay, REQUEST_IGNORED, 3,
				   (const char *const[]) {"CLIENT", "SETNAME", "outbox"});

	send_scripts(relay, NULL);
}

/*
 * Ask for a queue's cursor, after what its target needs.
 */
void
outbox_send_cursor_request(Relay *relay, RelayQueue *queue)
{
	if (queue->settings.target == OUTBOX_TARGET_COMMANDS &&
		queue->settings.template == NULL)
	{
		outbox_block_queue(relay, queue, 0, "outbox.queue.options has no commands");
		return;
	}
	if (queue->settings.target == OUTBOX_TARGET_FUNCTION &&
		outbox_text_option(queue->settings.options, "function").len == 0)
	{
		outbox_block_queue(relay, queue, 0, "outbox.queue.options has no function");
		return;
	}
	if (queue->settings.target == OUTBOX_TARGET_FUNCTION)
		send_scripts(relay, queue);

	/* what asynq's tools list; its client adds to it likewise, by itself */
	if (queue->settings.target == OUTBOX_TARGET_ASYNQ)
		simple_command(relay, REQUEST_IGNORED, 3,
					   (const char *const[]) {"SADD", "asynq:queues", queue->settings.redis_key});

	outbox_resp_command(&relay->command, 2);
	outbox_resp_string(&relay->command, "HGETALL");
	outbox_resp_string(&relay->command, queue->cursor_key);
	outbox_send_command(relay);
	outbox_expect_answer(relay, REQUEST_CURSOR, queue);
	queue->state = QUEUE_ASKED;
}

/*
 * Remove the cursor of a queue that is no more, and what its consumers have
 * returned: another queue of its stream would take it for its own.
 */
void
outbox_send_forget(Relay *relay, RelayQueue *queue)
{
	if (!outbox_redis_connected())
		return;
	simple_command(relay, REQUEST_IGNORED, 2,
				   (const char *const[]) {"DEL", queue->cursor_key});
	for (int i = 0; queue->settings.consumer_retry && i < OUTBOX_CONSUMER_STREAMS; i++)
		simple_command(relay, REQUEST_IGNORED, 2,
					   (const char *const[]) {"DEL", outbox_consumer_key(queue, i)});
}

/*
 * Write a position back as our own, if the cursor is still as it was read, and
 * take seqs out of its skip list.
 */
void
outbox_send_takeover(Relay *relay, RelayQueue *queue, const RelayCursor *cursor,
					 OutboxPosition *pos, int ndrop, const uint64 *drop)
{
	StringInfoData text;
	Request    *request;

	initStringInfo(&text);
	outbox_position_print(&text, pos->timeline, pos->lsn, pos->prev, pos->cur);
	outbox_script_call(&relay->command, OUTBOX_SCRIPT_APPLY, queue, "take over",
					   3 + ndrop, cursor->pos, cursor->seq, text.data, pos->seq);
	outbox_resp_string(&relay->command, "0");
	outbox_resp_string(&relay->command, "");
	outbox_script_channel(&relay->command, queue);
	for (int i = 0; i < ndrop; i++)
		outbox_resp_number(&relay->command, drop[i]);
	outbox_send_command(relay);

	request = outbox_expect_answer(relay, REQUEST_TAKEOVER, queue);
	request->pos = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	request->total = cursor->count;
	queue->state = QUEUE_ASKED;
}

void
outbox_link_trouble(Relay *relay, const char *error)
{
	if (relay->trouble[0] == '\0')
		outbox_clean_error(relay->trouble, error, sizeof(relay->trouble));
}

/*
 * An error: is it the server's or the queue's?
 */
void
outbox_queue_error(Relay *relay, RelayQueue *queue, const char *error)
{
	if (outbox_is_refusal(error))
		outbox_block_queue(relay, queue, 0, error);
	else
		outbox_link_trouble(relay, error);
}

static void
answer(Relay *relay, Request *request, const OutboxReply *reply)
{
	switch (request->kind)
	{
		case REQUEST_HANDSHAKE:
			if (outbox_reply_is_error(reply))
				outbox_link_trouble(relay, outbox_reply_string(reply));
			break;
		case REQUEST_SCRIPT:
			if (outbox_reply_is_error(reply) && request->queue != NULL)
			{
				if (request->queue->state == QUEUE_ASKED)
					outbox_queue_error(relay, request->queue, outbox_reply_string(reply));
			}
			else if (outbox_reply_is_error(reply))
				outbox_link_trouble(relay, outbox_reply_string(reply));
			else
			{
				outbox_script_loaded(request->count, request->queue, outbox_reply_string(reply));
				if (request->queue == NULL)
					relay->ready = request->count == OUTBOX_SCRIPTS - 1;
			}
			break;
		case REQUEST_IGNORED:
			/* its queue may have missed a plan meanwhile */
			relay->look = true;
			break;
		case REQUEST_CURSOR:
			if (request->queue->state != QUEUE_ASKED)
				break;
			if (outbox_reply_is_error(reply))
				outbox_queue_error(relay, request->queue, outbox_reply_string(reply));
			else
				outbox_recover_queue(relay, request->queue, reply);
			break;
		case REQUEST_TAKEOVER:
		case REQUEST_APPLY:
			outbox_apply_answer(relay, request->queue, request, reply);
			break;
		case REQUEST_CAREFUL:
		case REQUEST_AGAIN:
			outbox_careful_answer(relay, request->queue, request, reply);
			break;
		case REQUEST_CONSUMER_CHECK:
		case REQUEST_CONSUMER_READ:
		case REQUEST_CONSUMER_TRIM:
			outbox_consumer_answer(relay, request->queue, request, reply);
			break;
	}
}

/*
 * Take all answers that have arrived.
 */
void
outbox_read_answers(Relay *relay)
{
	OutboxReply *reply;

	while (relay->trouble[0] == '\0' && outbox_redis_reply(&reply) &&
		   reply != NULL)
	{
		Request    *request;

		if (dlist_is_empty(&relay->requests))
		{
			/* such as "max number of clients reached", before it closes */
			outbox_link_trouble(relay, outbox_reply_is_error(reply) ?
						 outbox_reply_string(reply) : "unexpected reply");
			outbox_reply_free(reply);
			break;
		}
		request = dlist_head_element(Request, node, &relay->requests);
		relay->progress_at = GetCurrentTimestamp();
		answer(relay, request, reply);
		free_request(relay, request);
		outbox_reply_free(reply);
	}
}
