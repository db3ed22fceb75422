# Copyright (c) 2026, the outbox developers
#
# apply.lua: a batch moves the cursor and is applied, once, all of it or up to
# the message that fails (I2, I3, I4); what Redis refuses leaves nothing (I9).

use strict;
use warnings;
use Script;
use Test::More;

my @first = ('', '', 'p', 12);    # of a queue that has no cursor yet
my @next = ('p', 12, 'q', 14);
my ($reply, $shape);

# Two messages of each shape: what XADD gets, and the arguments that say so.
my %fields = (
	p => [ 'id=%s payload=%s', 2 ],
	tp => [ 'id=%s type=%s payload=%s', 3 ],
	kp => [ 'id=%s key=%s payload=%s', 3 ],
	tkp => [ 'id=%s type=%s key=%s payload=%s', 4 ],
	w => [ '_watermill_message_uuid=%s metadata=%s payload=%s', 3 ],
	g => [ 'x=%s y=%s', 2 ]);

# The values of message n, what they are passed as, what they become.
sub values_of { my ($s, $n) = @_; return map { "$n$_" } 'a' .. ('', 'a' .. 'd')[ $fields{$s}[1] ]; }

sub passed
{
	my ($s, $n) = @_;
	my @v = values_of($s, $n);
	return $s eq 'g' ? (5, '*', 'x', $v[0], 'y', $v[1]) : @v;
}

sub run_of { my ($s, @n) = @_; return ($s, scalar @n, map { passed($s, $_) } @n); }
sub entry { my ($s, $n) = @_; return sprintf $fields{$s}[0], values_of($s, $n); }

# Runs of messages, each of one shape.
for $shape (sort keys %fields)
{
	redis('FLUSHALL');
	is(apply('stream', \@first, '10 11 12 ', run_of($shape, 1, 2), run_of('p', 3)),
		1, "stream, $shape: applied");
	is(entries(), join('|', entry($shape, 1), entry($shape, 2), entry('p', 3)),
		"stream, $shape: entries");
	is(cursor(), 'count=3|pos=p|seq=12', "stream, $shape: cursor");
}

redis('FLUSHALL');
apply('stream', \@first, '12 ', 'g', '0001', 6, 'MAXLEN', '1', '*', 'x', 'y', 'extra');
is(entries(), '', 'stream, g: what XADD refuses is not there');
apply('stream', \@first, '12 ', 'g', '0002', 6, 'MAXLEN', '=', 1, '*', 'x', 1, 6, 'MAXLEN', '=', 1, '*', 'x', 2);
is(entries(), 'x=2', 'stream, g: what stands before the fields is passed on');

# Where it stops: behind a run, within one, at the beginning.
for $shape (sort keys %fields)
{
	cursor_at('o', 9, 'count', 7);
	fill(3);
	is( apply('stream', [ 'o', 9, 'p', 14 ], '10 11 12 13 14 ', run_of('p', 1), run_of($shape, 2 .. 5)),
		'stopped|13|ERR The stream has exhausted the last possible ID, unable to add more items',
		"stream, $shape: stopped at the fourth");
	is(entries(), join('|', entry('p', 1), map { entry($shape, $_) } 2, 3),
		"stream, $shape: three are there");
	is(cursor(), 'count=10|pos=p|seq=12', "stream, $shape: cursor behind the third");
	is(apply('stream', [ 'p', 12, 'p', 14 ], '13 14 ', run_of($shape, 4, 5)) =~ s/\|ERR.*//r,
		'stopped|13', "stream, $shape: stopped at the first");
	is(cursor(), 'count=10|pos=p|seq=12', "stream, $shape: cursor where it was");

	cursor_at('o', 9, 'count', 7);
	fill(3);
	is( apply('stream', [ 'o', 9, 'p', 14 ], '10 11 12 13 14 ', run_of($shape, 1, 2), run_of('p', 3 .. 5)) =~ s/\|ERR.*//r,
		'stopped|13', "stream, $shape: stopped behind its run");
	is(cursor(), 'count=10|pos=p|seq=12', "stream, $shape: its run is counted");
}

# Once, and only from where it ought to begin.
redis('FLUSHALL');
my @batch = ('stream', \@first, '11 12 ', run_of('p', 1, 2));
is(apply(@batch), 1, 'the first time');
is(apply(@batch), 'differs|p|12', 'again: differs');
is(redis('XLEN', 'key'), 2, 'nothing came twice');
is(apply('stream', \@next, '13 14 ', run_of('p', 3, 4)), 1, 'the next one');
is(apply(@batch), 'differs|q|14', 'a late one: differs');
is(apply('stream', [ 'q', 13, 'r', 15 ], '15 ', run_of('p', 5)), 'differs|q|14', 'another seq: differs');
is(apply('stream', [ 'p', 14, 'r', 15 ], '15 ', run_of('p', 5)), 'differs|q|14', 'another pos: differs');
is(apply('stream', [ 'q', 14, 'r', 15, $_ ], '15 ', run_of('p', 5)), 'differs|q|14', "count $_: differs") for 3, 5, 0, '';
is(redis('XLEN', 'key'), 4, 'those did nothing');
is(cursor(), 'count=4|pos=q|seq=14', 'nor did their cursors');
redis('FLUSHALL');
is(apply('stream', \@next, '13 14 ', run_of('p', 3, 4)), 'differs||', 'no cursor: differs');
is(redis('DBSIZE'), 0, 'that did nothing');

# A queue that never had a cursor stops at its first message.
fill(0);
is(apply('stream', \@first, '11 12 ', run_of('p', 1, 2)) =~ s/\|ERR.*//r, 'stopped|11', 'stopped at its first');
is(cursor(), 'count=0|pos=|seq=', 'a cursor that is as good as none');

# The count is exact.
cursor_at('p', 12, 'count', '9007199254740000');
apply('stream', \@next, '13 14 ', run_of('p', 1, 2));
is(cursor(), 'count=9007199254740002|pos=q|seq=14', 'a large count');

# The script itself fails: as if the message had.
cursor_at('p', 12, 'count', 2);
like(apply('stream', \@next, '13 14 15 ', run_of('p', 1), 'p', 'two', 'x', 'y'),
	qr/^stopped\|14\|ERR script: /, 'arguments that make no sense');
is(cursor(), 'count=3|pos=q|seq=13', 'the cursor is behind what was applied');

# Redis has no memory: not even the cursor moves.
cursor_at('p', 12, 'count', 2);
redis('CONFIG', 'RESETSTAT');
redis('CONFIG', 'SET', 'maxmemory', 1);
$reply = apply('stream', \@next, '13 14 ', run_of('p', 1, 2));
redis('CONFIG', 'SET', 'maxmemory', 0);
like($reply, qr/OOM command not allowed/, 'OOM: the script is refused');
unlike($reply, qr/stopped/, 'OOM: not the message');
is(cursor(), 'count=2|pos=p|seq=12', 'OOM: the cursor is where it was');
is(redis('EXISTS', 'key'), 0, 'OOM: nothing is applied');
unlike(redis('INFO', 'commandstats'), qr/cmdstat_xadd/, 'OOM: nothing was tried');

# Memory ends within a batch: what has begun is finished.
cursor_at('p', 12);
my ($used) = redis('INFO', 'memory') =~ /used_memory:(\d+)/;
my @large = map { (5, 4, 'SETRANGE', "large$_", 4_000_000, 'x') } 1 .. 3;
redis('CONFIG', 'SET', 'maxmemory', $used + 2_000_000);
is(apply('commands', [ 'p', 12, 'q', 15 ], '13 14 15 ', @large), 1, 'memory ends after the first: applied');
like(apply('list', [ 'q', 15, 'q', 16 ], '16 ', 'x'), qr/OOM/, 'the next batch is refused');
redis('CONFIG', 'SET', 'maxmemory', 0);
is(redis('EXISTS', 'large1', 'large2', 'large3'), 3, 'all of the first is there');
is(cursor(), 'count=3|pos=q|seq=15', 'and the cursor says so');

# Lists.
cursor_at('p', 12);
is(apply('list', \@next, '13 14 ', 'one', 'two'), 1, 'list: applied');
is(redis('LRANGE', 'key', 0, -1), 'one|two', 'list: in order');
is(cursor(), 'count=2|pos=q|seq=14', 'list: cursor');
cursor_at('p', 12);
is(apply('list', \@next, join(' ', 1 .. 4000), 1 .. 4000), 1, 'list: many times the messages of a batch');
is(redis('LRANGE', 'key', 0, -1), join('|', 1 .. 4000), 'list: all of them');
cursor_at('p', 12, 'count', 5);
redis('SET', 'key', 'no list');
like(apply('list', \@next, '13 14 ', 'one', 'two'), qr/^stopped\|13\|WRONGTYPE /, 'list: stopped');
is(cursor(), 'count=5|pos=p|seq=12', 'list: cursor where it was');

# Channels.
cursor_at('p', 12);
my $listener = subscriber('channel');
is(apply('publish', \@next, '13 14 ', 'one', 'two'), 1, 'publish: applied');
is(heard($listener), 'one', 'publish: heard');
is(heard($listener), 'two', 'publish: in order');
is(cursor(), 'count=2|pos=q|seq=14', 'publish: cursor');
redis('ACL', 'SETUSER', 'mute', 'on', '>mute', '~*', '+@all', 'resetchannels');
cursor_at('p', 12);
like( script('apply', ['cursor'], [ 'apply', 'p', 12, 0, 'q', 14, 'publish', 'channel', '13 14 ', 2, 'one', 'two' ],
		'--user', 'mute', '--pass', 'mute', '--no-auth-warning'),
	qr/^stopped\|13\|(NOPERM|ERR) (?!script).*channel/, 'publish: stopped');
is(cursor(), 'count=0|pos=p|seq=12', 'publish: cursor where it was');

# What has its number of arguments in front: asynq, commands, function.
cursor_at('p', 12);
is( apply('commands', \@next, '13 14 ', 7, 3, 'SET', 'one', 1, 2, 'INCR', 'one', 3, 2, 'INCR', 'two'),
	1, 'commands: applied');
is(redis('MGET', 'one', 'two'), '2|1', 'commands: all of them');
is(cursor(), 'count=2|pos=q|seq=14', 'commands: cursor');
cursor_at('p', 12);
like( apply('commands', [ 'p', 12, 'q', 15 ], '13 14 15 ',
		4, 3, 'SET', 'one', 'x', 3, 2, 'INCR', 'one', 3, 2, 'INCR', 'two'),
	qr/^stopped\|14\|ERR value is not an integer/, 'commands: stopped');
is(cursor(), 'count=1|pos=q|seq=13', 'commands: cursor behind the first');
is(redis('EXISTS', 'two'), 0, 'commands: nothing of the last');
$user = "if payload == 'bad' then return {err = 'ERR no'} end redis.call('RPUSH', key, payload)";
cursor_at('p', 12);
is( apply('function', [ 'p', 12, 'q', 15 ], '13 14 15 ', 4, 'i', 't', 'k', 'good', 4, 'i', 't', 'k', 'bad',
		4, 'i', 't', 'k', 'late'),
	'stopped|14|ERR function: ERR no', 'function: stopped');
is(cursor(), 'count=1|pos=q|seq=13', 'function: cursor behind the first');
is(redis('LRANGE', 'key', 0, -1), 'good', 'function: the first is there');
$user = '';

# What only moves the cursor, or not even that.
cursor_at('p', 12, 'count', 3, 's5', 'ERR', 's7', '', 's8', '');
is(move([ 'p', 12, 'p', 12 ], '', 5, 8), 1, 'unskip');
is(cursor(), 'count=3|pos=p|s7=|seq=12', 'unskip: they have left the skip list');
is(move([ 'p', 12, 'P', 12 ], 'ours', 7), 1, 'take over');
is(cursor(), 'count=3|line=ours|pos=P|seq=12', 'take over: another position, our runs, and no skip list');
is(move([ 'p', 12, 'P', 12 ], 'theirs'), 'differs|P|12', 'take over: had been done');
is(move([ 'p', 12, 'R', 12 ], 'theirs', 7), 'differs|P|12', 'take over: differs');
is(move([ 'P', 12, 'R', 12, 2 ], 'theirs'), 'differs|P|12', 'take over: another count');
is(move([ 'P', 12, 'Q', 12 ], ''), 1, 'look');
is(cursor(), 'count=3|line=ours|pos=Q|seq=12', 'look: another position, the same runs');
is(apply('stream', [ 'p', 12, 'q', 13 ], '13 ', run_of('p', 1)), 'differs|Q|12', 'fenced');
is(redis('EXISTS', 'key'), 0, 'fenced: nothing is applied');

# What the build makes of the files.
for my $name ('apply', 'skip')
{
	is(sent($name), text($name) =~ s/^ *--.*\n|^\n//gmr, "$name is sent without its comments");
}

done_testing();
