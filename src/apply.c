/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Batches out, answers in.
 *
 * Design notes
 *
 * A batch is one call of one script.  It compares the cursor with the position
 * that the batch was made for, moves it, and applies the messages, atomically:
 * so a batch may be sent again whenever its answer is lost.
 *
 * The script moves the cursor before it applies anything.  If Redis refuses
 * writes (OOM, READONLY, ...), it refuses this first one, and nothing has
 * happened; Redis doesn't refuse for memory what a script writes later.  When
 * a message fails, or the script itself does, the cursor is set back behind the
 * last good one: a script is never rolled back.
 *
 * Arguments:
 *
 *		1 branch	2, 3 expected pos and seq	4, 5 new pos and seq
 *		6 new count		7 the seqs, with spaces between		8 channel
 *		9... the messages
 *
 * Answers: 1 applied, 0 had been applied before; {"differs", pos, seq};
 * {"stopped", number of the message, error}.
 *
 * Streams have a loop for each of the usual sets of fields, with the fields'
 * names as constants: Redis hashes every string that it hands to a script, so
 * arguments are what a script costs.  A value is passed once and as it is.
 *
 * Batches of a queue are pipelined.  If one is stopped, those behind it find a
 * cursor that isn't the one they expect and do nothing; their answers are
 * ignored, and the queue is recovered from its cursor.
 *
 * If the relay dies with batches in flight, Redis may still apply them; the
 * next relay reads the cursor, and whatever moves it afterwards makes the new
 * relay's first batch differ, so that it reads again.
 *
 *-------------------------------------------------------------------------
 */
#include "relay.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define BATCH_MESSAGES	256
#define BATCH_BYTES		(128 * 1024)
#define BUFFER_KEEP		(1024 * 1024)

static const char apply_script[] =
"local a, cursor, key, x = ARGV, KEYS[1], KEYS[2], redis.pcall\n"
"local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')\n"
"local pos, seq = have[1] or '', have[2] or ''\n"
"if pos ~= a[2] or seq ~= a[3] then\n"
"  if pos == a[4] and seq == a[5] then return 0 end\n"
"  return {'differs', pos, seq}\n"
"end\n"
"redis.call('HSET', cursor, 'pos', a[4], 'seq', a[5], 'count', a[6])\n"
"local done = 0\n"
"local function stream()\n"
"  local i, n = 9, #a\n"
"  while i < n do\n"
"    local shape, from = a[i], i + 2\n"
"    local count = tonumber(a[i + 1])\n"
"    if shape == 'p' then\n"
"      i = from + 2 * count\n"
"      for j = from, i - 1, 2 do\n"
"        local r = x('XADD', key, '*', 'id', a[j], 'payload', a[j + 1])\n"
"        if r.err then done = done + (j - from) / 2 return r.err end\n"
"      end\n"
"    elseif shape == 'tp' then\n"
"      i = from + 3 * count\n"
"      for j = from, i - 1, 3 do\n"
"        local r = x('XADD', key, '*', 'id', a[j], 'type', a[j + 1],\n"
"                    'payload', a[j + 2])\n"
"        if r.err then done = done + (j - from) / 3 return r.err end\n"
"      end\n"
"    elseif shape == 'kp' then\n"
"      i = from + 3 * count\n"
"      for j = from, i - 1, 3 do\n"
"        local r = x('XADD', key, '*', 'id', a[j], 'key', a[j + 1],\n"
"                    'payload', a[j + 2])\n"
"        if r.err then done = done + (j - from) / 3 return r.err end\n"
"      end\n"
"    elseif shape == 'tkp' then\n"
"      i = from + 4 * count\n"
"      for j = from, i - 1, 4 do\n"
"        local r = x('XADD', key, '*', 'id', a[j], 'type', a[j + 1],\n"
"                    'key', a[j + 2], 'payload', a[j + 3])\n"
"        if r.err then done = done + (j - from) / 4 return r.err end\n"
"      end\n"
"    else\n"
"      i = from\n"
"      for m = 1, count do\n"
"        local fields = tonumber(a[i])\n"
"        local r = x('XADD', key, unpack(a, i + 1, i + fields))\n"
"        if r.err then return r.err end\n"
"        i = i + 1 + fields\n"
"        done = done + 1\n"
"      end\n"
"      count = 0\n"
"    end\n"
"    done = done + count\n"
"  end\n"
"end\n"
"local function list()\n"
"  local i, n = 9, #a\n"
"  while i <= n do\n"
"    local j = math.min(i + 999, n)\n"
"    local r = x('RPUSH', key, unpack(a, i, j))\n"
"    if type(r) == 'table' then return r.err end\n"
"    done = done + j - i + 1\n"
"    i = j + 1\n"
"  end\n"
"end\n"
"local function publish()\n"
"  for i = 9, #a do\n"
"    local r = x('PUBLISH', a[8], a[i])\n"
"    if type(r) == 'table' then return r.err end\n"
"    done = done + 1\n"
"  end\n"
"end\n"
"local branch = ({stream = stream, list = list, publish = publish})[a[1]]\n"
"if not branch then return 1 end\n"
"local ok, err = pcall(branch)\n"
"if not ok then err = 'ERR script: ' .. tostring(err) end\n"
"if not err then return 1 end\n"
"if done > 0 then\n"
"  local n = 0\n"
"  for s in string.gmatch(a[7], '%d+') do\n"
"    n = n + 1\n"
"    if n == done then seq = s end\n"
"  end\n"
"  redis.call('HSET', cursor, 'seq', seq, 'count',\n"
"             string.format('%.0f', (tonumber(have[3]) or 0) + done))\n"
"else\n"
"  redis.call('HSET', cursor, 'pos', pos, 'seq', seq, 'count', have[3] or '0')\n"
"end\n"
"return {'stopped', done + 1, err}\n";

/* what EVALSHA calls it: Redis says so when it loads the script */
static char script_sha[41];

/*
 * Empty a buffer, and give back what a large message has made it take.
 */
static void
empty_buffer(StringInfo buf)
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

static void
send_command(Relay *relay)
{
	outbox_redis_append(relay->command.data, relay->command.len);
	empty_buffer(&relay->command);
}

static Request *
expect_answer(Relay *relay, RequestKind kind, RelayQueue *queue)
{
	Request    *request = MemoryContextAllocZero(relay->context,
												 sizeof(Request));

	request->kind = kind;
	request->queue = queue;
	dlist_push_tail(&relay->requests, &request->node);
	if (relay->inflight++ == 0)
		relay->progress_at = GetCurrentTimestamp();
	if (queue != NULL)
		queue->inflight++;
	return request;
}

static void
free_request(Relay *relay, Request *request)
{
	dlist_delete(&request->node);
	relay->inflight--;
	if (request->queue != NULL)
		request->queue->inflight--;
	outbox_snap_unref(request->pos.prev);
	outbox_snap_unref(request->pos.cur);
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

static void
simple_command(Relay *relay, RequestKind kind, int argc,
			   const char *const *argv)
{
	outbox_resp_command(&relay->command, argc);
	for (int i = 0; i < argc; i++)
		outbox_resp_string(&relay->command, argv[i]);
	send_command(relay);
	expect_answer(relay, kind, NULL);
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

	simple_command(relay, REQUEST_SCRIPT, 3,
				   (const char *const[]) {"SCRIPT", "LOAD", apply_script});
}

/*
 * Ask for a queue's cursor.
 */
void
outbox_send_cursor_request(Relay *relay, RelayQueue *queue)
{
	outbox_resp_command(&relay->command, 5);
	outbox_resp_string(&relay->command, "HMGET");
	outbox_resp_string(&relay->command, queue->cursor_key);
	outbox_resp_string(&relay->command, "pos");
	outbox_resp_string(&relay->command, "seq");
	outbox_resp_string(&relay->command, "count");
	send_command(relay);
	expect_answer(relay, REQUEST_CURSOR, queue);
	queue->state = QUEUE_ASKED;
}

/*
 * Remove the cursor of a queue that is no more.
 */
void
outbox_send_forget(Relay *relay, RelayQueue *queue)
{
	if (!outbox_redis_connected())
		return;
	simple_command(relay, REQUEST_IGNORED, 2,
				   (const char *const[]) {"DEL", queue->cursor_key});
}

static void
resp_number(StringInfo out, uint64 n)
{
	char		buf[24];

	outbox_resp_arg(out, buf, pg_ulltoa_n(n, buf));
}

/*
 * The script call up to where the messages follow.
 */
static void
begin_apply(Relay *relay, RelayQueue *queue, const char *branch, int nargs,
			const char *expect_pos, const char *expect_seq,
			const char *pos, uint64 seq, uint64 count, OutboxBytes seqs)
{
	StringInfo	out = &relay->command;
	bool		publish = queue->settings.target == OUTBOX_TARGET_PUBLISH;

	outbox_resp_command(out, (publish ? 4 : 5) + 8 + nargs);
	outbox_resp_string(out, "EVALSHA");
	outbox_resp_string(out, script_sha);
	outbox_resp_string(out, publish ? "1" : "2");
	outbox_resp_string(out, queue->cursor_key);
	if (!publish)
		outbox_resp_string(out, queue->settings.redis_key);
	outbox_resp_string(out, branch);
	outbox_resp_string(out, expect_pos);
	outbox_resp_string(out, expect_seq);
	outbox_resp_string(out, pos);
	resp_number(out, seq);
	resp_number(out, count);
	outbox_resp_arg(out, seqs.data, seqs.len);
	outbox_resp_string(out, publish ? queue->settings.redis_key : "");
}

/*
 * Write a position back as our own, if the cursor is still as it was read.
 */
void
outbox_send_takeover(Relay *relay, RelayQueue *queue, const char *expect_pos,
					 const char *expect_seq, OutboxPosition *pos, uint64 count)
{
	StringInfoData text;
	Request    *request;

	initStringInfo(&text);
	outbox_position_print(&text, pos->timeline, pos->lsn, pos->prev, pos->cur);
	begin_apply(relay, queue, "take over", 0, expect_pos, expect_seq,
				text.data, pos->seq, count, (OutboxBytes) {"", 0});
	send_command(relay);
	request = expect_answer(relay, REQUEST_TAKEOVER, queue);
	request->pos = *pos;
	outbox_snap_ref(pos->prev);
	outbox_snap_ref(pos->cur);
	request->count = 0;
	queue->expect_count = count;
	queue->state = QUEUE_ASKED;
}

/*
 * Encode the queue's next messages.  Returns how many; *finishes tells whether
 * the tick ends with them.
 */
static int
encode_batch(Relay *relay, RelayQueue *queue, OutboxStaging *staging,
			 TimestampTz *newest)
{
	OutboxMessage msg;
	int			count = 0;

	empty_buffer(&relay->args.data);
	resetStringInfo(&relay->seqs);
	relay->args.count = 0;
	relay->args.run_shape = 0;

	while (queue->next < queue->nplan && count < BATCH_MESSAGES &&
		   relay->args.data.len < BATCH_BYTES)
	{
		PlanEntry  *e = &queue->plan[queue->next++];
		ItemPointerData tid;
		MemoryContext old;
		char		seq[24];

		queue->seq = e->seq;
		ItemPointerSet(&tid, e->block, e->offset);
		old = MemoryContextSwitchTo(relay->batch);
		if (outbox_staging_fetch(staging, e->table, &tid, e->seq, &msg))
		{
			outbox_target_encode(&relay->args, &queue->settings, &msg);
			appendBinaryStringInfoNT(&relay->seqs, seq,
									 pg_ulltoa_n(e->seq, seq));
			appendStringInfoCharMacro(&relay->seqs, ' ');
			*newest = msg.enqueued_at;
			queue->sent_seq = e->seq;
			count++;
		}
		MemoryContextSwitchTo(old);
	}
	MemoryContextReset(relay->batch);
	return count;
}

/*
 * Send the next messages of a queue's plan.  False if there was none: all
 * that was left of the plan had been rolled back.
 */
bool
outbox_send_batch(Relay *relay, RelayQueue *queue, OutboxStaging *staging)
{
	TimestampTz newest = 0;
	char		expect_seq[24];
	Request    *request;
	int			count = encode_batch(relay, queue, staging, &newest);

	if (queue->next == queue->nplan)
		queue->finished = !queue->plan_cut;
	if (count == 0)
		return false;

	if (queue->pos == NULL)
	{
		StringInfoData pos;
		MemoryContext old = MemoryContextSwitchTo(queue->context);

		initStringInfo(&pos);
		outbox_position_print(&pos, relay->timeline, queue->lsn, queue->prev,
							  queue->cur);
		queue->pos = pos.data;
		MemoryContextSwitchTo(old);
	}
	expect_seq[pg_ulltoa_n(queue->expect_seq, expect_seq)] = '\0';
	begin_apply(relay, queue, outbox_target_branch(&queue->settings),
				relay->args.count, queue->expect_pos, expect_seq, queue->pos,
				queue->sent_seq, queue->expect_count + count,
				(OutboxBytes) {relay->seqs.data, relay->seqs.len});
	appendBinaryStringInfoNT(&relay->command, relay->args.data.data,
							 relay->args.data.len);
	send_command(relay);

	request = expect_answer(relay, REQUEST_APPLY, queue);
	request->count = count;
	request->newest = newest;
	request->finishes = queue->finished;
	request->pos.prev = outbox_snap_ref(queue->prev);
	request->pos.cur = outbox_snap_ref(queue->cur);
	request->pos.seq = queue->sent_seq;

	if (strcmp(queue->expect_pos, queue->pos) != 0)
	{
		pfree(queue->expect_pos);
		queue->expect_pos = MemoryContextStrdup(queue->context, queue->pos);
	}
	queue->expect_seq = queue->sent_seq;
	queue->expect_count += count;
	return true;
}

static void
link_trouble(Relay *relay, const char *error)
{
	if (relay->trouble[0] == '\0')
		outbox_clean_error(relay->trouble, error, sizeof(relay->trouble));
}

/*
 * An error: is it the server's or the queue's?
 */
static void
queue_error(Relay *relay, RelayQueue *queue, const char *error)
{
	switch (outbox_classify_error(error))
	{
		case OUTBOX_ERROR_QUEUE:
		case OUTBOX_ERROR_MESSAGE:
			outbox_block_queue(relay, queue, error);
			break;
		default:
			link_trouble(relay, error);
			break;
	}
}

/*
 * Redis has applied a batch.
 */
static void
batch_applied(Relay *relay, RelayQueue *queue, Request *request)
{
	OutboxPosition old = queue->acked;
	uint64		waiting;

	queue->acked.prev = outbox_snap_ref(request->pos.prev);
	queue->acked.cur = outbox_snap_ref(request->pos.cur);
	queue->acked.seq = request->pos.seq;
	outbox_snap_unref(old.prev);
	outbox_snap_unref(old.cur);
	queue->acked_count += request->count;
	queue->failures = 0;

	if (request->finishes)
	{
		outbox_snap_unref(queue->settled);
		queue->settled = outbox_snap_ref(request->pos.cur);
	}
	queue->waiting -= request->count;
	queue->oldest = request->newest;
	waiting = pg_atomic_read_u64(&relay->slot->waiting);
	pg_atomic_write_u64(&relay->slot->waiting,
						waiting - Min(waiting, request->count));
	relay->delivered += request->count;
	pg_atomic_write_u64(&relay->slot->delivered, relay->delivered);
	pg_atomic_write_u64(&relay->slot->last_success, relay->progress_at);
	if (!relay->well)
		outbox_link_well(relay);
	if (queue->inflight == OUTBOX_QUEUE_INFLIGHT)
		relay->look = true;
}

static void
apply_answer(Relay *relay, RelayQueue *queue, Request *request,
			 const OutboxReply *reply)
{
	/* an answer to what was sent before the queue got into trouble */
	if (queue->state != (request->kind == REQUEST_APPLY ? QUEUE_FLOWING :
						 QUEUE_ASKED))
		return;

	if (outbox_reply_is_error(reply))
		queue_error(relay, queue, outbox_reply_string(reply));
	else if (!outbox_reply_is_array(reply))
	{
		if (request->kind == REQUEST_APPLY)
			batch_applied(relay, queue, request);
		else
			outbox_queue_flows(relay, queue, &request->pos,
							   queue->expect_count);
	}
	else if (outbox_reply_length(reply) == 3 &&
			 strcmp(outbox_reply_string(outbox_reply_element(reply, 0)),
					"stopped") == 0)
		queue_error(relay, queue,
					outbox_reply_string(outbox_reply_element(reply, 2)));
	else
	{
		ereport(LOG,
				(errmsg("cursor of queue \"%s\" in Redis has been moved, reading it again",
						queue->settings.name)));
		queue->state = QUEUE_UNKNOWN;
		outbox_discard_plan(queue);
	}
}

static void
answer(Relay *relay, Request *request, const OutboxReply *reply)
{
	switch (request->kind)
	{
		case REQUEST_HANDSHAKE:
			if (outbox_reply_is_error(reply))
				link_trouble(relay, outbox_reply_string(reply));
			break;
		case REQUEST_SCRIPT:
			if (outbox_reply_is_error(reply))
				link_trouble(relay, outbox_reply_string(reply));
			else
			{
				strlcpy(script_sha, outbox_reply_string(reply),
						sizeof(script_sha));
				relay->ready = true;
			}
			break;
		case REQUEST_IGNORED:
			break;
		case REQUEST_CURSOR:
			if (request->queue->state != QUEUE_ASKED)
				break;
			if (outbox_reply_is_error(reply))
				queue_error(relay, request->queue, outbox_reply_string(reply));
			else
				outbox_recover_queue(relay, request->queue, reply);
			break;
		case REQUEST_TAKEOVER:
		case REQUEST_APPLY:
			apply_answer(relay, request->queue, request, reply);
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
			link_trouble(relay, outbox_reply_is_error(reply) ?
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
