-- Copyright (c) 2026, the outbox developers
--
-- What one message is, by the name of its target: one(i, last) applies the
-- message whose arguments these are, and returns the error, if there is one.
-- Each target has to leave nothing behind that a consumer could see when it
-- fails.
--
-- This is a part of apply.lua and skip.lua.  It needs their locals a (ARGV),
-- key, target, and x (redis.pcall), and makes the function try(i, last).

local function failure(r)
  if type(r) == 'table' then return r.err end
end
local one
if target == 'stream' then
  one = function(i, last)
    return failure(x('XADD', key, unpack(a, i, last)))
  end
elseif target == 'list' or target == 'publish' then
  local command = target == 'list' and 'RPUSH' or 'PUBLISH'
  one = function(i) return failure(x(command, key, a[i])) end
elseif target == 'commands' then
  -- each command is the number of its arguments, then these; or one number that
  -- says why the commands are refused (targets/commands.c, targets/jobs.c)
  one = function(i, last)
    while i <= last do
      if a[i] == '0' then return 'ERR its commands have more than 512 MB' end
      if a[i] == '-1' then return 'ERR its commands name a cursor' end
      if a[i] == '-2' then return 'ERR its payload describes no job' end
      local to = i + a[i]
      local err = failure(x(unpack(a, i + 1, to)))
      if err then return err end
      i = to + 1
    end
  end
elseif target == 'function' then
  -- A queue with a function has scripts of its own: these, behind "local
  -- function user(key, id, msgtype, msgkey, payload, headers, now_ms, attempt)",
  -- made of the function's source (script.c).  It returns nothing, or
  -- {err = ...}.
  one = function(i, last) return failure(user(key, unpack(a, i, last))) end
elseif target == 'asynq' then
  -- state, id, msg, time; then, as far as they are needed, group, lock, and how
  -- long the lock lives in seconds.  For what these are see targets/asynq.c.  A
  -- task that is there already, or whose lock is held, is done with.
  local prefix = 'asynq:{' .. key .. '}:'
  one = function(i, last)
    local state, id, msg, at = a[i], a[i + 1], a[i + 2], a[i + 3]
    local task = prefix .. 't:' .. id
    local group = last > i + 3 and a[i + 4]
    local lock = last > i + 4 and a[i + 5]
    local r = x('EXISTS', task)
    if r ~= 0 then return failure(r) end
    if lock then
      r = x('SET', lock, id, 'NX', 'EX', a[i + 6])
      if not r then return end
      if r.err then return r.err end
    end
    if state == 'aggregating' then
      r = x('HSET', task, 'msg', msg, 'state', state, 'group', group)
    elseif state == 'scheduled' then
      r = x('HSET', task, 'msg', msg, 'state', state)
    else
      r = x('HSET', task, 'msg', msg, 'state', state, 'pending_since', at)
    end
    local err = failure(r)
    if not err and lock and state ~= 'aggregating' then
      err = failure(x('HSET', task, 'unique_key', lock))
    end
    if not err then
      if state == 'aggregating' then
        err = failure(x('SADD', prefix .. 'groups', group)) or
              failure(x('ZADD', prefix .. 'g:' .. group, at, id))
      elseif state == 'scheduled' then
        err = failure(x('ZADD', prefix .. 'scheduled', at, id))
      else
        err = failure(x('LPUSH', prefix .. 'pending', id))
      end
    end
    if err then
      x('DEL', task)
      if lock then x('DEL', lock) end
    end
    return err
  end
end

-- try() is one() that cannot fail itself.  The cursor has been moved by then, so
-- Redis does what it is asked, and an error is the message's.  So nothing in it
-- must pass for an outage: a word that is not known, of a module or a queue's own
-- function; a word behind a minus; nor a function's words that are Redis's of an
-- outage (redis/errors.c).  Whatever a function raises or returns, nothing may be raised
-- from here: skip.lua would end between its cursor and its messages.
-- What is kept of an error is short, as the cursor keeps it.
local known = {ERR = true, WRONGTYPE = true, NOPERM = true}
local function attempt(i, last)
  local ok, err = pcall(one, i, last)
  if ok and not err then return end
  if type(err) == 'table' then err = err.err end
  err = string.gsub(string.sub(tostring(err), 1, 1000), '%-(%u)', '%1')
  if not ok then return 'ERR script: ' .. err end
  local word = string.match(err, '^%u+')
  if target == 'function' and (word == 'ERR' or not known[word]) then
    return 'ERR function: ' .. err
  end
  if not known[word] then return 'ERR ' .. err end
  return err
end
local function try(i, last)
  local ok, err = pcall(attempt, i, last)
  return ok and err or not ok and 'ERR script: an error that can not be read'
end
