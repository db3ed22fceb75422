# Copyright (c) 2026, the outbox developers
#
# Promise: a Redis that is full is an outage like another (I9): nothing is
# refused, lost or sent twice, the state says so and stays, and neither the log
# nor the relay's memory grows with every try.

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
my @queues = map { "q$_" } 1 .. 50;
install($node, $db, @queues);
put($node, $db, $_, 'before') for @queues;
settle($node, $db, $redis, @queues);
my $n = $redis->count('q1');

$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
my $log = length log_of($node);
put($node, $db, 'q1', "full $_") for 1 .. 5;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'the state is "waiting for redis"';
like(status($node, $db, 'why'), qr/OOM/, 'and says why');
my $since = status($node, $db, 'since');

# Look at it for as long as some tries take.
my $refused = sub { my ($n) = $redis->cmd('INFO', 'errorstats') =~ /errorstat_OOM:count=(\d+)/; return $n // 0; };
my $first = $refused->();
my $memory = anonymous_memory(relay_pid($node, $db));
eventually { $refused->() >= $first + 6 } 'it is tried again';
is(status($node, $db, 'since'), $since, 'the state has not changed meanwhile');
my $said = substr(log_of($node), $log);
my $lines = () = $said =~ /waiting for Redis: OOM/g;
is($lines, 1, 'it is logged once');
unlike($said, qr/delivering to Redis again/, 'and nothing else is claimed');
cmp_ok(anonymous_memory(relay_pid($node, $db)), '<', $memory + 4, 'the relay does not grow');
eventually { status($node, $db, 'waiting') eq '5' } 'what waits is counted';

$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
eventually { $redis->count('q1') == $n + 5 } 'with room again, all arrives';
eventually { status($node, $db, 'state') eq 'running' } 'the state is "running"';
audit($node, $db, $redis, \@queues, 55, 'nothing lost, nothing twice, all in order');

done_testing();
