# Copyright (c) 2026, the outbox developers
#
# Promise: no stall (I5), and no gap (I2, I4).  A transaction that stays open
# while others come and go delays none of them, and its own messages arrive
# when it commits, although thousands with higher numbers are there already.

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

my @open = map { session($node, $db) } 0 .. 3;
for my $i (0 .. $#open)
{
	$open[$i]->query_safe('BEGIN');
	$open[$i]->query_safe("SELECT put('q', 'open $i, early')");
	# Keep the open transactions apart from each other.
	put($node, $db, 'q', "between $i");
}

my $load = load($node, $db, writers => 2, queues => [ 'q', 'r' ], max_delay => 0.002);
eventually { $redis->count('q') > 500 && $redis->count('r') > 500 } 'others are delivered';
my @early = grep { $_->[1] =~ /^open/ } $redis->arrived('q');
is(scalar @early, 0, 'nothing of the open transactions');
eventually { status($node, $db, q{coalesce(oldest, '0') < '10s'}) eq 't' } 'nothing that could go is old';

# One commits among the others, one is rolled back, one waits for a restart of
# the relay, one for quiet.
$open[0]->query_safe("SELECT put('q', 'open 0, late')");
$open[0]->query_safe('COMMIT');
eventually {
	2 == grep { $_->[1] =~ /^open 0/ } $redis->arrived('q')
} 'one commits and is delivered among the others';
$open[1]->query_safe('ROLLBACK');
my $relay = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($relay)");
eventually { my $new = relay_pid($node, $db); $new && $new != $relay } 'a new relay';
$open[2]->query_safe('COMMIT');
eventually {
	1 == grep { $_->[1] =~ /^open 2/ } $redis->arrived('q')
} 'one began before the relay did';
$load->stop;
settle($node, $db, $redis, 'q', 'r');
$open[3]->query_safe("SELECT put('r', 'open 3, late')");
$open[3]->query_safe('COMMIT');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';

audit($node, $db, $redis, [ 'q', 'r' ], 1000, 'nothing lost, nothing twice, all in order');
$_->quit for @open;

done_testing();
