-- Copyright (c) 2026, the outbox developers
--
-- find: cursors that are marked, some keys at a time: of a thousand keys, or of
-- fewer if there are many cursors among them.
--
-- ARGV		1 where SCAN goes on
--
-- Answers	{where to go on, time, how many are left out, cursor, mark, cursor, mark...};
--			left out are those whose names are too long or have a zero byte,
--			or that a cluster is bringing here just now

local at, size, n, omitted, answer = ARGV[1], 0, 3, 0, {}
for _ = 1, 40 do
  local page = redis.call('SCAN', at, 'MATCH', '*:outbox:*:*', 'COUNT', 25)
  at = page[1]
  for _, key in ipairs(page[2]) do
    local owner = string.find(key, ':outbox:%x+%-%x+%-%x+%-%x+%-%x+:%d+$') and
                  redis.pcall('HGET', key, 'owner')
    if type(owner) == 'string' and #owner < 100 then
      if #key > 512 or string.find(key .. owner, '%z') then
        omitted = omitted + 1
      else
        answer[n + 1], answer[n + 2] = key, owner
        n, size = n + 2, size + #key + #owner
      end
    elseif owner and type(owner) == 'table' then
      if string.find(owner.err, 'cluster is down', 1, true) then return owner end
      if string.find(owner.err, 'non local key', 1, true) then omitted = omitted + 1 end
    end
  end
  if at == '0' or size > 16384 then break end
end
answer[1], answer[2], answer[3] = at, redis.call('TIME')[1], tostring(omitted)
return answer
