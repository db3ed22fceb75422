/*-------------------------------------------------------------------------
 *
 * script.c
 *	  The scripts that move cursors, and how they are called.
 *
 * Design notes
 *
 * A cursor is a hash: the position (pos and seq), the number of messages
 * applied since it began (count), and for each skipped message a field "s" and
 * its seq, which holds what Redis said, or nothing if the message only waits
 * behind another one.
 *
 * apply: a batch of messages, all or up to the first that fails.
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
 *		6 how many messages		7 the seqs, with spaces between		8 channel
 *		9... the messages
 *
 * Answers: 1 applied, 0 had been applied before; {"differs", pos, seq};
 * {"stopped", seq of the message that failed, error}.  A branch of another
 * name moves the cursor only; what follows then are seqs that leave the skip
 * list.
 *
 * Streams have a loop for each of the usual sets of fields, with the fields'
 * names as constants: Redis hashes every string that it hands to a script, so
 * arguments are what a script costs.  A value is passed once and as it is.
 *
 * Other targets have a message's number of arguments and then these, for each.
 *
 * A queue of target "function" has scripts of its own: these, behind a function
 * made of its source.  So what it does is part of the one script that moves the
 * cursor, and is done once like all else; a library of FUNCTION LOAD couldn't
 * be called from here.  Its arguments are key (the queue's redis_key), id,
 * msgtype, msgkey, payload, headers (JSON), now_ms, attempt; it returns nothing,
 * or {err = ...}.
 *
 * careful: a batch in which messages may fail.  Those that do are skipped, and
 * so is what waits behind them.  Or skipped messages that are tried again;
 * those that go through leave the skip list.
 *
 * Arguments:
 *
 *		1 "past" or "again"		2, 3 expected pos and seq	4, 5 new pos and seq
 *		6 target	7 channel	8 the seqs to be skipped, with spaces between
 *		9... for each message its seq, which one it waits behind if that fails
 *			(counted from 1; 0: none), the number of arguments, these
 *
 * Answers: {"differs", pos, seq}; {"done", seq, error, seq, error...} with
 * those that failed, the error empty if they wait behind another one.
 *
 * If not all that is to be tried again is in the skip list, the answer is
 * "differs": then the cursor has to be read, to see what is.
 *
 * Lua counts exactly up to 2^53, which is enough for seqs.
 *
 *-------------------------------------------------------------------------
 */
#include "relay/deliver/script.h"

#include "redis/resp.h"
#include "targets/options.h"
#include "targets/target.h"

/*
 * What one message is, by the name of its target: one(i, last) applies the
 * message whose arguments these are, and returns the error, if there is one.
 * Each target has to leave nothing behind that a consumer could see when it
 * fails.  For asynq see asynq.c.
 *
 * try() is one() that can't fail itself.  The cursor has been moved by then, so
 * Redis does what it is asked, and an error is the message's: a word that isn't
 * known, of a module or a queue's own function, must not pass for an outage,
 * nor one that stands behind a minus in it, nor a function's words that are
 * Redis's of an outage (connection.c).  Whatever a function
 * raises or returns, nothing may be raised from here: the careful script would
 * end between its cursor and its messages.  What is kept of an error is short,
 * as the cursor keeps it.
 */
#define ONE_MESSAGE \
"local function failure(r)\n" \
"  if type(r) == 'table' then return r.err end\n" \
"end\n" \
"local one\n" \
"if target == 'stream' then\n" \
"  one = function(i, last)\n" \
"    return failure(x('XADD', key, unpack(a, i, last)))\n" \
"  end\n" \
"elseif target == 'list' or target == 'publish' then\n" \
"  local command = target == 'list' and 'RPUSH' or 'PUBLISH'\n" \
"  one = function(i) return failure(x(command, key, a[i])) end\n" \
"elseif target == 'commands' then\n" \
"  one = function(i, last)\n" \
"    while i <= last do\n" \
"      if a[i] == '0' then return 'ERR its commands have more than 512 MB' end\n" \
"      local to = i + a[i]\n" \
"      local err = failure(x(unpack(a, i + 1, to)))\n" \
"      if err then return err end\n" \
"      i = to + 1\n" \
"    end\n" \
"  end\n" \
"elseif target == 'function' then\n" \
"  one = function(i, last) return failure(user(key, unpack(a, i, last))) end\n" \
"elseif target == 'asynq' then\n" \
"  local prefix = 'asynq:{' .. key .. '}:'\n" \
"  one = function(i, last)\n" \
"    local state, id, msg, at = a[i], a[i + 1], a[i + 2], a[i + 3]\n" \
"    local task = prefix .. 't:' .. id\n" \
"    local group = last > i + 3 and a[i + 4]\n" \
"    local lock = last > i + 4 and a[i + 5]\n" \
"    local r = x('EXISTS', task)\n" \
"    if r ~= 0 then return failure(r) end\n" \
"    if lock then\n" \
"      r = x('SET', lock, id, 'NX', 'EX', a[i + 6])\n" \
"      if not r then return end\n" \
"      if r.err then return r.err end\n" \
"    end\n" \
"    if state == 'aggregating' then\n" \
"      r = x('HSET', task, 'msg', msg, 'state', state, 'group', group)\n" \
"    elseif state == 'scheduled' then\n" \
"      r = x('HSET', task, 'msg', msg, 'state', state)\n" \
"    else\n" \
"      r = x('HSET', task, 'msg', msg, 'state', state, 'pending_since', at)\n" \
"    end\n" \
"    local err = failure(r)\n" \
"    if not err and lock and state ~= 'aggregating' then\n" \
"      err = failure(x('HSET', task, 'unique_key', lock))\n" \
"    end\n" \
"    if err then\n" \
"    elseif state == 'aggregating' then\n" \
"      err = failure(x('SADD', prefix .. 'groups', group)) or\n" \
"            failure(x('ZADD', prefix .. 'g:' .. group, at, id))\n" \
"    elseif state == 'scheduled' then\n" \
"      err = failure(x('ZADD', prefix .. 'scheduled', at, id))\n" \
"    else\n" \
"      err = failure(x('LPUSH', prefix .. 'pending', id))\n" \
"    end\n" \
"    if err then\n" \
"      x('DEL', task)\n" \
"      if lock then x('DEL', lock) end\n" \
"    end\n" \
"    return err\n" \
"  end\n" \
"end\n" \
"local known = {ERR = true, WRONGTYPE = true, NOPERM = true}\n" \
"local function attempt(i, last)\n" \
"  local ok, err = pcall(one, i, last)\n" \
"  if ok and not err then return end\n" \
"  if type(err) == 'table' then err = err.err end\n" \
"  err = string.gsub(string.sub(tostring(err), 1, 1000), '%-(%u)', '%1')\n" \
"  if not ok then return 'ERR script: ' .. err end\n" \
"  local word = string.match(err, '^%u+')\n" \
"  if target == 'function' and (word == 'ERR' or not known[word]) then\n" \
"    return 'ERR function: ' .. err\n" \
"  end\n" \
"  if not known[word] then return 'ERR ' .. err end\n" \
"  return err\n" \
"end\n" \
"local function try(i, last)\n" \
"  local ok, err = pcall(attempt, i, last)\n" \
"  return ok and err or not ok and 'ERR script: an error that can not be read'\n" \
"end\n"

static const char apply_script[] =
"local a, cursor, x = ARGV, KEYS[1], redis.pcall\n"
"local key, target = KEYS[2] or a[8], a[1]\n"
"local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')\n"
"local pos, seq = have[1] or '', have[2] or ''\n"
"if pos ~= a[2] or seq ~= a[3] then\n"
"  if pos == a[4] and seq == a[5] then return 0 end\n"
"  return {'differs', pos, seq}\n"
"end\n"
"local count = (tonumber(have[3]) or 0)\n"
"redis.call('HSET', cursor, 'pos', a[4], 'seq', a[5],\n"
"           'count', string.format('%.0f', count + a[6]))\n"
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
"    elseif shape == 'w' then\n"
"      i = from + 3 * count\n"
"      for j = from, i - 1, 3 do\n"
"        local r = x('XADD', key, '*', '_watermill_message_uuid', a[j],\n"
"                    'metadata', a[j + 1], 'payload', a[j + 2])\n"
"        if r.err then done = done + (j - from) / 3 return r.err end\n"
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
"    local r = x('PUBLISH', key, a[i])\n"
"    if type(r) == 'table' then return r.err end\n"
"    done = done + 1\n"
"  end\n"
"end\n"
"local branch = ({stream = stream, list = list, publish = publish})[target]\n"
"if target == 'asynq' or target == 'commands' or target == 'function' then\n"
ONE_MESSAGE
"  branch = function()\n"
"    local i, n = 9, #a\n"
"    while i <= n do\n"
"      local last = i + a[i]\n"
"      local err = try(i + 1, last)\n"
"      if err then return err end\n"
"      done = done + 1\n"
"      i = last + 1\n"
"    end\n"
"  end\n"
"end\n"
"if not branch then\n"
"  for i = 9, #a do redis.call('HDEL', cursor, 's' .. a[i]) end\n"
"  return 1\n"
"end\n"
"local ok, err = pcall(branch)\n"
"if not ok then err = 'ERR script: ' .. tostring(err) end\n"
"if not err then return 1 end\n"
"local n, bad = 0, ''\n"
"for s in string.gmatch(a[7], '%d+') do\n"
"  n = n + 1\n"
"  if n == done then seq = s end\n"
"  if n == done + 1 then bad = s break end\n"
"end\n"
"redis.call('HSET', cursor, 'pos', done > 0 and a[4] or pos, 'seq', seq,\n"
"           'count', string.format('%.0f', count + done))\n"
"return {'stopped', bad, err}\n";

static const char careful_script[] =
"local a, cursor, x = ARGV, KEYS[1], redis.pcall\n"
"local again, target, key = a[1] == 'again', a[6], KEYS[2] or a[7]\n"
ONE_MESSAGE
"local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')\n"
"local differs = {'differs', have[1] or '', have[2] or ''}\n"
"if differs[2] ~= a[2] or differs[3] ~= a[3] then return differs end\n"
"local n, i = #a, 9\n"
"while again and i < n do\n"
"  if redis.call('HEXISTS', cursor, 's' .. a[i]) == 0 then return differs end\n"
"  i = i + 3 + a[i + 2]\n"
"end\n"
"redis.call('HSET', cursor, 'pos', a[4], 'seq', a[5])\n"
"for s in string.gmatch(a[8], '%d+') do\n"
"  redis.call('HSET', cursor, 's' .. s, '')\n"
"end\n"
"local failed, answer, done, m = {}, {'done'}, 0, 0\n"
"i = 9\n"
"while i < n do\n"
"  local s, before, last, err = a[i], tonumber(a[i + 1]), i + 2 + a[i + 2]\n"
"  m = m + 1\n"
"  if failed[before] then\n"
"    err = ''\n"
"  else\n"
"    err = try(i + 3, last)\n"
"  end\n"
"  if err then\n"
"    failed[m] = true\n"
"    answer[#answer + 1] = s\n"
"    answer[#answer + 1] = err\n"
"    if not again then redis.call('HSET', cursor, 's' .. s, err) end\n"
"  else\n"
"    done = done + 1\n"
"    if again then redis.call('HDEL', cursor, 's' .. s) end\n"
"  end\n"
"  i = last + 1\n"
"end\n"
"redis.call('HSET', cursor, 'count',\n"
"           string.format('%.0f', (tonumber(have[3]) or 0) + done))\n"
"return answer\n";

static const char *const scripts[OUTBOX_SCRIPTS] = {
	[OUTBOX_SCRIPT_APPLY] = apply_script,
	[OUTBOX_SCRIPT_SKIP] = careful_script
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
 * The text of a script; a queue's own one if it has a function.
 */
static const char *
script_text(OutboxScript script, const RelayQueue *queue)
{
	OutboxBytes source;

	if (queue == NULL)
		return scripts[script];
	source = outbox_text_option(queue->settings->options, "function");
	source = outbox_utf8_bytes(source.data, source.len);
	return psprintf("local function user(key, id, msgtype, msgkey, payload, headers,"
					" now_ms, attempt)\n%.*s\nend\n%s",
					(int) source.len, source.data, scripts[script]);
}

void
outbox_send_scripts(Link *link, RelayQueue *queue)
{
	for (int i = 0; i < OUTBOX_SCRIPTS; i++)
		outbox_send_command(link, REQUEST_SCRIPT, queue, 3,
							(const char *const[]) {"SCRIPT", "LOAD",
								script_text(i, queue)})->number = i;
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

/*
 * A channel is no key, so targets that have no key name it as an argument.
 */
void
outbox_call_script(RelayQueue *queue, const ScriptCall *call)
{
	const OutboxQueue *settings = queue->settings;
	StringInfo	out = outbox_link_out(queue->link);
	bool		publish = settings->target == OUTBOX_TARGET_PUBLISH;
	const char *channel = publish ? settings->redis_key : "";

	outbox_resp_command(out, (publish ? 4 : 5) + 8 + call->nargs);
	outbox_resp_string(out, "EVALSHA");
	outbox_resp_string(out, settings->target == OUTBOX_TARGET_FUNCTION ?
					   queue->scripts->shas[call->script] :
					   queue->link->scripts->shas[call->script]);
	outbox_resp_string(out, publish ? "1" : "2");
	outbox_resp_string(out, queue->cursor_key);
	if (!publish)
		outbox_resp_string(out, settings->redis_key);
	outbox_resp_string(out, call->mode);
	outbox_resp_string(out, call->expect_text);
	outbox_resp_string(out, call->expect_seq);
	outbox_resp_string(out, call->to_text);
	outbox_resp_number(out, call->to_seq);
	if (call->script == OUTBOX_SCRIPT_APPLY)
	{
		outbox_resp_number(out, call->count);
		write_seqs(out, call->seqs);
		outbox_resp_string(out, channel);
	}
	else
	{
		outbox_resp_string(out, outbox_target_branch(settings));
		outbox_resp_string(out, channel);
		write_seqs(out, call->seqs);
	}
	if (call->nargs > 0)
		appendBinaryStringInfoNT(out, call->args->data, call->args->len);
}
