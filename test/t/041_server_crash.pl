# Copyright (c) 2026, the outbox developers
#
# Promise: a crash of PostgreSQL makes neither a loss nor a duplicate (I2, I3)
# nor a phantom (I1).  Immediate shutdowns and whole-server kills under load:
# recovery gives the transactions and the cursor's snapshots a new meeting.

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

# What is open at the crash never existed.
my $open = session($node, $db);
$open->query_safe('BEGIN');
$open->query_safe("SELECT outbox_enqueue('q', 'open at the crash')");

my $load = load($node, $db, writers => 4, queues => [ 'q', 'r' ], max_delay => 0.005);
for my $round (1 .. 6)
{
	my $enough = $redis->count('q') + 1 + int rand 200;
	eventually { $redis->count('q') > $enough } "round $round: messages flow";
	if ($round % 2) { $node->stop('immediate'); }
	else { kill_hard($node); }
	$node->start;
}
$load->stop;
$open->quit;
audit($node, $db, $redis, [ 'q', 'r' ], 700, 'nothing lost, nothing twice, nothing invented, all in order');

done_testing();
