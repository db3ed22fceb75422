-- Copyright (c) 2026, the outbox developers
--
-- move: a queue's cursor goes to another server, or comes from one.
--
-- KEYS		1 the cursor
-- ARGV		1 "seal": the queue goes; or "settle": it comes
--			2, 3, 4 expected pos, seq and count; "", "" and 0 if there is no cursor
--			of "seal":
--				5 new pos, which nobody expects		6 the move, and where it leads
--			of "settle":
--				5, 6, 7, 8 new pos, seq, count and line		9 the move, or ""
--				10... the skip list: seq, error, seq, error...
--
-- Answers	1 done
--			{"differs", pos, seq} the cursor is not where it was expected, nothing done
--
-- A sealed cursor keeps all that it had.

local a, cursor = ARGV, KEYS[1]
local have = redis.call('HMGET', cursor, 'pos', 'seq', 'count')
local pos, seq, count = have[1] or '', have[2] or '', have[3] or '0'
if pos ~= a[2] or seq ~= a[3] or count ~= a[4] then
  return {'differs', pos, seq}
end
if a[1] == 'seal' then
  redis.call('HSET', cursor, 'pos', a[5], 'moved', a[6])
  return 1
end
redis.call('DEL', cursor)
redis.call('HSET', cursor, 'pos', a[5], 'seq', a[6], 'count', a[7], 'line', a[8])
if a[9] ~= '' then redis.call('HSET', cursor, 'arrived', a[9]) end
for i = 10, #a, 2 do redis.call('HSET', cursor, 's' .. a[i], a[i + 1]) end
return 1
