-- Copyright (c) 2026, the outbox developers
--
-- apply: a batch of messages, all or up to the first that fails; one message; and
-- every other move of the cursor.
--
-- KEYS		1 the cursor		2 the queue's redis_key, unless its target is publish
--			3 in a cluster, and not used: see script.c
-- ARGV		1 "apply"; "one": a batch of one message; or "move": nothing but the cursor
--			2, 3, 4 expected pos, seq and count		5, 6 new pos and seq
--			7 target		8 the channel, for target publish; for "move", the
--				runs of the server that moves the cursor (store/run.c), or
--				nothing if these stay as they are
--			9 the seqs, with spaces between
--			10 the number of messages
--			11... the messages, by target:
--				stream		runs of messages with the same fields: shape, number of
--							messages, their values (targets/stream.c)
--				list, publish	one argument, the value
--				asynq, commands, function	the number of arguments, then these
--				of "move": seqs that leave the skip list
--			of "one", from 8 on: the new count, the message, the channel
--
-- Answers	1 applied
--			{"differs", pos, seq} the cursor is not where it was expected, nothing done
--			{"stopped", seq of the message that failed, error} those before it applied
--
-- The cursor is a hash: the position (pos and seq), the number of messages
-- applied since it began (count), the runs of its mover (line), and for each
-- skipped message a field "s" and its seq, which holds what Redis said, or nothing
-- if the message only waits behind another one.
--
-- The script moves the cursor before it applies anything.  If Redis refuses
-- writes (OOM, READONLY, ...), it refuses this first one, and nothing has
-- happened; Redis does not refuse for memory what a script writes later.  When
-- a message fails, or the script itself does, the cursor is set back behind the
-- last good one: a script is never rolled back.
--
-- A message that is alone is what an idle server sends, and somebody waits for it.
-- Its time is that of a Redis that has slept: each string, function and table of
-- a script counts then.  So "one" is a way of its own through this script, for
-- targets whose message is one command.  Nothing in it can raise an error behind
-- the move of the cursor: the relay sees to it that unpack() has few arguments.
--
-- Lua counts exactly up to 2^53, which is enough for seqs and counts.
--
-- Redis gets this without the lines that are comments, and with one_message.lua
-- in the place of the line that names it (Makefile).  To run it by hand:
--
--	redis-cli --eval <(test/lua/whole apply) CURSOR KEY , \
--		apply '' '' 0 p 1 list '' '1 ' 1 VALUE

local a, cursor, x = ARGV, KEYS[1], redis.pcall
local mode, target, key = a[1], a[7], KEYS[2]
local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')
local pos, seq, count = have[1] or '', have[2] or '', have[3] or '0'
if pos ~= a[2] or seq ~= a[3] or count ~= a[4] then
  return {'differs', pos, seq}
end
redis.call('HSET', cursor, 'pos', a[5], 'seq', a[6],
           'count', mode == 'one' and a[8] or count + a[10])
if mode == 'one' then
  local shape, r = a[9]
  if target == 'list' then
    r = x('RPUSH', key, a[9])
  elseif target == 'publish' then
    r = x('PUBLISH', a[10], a[9])
  elseif shape == 'p' then
    r = x('XADD', key, '*', 'id', a[11], 'payload', a[12])
  elseif shape == 'tp' then
    r = x('XADD', key, '*', 'id', a[11], 'type', a[12], 'payload', a[13])
  elseif shape == 'kp' then
    r = x('XADD', key, '*', 'id', a[11], 'key', a[12], 'payload', a[13])
  elseif shape == 'tkp' then
    r = x('XADD', key, '*', 'id', a[11], 'type', a[12], 'key', a[13],
          'payload', a[14])
  elseif shape == 'w' then
    r = x('XADD', key, '*', '_watermill_message_uuid', a[11],
          'metadata', a[12], 'payload', a[13])
  else
    r = x('XADD', key, unpack(a, 12))
  end
  if type(r) ~= 'table' or not r.err then return 1 end
  redis.call('HSET', cursor, 'pos', pos, 'seq', seq, 'count', count)
  return {'stopped', a[6], r.err}
end
if mode == 'move' then
  if a[8] ~= '' then redis.call('HSET', cursor, 'line', a[8]) end
  for i = 11, #a do redis.call('HDEL', cursor, 's' .. a[i]) end
  return 1
end
key = key or a[8]
local done = 0

-- A loop for each of the usual sets of fields, with the fields' names as
-- constants: Redis hashes every string that it hands to a script, so arguments
-- are what a script costs.  A value is passed once and as it is.
local function stream()
  local i, n = 11, #a
  while i < n do
    local shape, from = a[i], i + 2
    local messages = tonumber(a[i + 1])
    if shape == 'p' then
      i = from + 2 * messages
      for j = from, i - 1, 2 do
        local r = x('XADD', key, '*', 'id', a[j], 'payload', a[j + 1])
        if r.err then done = done + (j - from) / 2 return r.err end
      end
    elseif shape == 'tp' then
      i = from + 3 * messages
      for j = from, i - 1, 3 do
        local r = x('XADD', key, '*', 'id', a[j], 'type', a[j + 1],
                    'payload', a[j + 2])
        if r.err then done = done + (j - from) / 3 return r.err end
      end
    elseif shape == 'kp' then
      i = from + 3 * messages
      for j = from, i - 1, 3 do
        local r = x('XADD', key, '*', 'id', a[j], 'key', a[j + 1],
                    'payload', a[j + 2])
        if r.err then done = done + (j - from) / 3 return r.err end
      end
    elseif shape == 'tkp' then
      i = from + 4 * messages
      for j = from, i - 1, 4 do
        local r = x('XADD', key, '*', 'id', a[j], 'type', a[j + 1],
                    'key', a[j + 2], 'payload', a[j + 3])
        if r.err then done = done + (j - from) / 4 return r.err end
      end
    elseif shape == 'w' then
      i = from + 3 * messages
      for j = from, i - 1, 3 do
        local r = x('XADD', key, '*', '_watermill_message_uuid', a[j],
                    'metadata', a[j + 1], 'payload', a[j + 2])
        if r.err then done = done + (j - from) / 3 return r.err end
      end
    else
      -- any other entry: the number of arguments, then all that follow the key
      i = from
      for _ = 1, messages do
        local fields = tonumber(a[i])
        local r = x('XADD', key, unpack(a, i + 1, i + fields))
        if r.err then return r.err end
        i = i + 1 + fields
        done = done + 1
      end
      messages = 0
    end
    done = done + messages
  end
end

-- All in one; unpack() takes many times the messages of a batch.
local function list()
  local r = x('RPUSH', key, unpack(a, 11))
  if type(r) == 'table' then return r.err end
end

local function publish()
  for i = 11, #a do
    local r = x('PUBLISH', key, a[i])
    if type(r) == 'table' then return r.err end
    done = done + 1
  end
end

local branch = ({stream = stream, list = list, publish = publish})[target]
if target == 'asynq' or target == 'commands' or target == 'function' then
-- include one_message.lua
  branch = function()
    local i, n = 11, #a
    while i <= n do
      local last = i + a[i]
      local err = try(i + 1, last)
      if err then return err end
      done = done + 1
      i = last + 1
    end
  end
end

local ok, err = pcall(branch)
if not ok then err = 'ERR script: ' .. tostring(err) end
if not err then return 1 end

-- Back to behind the last good message, which may be one of before the batch.
local n, bad = 0, ''
for s in string.gmatch(a[9], '%d+') do
  n = n + 1
  if n == done then seq = s end
  if n == done + 1 then bad = s break end
end
redis.call('HSET', cursor, 'pos', done > 0 and a[5] or pos, 'seq', seq,
           'count', count + done)
return {'stopped', bad, err}
