-- Copyright (c) 2026, the outbox developers
--
-- remove: read the mark of a cursor; remove the cursor if it still has this one.
--
-- KEYS		1 the cursor
-- ARGV		1 the mark that it must have; or nothing: only read it
--
-- Answers	{"removed", time, ""}
--			{"found", time, the mark, or nothing if there is none}

local owner, word = redis.call('HGET', KEYS[1], 'owner') or '', 'found'
if owner ~= '' and owner == ARGV[1] then
  redis.call('DEL', KEYS[1])
  owner, word = '', 'removed'
end
return {word, redis.call('TIME')[1], owner}
