# Copyright (c) 2026, the outbox developers
#
# one_message.lua: what one message does, by target; one that fails leaves
# nothing behind that a consumer could see, and no error of a message passes for
# an outage of Redis (I9).

use strict;
use warnings;
use Script;
use Test::More;

my @move = ('p', 12, 'q', 13);

# One message, by the skip script: its error, or nothing.
sub one
{
	my ($target, @args) = @_;
	redis('HSET', 'cursor', 'pos', 'p', 'seq', 12);
	my $reply = skip_batch('skip', $target, \@move, '', 13, 0, scalar @args, @args);
	$reply =~ s/^done(\|13\|)?// or die "$target: $reply\n";
	return $reply;
}

sub keys_there { return join ' ', sort grep { $_ ne 'cursor' } split /\|/, redis('KEYS', '*'); }
sub fields { my ($key) = @_; my %f = split /\|/, redis('HGETALL', $key), -1; return \%f; }

cursor_at('p', 12);
is(one('stream', '*', 'x', 'y'), '', 'stream');
is(entries(), 'x=y', 'stream: the entry');
like(one('stream', '*', 'x'), qr/^ERR .*wrong number/i, 'stream: refused');
cursor_at('p', 12);
is(one('list', 'value'), '', 'list');
is(one('list', 'later'), '', 'list: another one');
is(redis('LRANGE', 'key', 0, -1), 'value|later', 'list: behind the first');
like(one('stream', '*', 'x', 'y'), qr/^WRONGTYPE /, 'the key is of another type');
my $listener = subscriber('channel');
is(one('publish', 'value'), '', 'publish');
is(heard($listener), 'value', 'publish: heard');
is(redis('EXISTS', 'key'), 1, 'publish: no key is touched');

# Commands.
cursor_at('p', 12);
is(one('commands', 3, 'SET', 'one', 1, 2, 'INCR', 'one'), '', 'commands');
is(redis('GET', 'one'), 2, 'commands: all');
like(one('commands', 2, 'INCR', 'cursor', 2, 'INCR', 'one'), qr/^WRONGTYPE/, 'commands: the first that fails');
is(redis('GET', 'one'), 2, 'commands: ends the message');
is(one('commands', 0), 'ERR its commands have more than 512 MB', 'commands: too many bytes');
is(one('commands', -1), 'ERR its commands name a cursor', 'commands: a cursor');
is(one('commands', -2), 'ERR its payload describes no job', 'commands: no job');
is(one('commands', 5, 'XGROUP', 'CREATE', 's', 'g', '$'), 'ERR The XGROUP subcommand requires the key to exist.'
	. ' Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.',
	'commands: what Redis says');
is(one('commands', 6, 'XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM'), '', 'commands: a group');
is(one('commands', 6, 'XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM'),
	'ERR BUSYGROUP Consumer Group name already exists', 'commands: a word that is not known');

# A function.
cursor_at('p', 12);
my @args = ('id', 'type', 'k', 'payload', '{}', '1700000000000', '1');
$user = "redis.call('RPUSH', key, id, msgtype, msgkey, payload, headers, now_ms, attempt)";
is(one('function', @args), '', 'function');
is(redis('LRANGE', 'key', 0, -1), join('|', @args), 'function: its arguments');

my @returned = (
	[ "{err = 'OOM command not allowed'}", 'ERR function: OOM command not allowed', 'a word of an outage' ],
	[ "{err = 'READONLY no'}", 'ERR function: READONLY no', 'another' ],
	[ "{err = 'ERR max number of clients reached'}", 'ERR function: ERR max number of clients reached',
		'words of an outage behind ERR' ],
	[ "{err = 'FAKE word'}", 'ERR function: FAKE word', 'a word that is not known' ],
	[ "{err = 'no word'}", 'ERR function: no word', 'no word' ],
	[ "{err = 'Error -OOM -LOADING a-b'}", 'ERR function: Error OOM LOADING a-b', 'a word behind a minus' ],
	[ "{err = 'WRONGTYPE so it says'}", 'WRONGTYPE so it says', 'a word of the queue' ],
	[ "{err = string.rep('x', 5000)}", 'ERR function: ' . 'x' x 1000, 'a long error' ],
	[ "{err = {}}", 'ERR function: nil', 'an error that is no text' ],
	[ "{err = 7}", 'ERR function: 7', 'a number' ],
	[ "{ok = 'yes'}", '', 'no error' ],
	[ "'text'", '', 'text' ],
	[ "false", '', 'false' ]);
for (@returned)
{
	my ($value, $error, $what) = @$_;
	$user = "return $value";
	my $said = one('function', @args);
	ref $error ? like($said, $error, "function returns $what") : is($said, $error, "function returns $what");
}

my @raised = (
	[ "error('OOM it says')", qr/^ERR script: .*OOM it says$/, 'an error' ],
	[ "error('x -LOADING y', 0)", qr/^ERR script: x LOADING y$/, 'a word behind a minus' ],
	[ "error({err = 'READONLY no'})", qr/^ERR script: READONLY no$/, 'a table' ],
	[ "error({})", qr/^ERR script: nil$/, 'an empty table' ],
	[ "error()", qr/^ERR script: nil$/, 'nothing' ],
	[ "error(setmetatable({}, {__index = function() error('again') end}))",
		qr/^ERR script: an error that can not be read$/, 'what raises when it is read' ],
	[ "redis.call('INCR', 'cursor')", qr/^ERR script: .*WRONGTYPE/, 'what Redis says' ],
	[ "return nothing.there", qr/^ERR script: /, 'an error of Lua' ]);
for (@raised)
{
	my ($statement, $error, $what) = @$_;
	$user = $statement;
	like(one('function', @args), $error, "function raises $what");
	is(cursor() =~ /\|pos=q\|/ ? 1 : 0, 1, 'the script has gone on');
}
$user = '';

# asynq: what a worker finds.
my $q = 'asynq:{key}:';
my $lock = "${q}unique:t:1";
redis('FLUSHALL');
is(one('asynq', 'pending', 'A', 'msg', 1700), '', 'asynq, pending');
is_deeply(fields("${q}t:A"), { msg => 'msg', state => 'pending', pending_since => 1700 }, 'its task');
is(one('asynq', 'pending', 'B', 'msg', 1700), '', 'another one');
is(redis('LRANGE', "${q}pending", 0, -1), 'B|A', 'pushed left');
is(one('asynq', 'scheduled', 'C', 'msg', 1800), '', 'asynq, scheduled');
is_deeply(fields("${q}t:C"), { msg => 'msg', state => 'scheduled' }, 'its task');
is(redis('ZRANGE', "${q}scheduled", 0, -1, 'WITHSCORES'), 'C|1800', 'by its time');
is(one('asynq', 'aggregating', 'D', 'msg', 1900, 'G'), '', 'asynq, aggregating');
is_deeply(fields("${q}t:D"), { msg => 'msg', state => 'aggregating', group => 'G' }, 'its task');
is(redis('ZRANGE', "${q}g:G", 0, -1, 'WITHSCORES'), 'D|1900', 'in its group');
is(redis('SMEMBERS', "${q}groups"), 'G', 'which is among the groups');

is(one('asynq', 'pending', 'A', 'other', 1701), '', 'asynq, a task that is there');
is(redis('HGET', "${q}t:A", 'msg'), 'msg', 'it stays as it is');
is(redis('LLEN', "${q}pending"), 2, 'and is not pushed again');

# Unique tasks.
redis('FLUSHALL');
is(one('asynq', 'pending', 'A', 'msg', 1700, '', $lock, 60), '', 'asynq, unique');
is_deeply(fields("${q}t:A"), { msg => 'msg', state => 'pending', pending_since => 1700, unique_key => $lock }, 'its task');
is(redis('GET', $lock), 'A', 'its lock');
my $ttl = redis('TTL', $lock);
ok($ttl > 0 && $ttl <= 60, 'which has an end');
is(one('asynq', 'pending', 'B', 'msg', 1700, '', $lock, 60), '', 'another one with that lock');
is(redis('EXISTS', "${q}t:B"), 0, 'is no task');
is(redis('LRANGE', "${q}pending", 0, -1), 'A', 'and is not pushed');
is(redis('GET', $lock), 'A', 'and leaves the lock alone');
is(one('asynq', 'scheduled', 'C', 'msg', 1800, '', "${lock}c", 60), '', 'asynq, unique and scheduled');
is(redis('HGET', "${q}t:C", 'unique_key'), "${lock}c", 'its task');
is(one('asynq', 'aggregating', 'D', 'msg', 1900, 'G', "${lock}d", 60), '', 'asynq, unique in a group');
is(redis('EXISTS', "${lock}d"), 1, 'its lock');
is_deeply(fields("${q}t:D"), { msg => 'msg', state => 'aggregating', group => 'G' }, 'its task');
like(one('asynq', 'pending', 'E', 'msg', 1700, '', "${lock}e", 0), qr/^ERR invalid expire time/, 'no time to live');
is(redis('EXISTS', "${q}t:E", "${lock}e"), 0, 'is no task');

# A task that fails leaves nothing.
for ([ 'pending', "${q}pending" ], [ 'scheduled', "${q}scheduled" ], [ 'aggregating', "${q}groups" ],
	[ 'aggregating', "${q}g:G" ])
{
	my ($state, $wrong) = @$_;
	for my $unique ([], [ $lock, 60 ])
	{
		redis('FLUSHALL');
		redis('SET', $wrong, 'x');
		like(one('asynq', $state, 'A', 'msg', 1700, 'G', @$unique), qr/^WRONGTYPE /, "asynq, $wrong is wrong");
		is(redis('EXISTS', "${q}t:A", $lock), 0, 'neither task nor lock is left');
	}
}
redis('FLUSHALL');
redis('SET', "${q}pending", 'x');
one('asynq', 'pending', 'A', 'msg', 1700);
redis('DEL', "${q}pending");
is(one('asynq', 'pending', 'A', 'msg', 1700), '', 'it is tried again');
is(redis('LRANGE', "${q}pending", 0, -1), 'A', 'and goes through');

done_testing();
