-- Copyright (c) 2026, the outbox developers
--
-- What surrounds the source of a queue's own function: names that it may use,
-- and those that it may not.  Its source takes the place of the line "source()";
-- all before it is sent as one line, so that errors name the source's lines.
--
-- The function runs in the script that moves the cursor, so it must not undo
-- what the script relies on: that all is done in one database, on the cursor
-- that was compared, with the arguments that were sent, and reaches replicas and
-- files.  So the function has, as local variables of the same names,
--
--	redis, server	without set_repl and setresp; call() and pcall() refuse what
--					acts on more than the keys that it names, and cursors
--	libraries		that it can change for itself only (Redis 6.2 shares them
--					among all scripts)
--	nothing			in place of what leads to other scripts' variables or ours: _G,
--					KEYS, ARGV, load and the like
--
-- That the source is the body of a function, and does not end it, is checked
-- before (targets/function_source.c).
--
-- luacheck: ignore 211 212 221 231 431
-- luacheck: globals source

local user, grant = (function()
  local redis, server
  local bit, cjson, cmsgpack, coroutine, math, os, string, struct, table
  local assert, error, getmetatable, ipairs, next, pairs, pcall, rawequal, rawget, rawset
  local select, setmetatable, tonumber, tostring, type, unpack, xpcall
  local _G, KEYS, ARGV, getfenv, setfenv, load, loadstring, loadfile, dofile, require, module
  local package, debug, newproxy, print, collectgarbage
  local __redis__err__handler, __server__err__handler, __redis__compare_helper
  local f = function(key, id, msgtype, msgkey, payload, headers, now_ms, attempt)
source()
  end
  return f, function(commands, metatable, library, base)
    redis, server, getmetatable = commands, commands, metatable
    bit, cjson, cmsgpack = library('bit'), library('cjson'), library('cmsgpack')
    coroutine, math, os = library('coroutine'), library('math'), library('os')
    string, struct, table = library('string'), library('struct'), library('table')
    assert, error, ipairs, next = base('assert'), base('error'), base('ipairs'), base('next')
    pairs, pcall, rawequal = base('pairs'), base('pcall'), base('rawequal')
    rawget, rawset, select = base('rawget'), base('rawset'), base('select')
    setmetatable, tonumber = base('setmetatable'), base('tonumber')
    tostring, type, unpack = base('tostring'), base('type'), base('unpack')
    xpcall = base('xpcall')
  end
end)()

do
  local forbidden = {SELECT = true, SWAPDB = true, FLUSHDB = true, FLUSHALL = true,
                     CLUSTER = true, TRIMSLOTS = true}
  local cursor = ':outbox:%x+%-%x+%-%x+%-%x+%-%x+:%d+$'

  local function refusal(name, ...)
    local command = type(name) == 'string' and string.upper(name)
    if forbidden[command] then return {err = 'ERR a function must not call ' .. command} end
    for _, arg in ipairs({...}) do
      if type(arg) == 'string' and string.find(string.sub(arg, -64), cursor) then
        return {err = 'ERR a function must not name a cursor'}
      end
    end
  end

  local commands = {}
  for _, name in ipairs({'error_reply', 'status_reply', 'sha1hex', 'log', 'LOG_DEBUG',
                         'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING', 'acl_check_cmd',
                         'replicate_commands', 'REDIS_VERSION', 'REDIS_VERSION_NUM',
                         'SERVER_NAME', 'VALKEY_VERSION', 'VALKEY_VERSION_NUM'}) do
    commands[name] = redis[name]
  end
  commands.call = function(...)
    local no = refusal(...)
    if no then error(no) end
    return redis.call(...)
  end
  commands.pcall = function(...)
    return refusal(...) or redis.pcall(...)
  end

  -- A string's metatable leads to the library that all scripts share.
  local function metatable(t)
    if type(t) == 'table' then return getmetatable(t) end
  end
  local function base(name) return rawget(_G, name) end
  local function library(name)
    return setmetatable({}, {__index = base(name), __metatable = false})
  end
  grant(commands, metatable, library, base)
end
