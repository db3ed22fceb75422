-- Copyright (c) 2026, the outbox developers
--
-- The commands that the server has, one in each line: its name, its number of
-- arguments as COMMAND has it, 1 if scripts may not call it, and which of its
-- arguments are keys: the first, the last (negative: counted from the end) and the
-- step.  COMMAND itself answers a hundred times as much.

local r = {}
for _, command in ipairs(redis.call('COMMAND')) do
  local no = 0
  for _, flag in ipairs(command[3]) do
    if (flag.ok or flag) == 'noscript' then no = 1 end
  end
  r[#r + 1] = table.concat({command[1], command[2], no, command[4], command[5],
                            command[6]}, ' ')
end
return table.concat(r, '\n')
