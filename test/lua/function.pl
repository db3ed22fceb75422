# Copyright (c) 2026, the outbox developers
#
# function.lua: whatever a queue's function does, the cursor is where its script
# has put it, in its database, and the other messages of the call are what they
# were (I2, I3).  What a function might use is asked of the server: its
# variables, its API, its commands.  What is not known here is a failure, so that
# somebody decides.

use strict;
use warnings;
use Script;
use Test::More;

my $cursor = '{key}:outbox:0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d:7';

# Two messages in one call; the function's source sees payload 'first' and
# 'second'.  Returns what the script answers.
sub run
{
	my ($source, @options) = @_;
	$user = $source;
	redis('HSET', $cursor, 'pos', 'p', 'seq', 12, 'count', 0);
	my @message = map { [ 'id', 't', 'k', $_, '{}', 1, 1 ] } 'first', 'second';
	return script('apply', [ $cursor, 'key' ],
		[ 'apply', 'p', 12, 0, 'q', 14, 'function', '', '13 14 ', 2, map { (7, @$_) } @message ], @options);
}

sub position { return redis('HMGET', $cursor, 'pos', 'seq', 'count'); }

# A list that the server has, by a script of ours.
sub asked { my ($lua) = @_; return split /\|/, redis('EVAL', "$lua table.sort(r) return r", 0); }

# The server's global variables.
my %kept = map { $_ => 1 } qw(assert bit cjson cmsgpack coroutine error gcinfo getmetatable ipairs math next os pairs
  pcall rawequal rawget rawset redis select server setmetatable string struct table tonumber tostring type unpack
  xpcall _VERSION);
my %taken = map { $_ => 1 } qw(_G ARGV KEYS collectgarbage debug dofile getfenv load loadfile loadstring module
  newproxy package print require setfenv __redis__err__handler __server__err__handler
  __redis__compare_helper);
for my $name (asked('local r = {} for n in next, _G do r[#r + 1] = n end for _, n in ipairs({"_G", "getfenv", "setfenv", "debug"}) do '
			. 'if rawget(_G, n) == nil then r[#r + 1] = n end end'))
{
	redis('FLUSHALL');
	ok($kept{$name} || $taken{$name}, "variable $name is known") or next;
	like(run("return {err = type($name)}"), $taken{$name} ? qr/ nil$/ : qr/ (function|table|string)$/,
		$taken{$name} ? '... and no function has it' : '... and a function has it');
}
$user = '';

# The members of the API.
%kept = map { $_ => 1 } qw(LOG_DEBUG LOG_NOTICE LOG_VERBOSE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM SERVER_NAME
  VALKEY_VERSION VALKEY_VERSION_NUM acl_check_cmd call error_reply log pcall replicate_commands sha1hex status_reply);
%taken = map { $_ => 1 } qw(REPL_ALL REPL_AOF REPL_NONE REPL_REPLICA REPL_SLAVE breakpoint debug set_repl setresp);
for my $name (asked('local r = {} for n in pairs(redis) do r[#r + 1] = n end'))
{
	redis('FLUSHALL');
	ok($kept{$name} || $taken{$name}, "redis.$name is known") or next;
	like(run("return {err = type(redis.$name)}"), $taken{$name} ? qr/ nil$/ : qr/ (function|number|string)$/,
		$taken{$name} ? '... and no function has it' : '... and a function has it');
}

# Commands that scripts may call, and that name no key: what they change is not
# what they are given.
my $not = 'local function has(c, f) for _, g in ipairs(c[3]) do if (type(g) == "table" and g.ok or g) == f then return true end end end ';
my @keyless = asked("$not local r = {} for _, c in ipairs(redis.call('COMMAND')) do if c[4] == 0 and not has(c, 'noscript') "
		. "and not has(c, 'movablekeys') and not has(c, 'readonly') then r[#r + 1] = string.upper(c[1]) end end");
my %forbidden = map { $_ => 1 } qw(SELECT SWAPDB FLUSHDB FLUSHALL CLUSTER TRIMSLOTS);
my %harmless = map { $_ => 1 } qw(ASKING COMMAND ECHO INFO LASTSAVE LOLWUT PFSELFTEST PING PUBLISH PUBSUB READONLY
  READWRITE TIME WAIT WAITAOF), qw(XGROUP XINFO OBJECT),    # their subcommands name keys
  qw(MEMORY SLOWLOG COMMANDLOG),                               # about the server's memory and logs
  qw(ACL CLIENT CONFIG FUNCTION HOTKEYS LATENCY MODULE SCRIPT);    # scripts may call HELP only
ok($forbidden{$_} || $harmless{$_}, "command $_ is known") for @keyless;
for my $command (grep { $forbidden{$_} } @keyless)
{
	for my $call ("redis.call('$command', 1, 2)", "redis.call('\L$command', 1)", "redis.call('\u\L$command')",
		"local r = redis.pcall('$command', 1) if r.err then return r end",
		"local call = redis.call coroutine.wrap(function() call('$command', 1, 2) end)()",
		"local _, e = pcall(redis.call, '$command', '1') if e then return {err = type(e) == 'table' and e.err or e} end",
		"select(2, xpcall(function() redis.call('$command', 1, 2) end, function(e) return e end))")
	{
		redis('FLUSHALL');
		redis('-n', 1, 'SET', 'other', 'there');
		my $answer = run("$call if payload == 'second' then redis.call('SET', 'here', 1) end");
		$call =~ /xpcall/ ? is($answer, 1, "$command: ignored by $call") :
			like($answer, qr/^stopped\|13\|.*a function must not call $command$/, "$command: refused: $call");
		is(position(), $call =~ /xpcall/ ? 'q|14|2' : 'p|12|0', '... and the cursor says so');
		is(redis('-n', 1, 'KEYS', '*'), 'other', '... and no other database is touched');
	}
}

# Commands that write to a key: not to a cursor, ours or another one.
my @writing = asked("$not local r = {} for _, c in ipairs(redis.call('COMMAND')) do if (c[4] > 0 or has(c, 'movablekeys')) and has(c, 'write') "
		. "and not has(c, 'noscript') then r[#r + 1] = string.upper(c[1]) end end");
cmp_ok(scalar(@writing), '>', 80, 'many commands write');
for my $other ($cursor, 'x{y}:outbox:99999999-7c1e-7b3a-9d55-3f0c2a1b4c5d:1234567890')
{
	redis('FLUSHALL');
	redis('HSET', $other, 'pos', 'other');
	my $answer = run(join "\n", 'local e = ""',
		(map { "for i = 1, 4 do local a = {1, 1, 1, 1} a[i] = '$other' local r = redis.pcall('$_', unpack(a))"
			. " if not (type(r) == 'table' and r.err == 'ERR a function must not name a cursor') then e = e .. ' $_' end end" } @writing),
		'return {err = e}');
	is($answer, 'stopped|13|ERR function: ', 'no command that writes is done with a cursor');
	is(redis('HGET', $other, 'pos'), $other eq $cursor ? 'p' : 'other', '... which is what it was');
}
redis('FLUSHALL');
is(run("redis.call('RPUSH', 'l', 'x:outbox:7', '$cursor:', 'outbox', id)"), 1, 'what only looks like one is not');

# What is changed is changed for the function only, and in that call only.
my %changes = (
	'the arguments' => 'if ARGV then for i = 1, #ARGV do ARGV[i] = 0 end end if KEYS then KEYS[1] = "x" end',
	'a library' => 'string.gmatch = nil string.sub = nil table.insert = nil rawset(string, "gsub", 1)',
	'the library of strings' => 'getmetatable("").__index.sub = nil',
	'a library\'s metatable' => 'getmetatable(string).__index.sub = nil',
	'redis.call' => 'redis.call = function() return 1 end redis.pcall = redis.call redis = nil',
	'basic functions' => 'tonumber = nil tostring = nil pcall = nil unpack = nil error = nil type = nil ipairs = nil',
	'a global variable' => 'user = nil grant = nil a = {} x = 1 done = 7 branch = nil try = nil cursor = "x"',
	'the environment' => 'setfenv(0, {})',
	'a new chunk' => 'loadstring("redis.call(\'SELECT\', 3) ARGV = nil")()',
	'replication' => 'redis.set_repl(redis.REPL_NONE)',
	'the form of replies' => 'redis.setresp(3)',
	'a coroutine' => 'coroutine.yield(1)',
	'a metatable of an argument' => 'setmetatable(id, {})',
	'an error that changes' => 'error(setmetatable({}, {__index = function() return "OOM" end}))',
	'too much recursion' => 'local function f() return 1 + f() end f()',
	'too large a string' => 'return {err = string.rep("x", 2^24)}');
for my $what (sort keys %changes)
{
	redis('FLUSHALL');
	my $answer = run("if payload == 'second' then $changes{$what} end redis.call('RPUSH', 'l', payload)");
	my $done = $answer eq '1';
	is($done ? 'done' : $answer =~ s/(stopped\|14).*/$1/r, $done ? 'done' : 'stopped|14', "$what: done or refused");
	is(redis('LRANGE', 'l', 0, -1), $done ? 'first|second' : 'first', '... as Redis has it');
	is(position(), $done ? 'q|14|2' : 'q|13|1', '... and as the cursor says');
	is(run("if string.sub('abc', 2) == 'bc' and tonumber('7') == 7 then redis.call('SET', 'after', (string.gsub('a', 'a', 'b'))) end"),
		1, '... and the next call');
	is(redis('GET', 'after'), 'b', '... has all of Lua');
	is(redis('EVAL', "return string.sub('abc', 2) .. (string.gsub('a', 'a', 'b')) .. tonumber('7')", 0), 'bcb7', '... and so have other scripts');
}

# An error names the line of the function's source.
like(run("\n\nerror('here')"), qr/user_script:4: here/, 'an error has its line');

# What is put around the source is what Redis gets.
is(sent('function'), text('function') =~ s/^ *--.*\n//mgr =~ s/^\n//mgr, 'the script that is built is this one');

done_testing();
