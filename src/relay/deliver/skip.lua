-- Copyright (c) 2026, the outbox developers
--
-- skip: a batch in which messages may fail.  Those that do are skipped, and
-- so are those that wait behind them.  Or skipped messages that are tried again;
-- those that are applied leave the skip list.
--
-- KEYS		1 the cursor		2 the queue's redis_key, unless its target is publish
--			3 in a cluster, and not used: see script.c
-- ARGV		1 "skip" or "retry"
--			2, 3, 4 expected pos, seq and count
--			5, 6 new pos and seq (retry: the same)
--			7 target		8 the channel, for target publish
--			9 the seqs to be skipped untried, with spaces between
--			10 the number of messages
--			11... for each message its seq, which one it waits behind if that fails
--				(counted from 1; 0: none), the number of arguments, these
--
-- Answers	{"differs", pos, seq} nothing done: the cursor is not where it was
--				expected, or not all that is to be tried again is in the skip
--				list; then the cursor has to be read, to see what is
--			{"done", seq, error, seq, error...} with those that failed, the error
--				empty if they wait behind another one
--
-- The cursor moves first, as in apply.lua, which also says what a cursor is and
-- how to run this by hand.

local a, cursor, x = ARGV, KEYS[1], redis.pcall
local retry, target, key = a[1] == 'retry', a[7], KEYS[2] or a[8]
-- include one_message.lua

local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')
local differs = {'differs', have[1] or '', have[2] or ''}
if differs[2] ~= a[2] or differs[3] ~= a[3] or (have[3] or '0') ~= a[4] then
  return differs
end

-- Has one of them been applied meanwhile?
local n, i = #a, 11
while retry and i < n do
  if redis.call('HEXISTS', cursor, 's' .. a[i]) == 0 then return differs end
  i = i + 3 + a[i + 2]
end

redis.call('HSET', cursor, 'pos', a[5], 'seq', a[6])
for s in string.gmatch(a[9], '%d+') do
  redis.call('HSET', cursor, 's' .. s, '')
end

-- failed[m]: the m-th message failed, or waits behind one that did.
local failed, answer, done, m = {}, {'done'}, 0, 0
i = 11
while i < n do
  local s, before, last, err = a[i], tonumber(a[i + 1]), i + 2 + a[i + 2]
  m = m + 1
  if failed[before] then
    err = ''
  else
    err = try(i + 3, last)
  end
  if err then
    failed[m] = true
    answer[#answer + 1] = s
    answer[#answer + 1] = err
    if not retry then redis.call('HSET', cursor, 's' .. s, err) end
  else
    done = done + 1
    if retry then redis.call('HDEL', cursor, 's' .. s) end
  end
  i = last + 1
end

redis.call('HSET', cursor, 'count', (tonumber(have[3]) or 0) + done)
return answer
