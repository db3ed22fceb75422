# Copyright (c) 2026, the outbox developers
#
# skip.lua: messages that fail are skipped, with those that wait behind them;
# tried again, they are applied once, and leave the skip list (I2, I3, I4, I8).

use strict;
use warnings;
use Script;
use Test::More;

my @next = ('p', 12, 'q', 20);
my @here = ('q', 20, 'q', 20);
my $refused = 'ERR value is not an integer or out of range';

# A message of target commands: seq, which one it waits behind, what it does.
sub good { my ($seq, $before) = @_; return ($seq, $before, 4, 3, 'RPUSH', 'key', $seq); }
sub bad { my ($seq, $before) = @_; return ($seq, $before, 3, 2, 'INCR', 'text'); }
sub start { cursor_at(@_); redis('SET', 'text', 'x'); return; }
sub arrived { return redis('LRANGE', 'key', 0, -1); }

# Past what fails.
start('p', 12, 'count', 5);
is(skip_batch('skip', 'commands', \@next, '', good(13, 0), good(14, 1)), 'done', 'nothing fails');
is(arrived(), '13|14', 'all are there');
is(cursor(), 'count=7|pos=q|seq=20', 'cursor');

start('p', 12, 'count', 5);
is( skip_batch('skip', 'commands', \@next, '', good(13, 0), bad(14, 0), good(15, 1), good(16, 2), good(17, 4), good(18, 0)),
	"done|14|$refused|16||17|", 'the second fails, two wait behind it');
is(arrived(), '13|15|18', 'the others are there');
is(cursor(), "count=8|pos=q|s14=$refused|s16=|s17=|seq=20", 'the skip list');

start('p', 12);
is(skip_batch('skip', 'commands', \@next, '13 15 ', good(14, 0), bad(16, 0)), "done|16|$refused", 'two that are not tried');
is(arrived(), '14', 'and are not there');
is(cursor(), "count=1|pos=q|s13=|s15=|s16=$refused|seq=20", 'but in the skip list');
is(skip_batch('skip', 'commands', [ 'q', 20, 'r', 22 ], '21 22 '), 'done', 'none that is tried');
is(cursor(), "count=1|pos=r|s13=|s15=|s16=$refused|s21=|s22=|seq=22", 'the skip list grows');

# Only from where it ought to begin.
start('p', 12, 's3', '');
for ([ 'o', 12, 0 ], [ 'p', 11, 0 ], [ '', '', 0 ], [ 'p', 12, 1 ])
{
	my ($pos, $seq, $count) = @$_;
	is(skip_batch('skip', 'commands', [ $pos, $seq, 'q', 20, $count ], '13 ', good(14, 0)),
		'differs|p|12', "from \"@$_\": differs");
	is(skip_batch('retry', 'commands', [ $pos, $seq, $pos, $seq, $count ], '', good(3, 0)),
		'differs|p|12', "again from \"@$_\": differs");
}
is(arrived(), '', 'those did nothing');
is(cursor(), 'pos=p|s3=|seq=12', 'nor did their cursors');
redis('FLUSHALL');
is(skip_batch('skip', 'commands', \@next, '', good(13, 0)), 'differs||', 'no cursor: differs');
is(redis('DBSIZE'), 0, 'and nothing is there');
is(skip_batch('skip', 'commands', [ '', '', 'p', 12 ], '', good(12, 0)), 'done', 'the first of a queue');
is(cursor(), 'count=1|pos=p|seq=12', 'its cursor');

# Again.
my @skipped = ('count', 8, 's14', $refused, 's16', '', 's17', '', 's19', 'ERR');
start('q', 20, @skipped);
is(skip_batch('retry', 'commands', \@here, '', good(14, 0), good(16, 1)), 'done', 'retry');
is(arrived(), '14|16', 'they are there');
is(cursor(), 'count=10|pos=q|s17=|s19=ERR|seq=20', 'and have left the skip list');
is(skip_batch('retry', 'commands', \@here, '', good(14, 0), good(16, 1)), 'differs|q|20', 'the same once more: differs');
is(skip_batch('retry', 'commands', \@here, '', good(17, 0), good(14, 0)), 'differs|q|20', 'one of them was applied: differs');
is(arrived(), '14|16', 'nothing came twice');
is(cursor(), 'count=10|pos=q|s17=|s19=ERR|seq=20', 'the cursor is what it was');
is(skip_batch('retry', 'commands', \@here, '', good(25, 0)), 'differs|q|20', 'one that never was skipped: differs');

start('q', 20, @skipped);
is(skip_batch('retry', 'commands', \@here, '', bad(14, 0), good(16, 1), good(19, 0)), "done|14|$refused|16|", 'again in vain');
is(arrived(), '19', 'the other one is there');
is(cursor(), "count=9|pos=q|s14=$refused|s16=|s17=|seq=20", 'they stay in the skip list');

# The count is exact.
start('p', 12, 'count', '9007199254740000');
skip_batch('skip', 'commands', \@next, '', good(13, 0), good(14, 0));
is(cursor(), 'count=9007199254740002|pos=q|seq=20', 'a large count');

# Whatever a function does, the script goes on to its end.
$user = "if payload == 'bad' then error({}) end redis.call('RPUSH', key, payload)";
start('p', 12);
is( skip_batch('skip', 'function', \@next, '', 13, 0, 4, 'i', 't', 'k', 'bad', 14, 0, 4, 'i', 't', 'k', 'good'),
	'done|13|ERR script: nil', 'a function that raises');
is(arrived(), 'good', 'the next one is there');
is(cursor(), 'count=1|pos=q|s13=ERR script: nil|seq=20', 'and the cursor says so');
$user = '';

# Redis has no memory: not even the cursor moves.
for ([ 'skip', \@next ], [ 'retry', [ 'p', 12, 'p', 12 ] ])
{
	my ($mode, $move) = @$_;
	start('p', 12, 'count', 5, 's3', 'ERR');
	redis('CONFIG', 'SET', 'maxmemory', 1);
	my $reply = skip_batch($mode, 'commands', $move, $mode eq 'skip' ? '13 ' : '', good(3, 0));
	redis('CONFIG', 'SET', 'maxmemory', 0);
	like($reply, qr/OOM command not allowed/, "$mode, OOM: the script is refused");
	unlike($reply, qr/done/, "$mode, OOM: not the message");
	is(arrived(), '', "$mode, OOM: nothing is applied");
	is(cursor(), 'count=5|pos=p|s3=ERR|seq=12', "$mode, OOM: the cursor is where it was");
}

done_testing();
