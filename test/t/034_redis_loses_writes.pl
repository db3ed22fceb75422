# Copyright (c) 2026, the outbox developers
#
# Promise: if Redis loses acknowledged writes, what was lost comes again, and
# only that (I2, I3), in order (I4).  Redis is killed and comes back with an
# older RDB file: the cursor went back with the data.  In one stage instead of
# two, recovery would forget what the position covered; this is its test too,
# for the load leaves transactions open across the loss.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'q', 'r');

# Quietly, so that the loss can be counted.
put($node, $db, 'q', map { "before $_" } 1 .. 30);
my $open = session($node, $db);
$open->query_safe('BEGIN');
$open->query_safe("SELECT put('q', 'open at the loss')");
settle($node, $db, $redis, 'q', 'r');
$redis->remember;
put($node, $db, 'q', map { "after $_" } 1 .. 20);
put($node, $db, 'r', 'after, in the other queue');
settle($node, $db, $redis, 'q', 'r');
$redis->come_back_as_remembered;
eventually { $redis->count('q') == 52 && $redis->count('r') == 3 } 'what was lost is there again';
$open->query_safe('COMMIT');
eventually { $redis->count('q') == 53 } 'and so is what committed later';
is($redis->calls('xadd'), 24, 'nothing else was sent');
like(log_of($node), qr/WARNING:.* 21 .*"q"\n.*DETAIL:.*\b21 .*\b0 /, 'a warning says how many, and how many of those are retained');
like(log_of($node), qr/WARNING:.* 2 .*"r"\n/, 'and so for the other queue');
audit($node, $db, $redis, [ 'q', 'r' ], 50, 'a small loss');

# Nothing lost: nothing comes again, and there is no warning.
my $log = length log_of($node);
$redis->remember;
$redis->come_back_as_remembered;
put($node, $db, 'q', 'after a restart without a loss');
settle($node, $db, $redis, 'q', 'r');
is($redis->calls('xadd'), 3, 'a restart without a loss sends nothing again');
unlike(substr(log_of($node), $log), qr/WARNING/, 'and gives no warning');

# Under load.
my $load = load($node, $db, writers => 4, queues => [ 'q', 'r' ], max_delay => 0.02);
for my $round (1 .. 5)
{
	my $enough = $redis->count('q') + 50 + int rand 100;
	eventually { $redis->count('q') > $enough } "round $round: messages flow";
	$redis->remember;
	my $had = $redis->count('q');
	$enough = $had + 50 + int rand 100;
	eventually { $redis->count('q') > $enough } "round $round: messages that will be lost";
	$redis->come_back_as_remembered;
}
$load->stop;
$open->quit;
audit($node, $db, $redis, [ 'q', 'r' ], 1000, 'losses under load: nothing lost, nothing twice, all in order');

done_testing();
