# Copyright (c) 2026, the outbox developers
#
# Promise: a relay that finds a newer timeline in a cursor is fenced: it stops,
# says so, sends nothing, and stays so until it is told otherwise (I3).  The
# position that a relay is working from is compared too, with every batch.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q', 'r');
put($node, $db, 'q', map { "before $_" } 1 .. 5);
settle($node, $db, $redis, 'q', 'r');

my ($cursor) = @{ $redis->cmd('KEYS', '{q}:outbox:*') };
ok($cursor, 'there is a cursor');
my %was = @{ $redis->cmd('HGETALL', $cursor) };
like($was{pos}, qr{^[0-9A-F]+/[0-9A-F]+ \d+:\d+:[\d,]* \d+:\d+:[\d,]* [0-9a-f]{16}\.\d+$},
	'a position: place in WAL, two snapshots, token of a connection');
like($was{seq}, qr/^\d+$/, 'and a number');
like($was{line}, qr{^([0-9a-f]{16},\d+,1,[0-9A-F]+/[0-9A-F]+ ?)+$}, 'and the runs of its mover');
my ($system) = $was{line} =~ /,(\d+),/;
my $takeover = "$was{line} feedfeedfeedfeed,$system,2,0/1";

# Found while connected: the batch is refused, recovery sees why.
my $count = $redis->count('q');
$redis->cmd('HSET', $cursor, 'pos', $was{pos} =~ s/\S+$/feedfeedfeedfeed.1/r, 'line', $takeover);
put($node, $db, 'q', 'not to be sent');
eventually { status($node, $db, 'state') eq 'fenced' } 'a run on a newer timeline fences the relay at its next batch';
like(status($node, $db, 'why'), qr/timeline|primary/i, 'status says why');
is($redis->count('q'), $count, 'the batch was not applied');

# Found at the start.
$node->restart;
eventually { status($node, $db, 'state') eq 'fenced' } 'so it does at the start';
like(status($node, $db, 'summary'), qr/stop this server, that one delivers/, 'the summary says which server to stop');
unlike(status($node, $db, 'summary'), qr/outbox_release/, 'and not what would have both deliver');
put($node, $db, 'r', 'not to be sent, although r has its own cursor');
$redis->drop_clients;
$node->safe_psql($db, 'SELECT pg_terminate_backend(' . (relay_pid($node, $db) || 0) . ')');
eventually { status($node, $db, q{state = 'fenced' AND waiting >= 0}) eq 't' } 'and again';
is($redis->count('q'), $count, 'nothing was sent to the queue');
is($redis->count('r'), 1, 'nor to another one');

# The cursor as it was: our own timeline is not older than it.
$redis->cmd('HSET', $cursor, %was);
$node->restart;
eventually { status($node, $db, 'state') eq 'running' } 'with the cursor set right, it runs';
audit($node, $db, $redis, [ 'q', 'r' ], 8, 'nothing lost, nothing twice, all in order');

# Another position of the same timeline: someone else is at work.  The relay
# drops what it has and recovers from the position that is there.
%was = @{ $redis->cmd('HGETALL', $cursor) };
put($node, $db, 'q', map { "again $_" } 1 .. 5);
settle($node, $db, $redis, 'q');
my $xadds = $redis->calls('xadd');
$redis->cmd('HSET', $cursor, %was);
put($node, $db, 'q', 'after the setback');
settle($node, $db, $redis, 'q');
is($redis->calls('xadd') - $xadds, 6 + 2, 'a cursor that went back is believed: what it does not cover is sent');
my @bodies = map { $_->[1] } $redis->arrived('q');
is_deeply([ (grep { /^again/ } @bodies) ], [ (map { "again $_" } 1 .. 5) x 2 ], 'in order, before what came later');

# A cursor that nobody can read is not taken for an empty one.
$redis->cmd('HSET', $cursor, 'pos', 'nonsense');
$count = $redis->count('q');
put($node, $db, 'q', 'not to be sent over a cursor that makes no sense');
put($node, $db, 'r', 'another queue');
eventually { status($node, $db, q{coalesce(last_error, '') || coalesce(why, '')}) =~ /cursor|position/i } 'status tells of a cursor that makes no sense';
is($redis->count('q'), $count, 'nothing is sent on its account');

done_testing();
