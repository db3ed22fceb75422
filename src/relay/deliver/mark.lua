-- Copyright (c) 2026, the outbox developers
--
-- mark: say in a cursor whose it is, and when it was last in use, by the clock of
-- Redis.  A cursor that is gone is not made again.
--
-- KEYS		1 the cursor
-- ARGV		1 system identifier and database oid, with a space between

if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1] .. ' ' .. redis.call('TIME')[1])
end
return 1
