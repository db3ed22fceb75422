# Copyright (c) 2026, the outbox developers
#
# Promise: a queue goes to another server and back while messages come, and nothing
# is lost, doubled or out of order, whenever relay and server die.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Servers;
use PostgreSQL::Test::Utils;
use Test::More;

my $servers = OutboxTest::Servers->start(queues => [qw(q r)], conf => "outbox.retention = 1\n");
my $node = $servers->node;
my @redis = $servers->redis;
my @names = $servers->names;
my $db = 'postgres';

# There, further, and back, while messages come.
my $load = load($node, $db, writers => 3, queues => [ 'q', 'r' ], max_delay => 0.01);
for my $to (1, 2, 0)
{
	my $before = $redis[$to]->count('q');
	is($servers->alter('q', $to), '', "to $names[$to]");
	eventually { $redis[$to]->count('q') > $before + 20 } '... where messages come from now on';
	eventually { $servers->ended('q') } '... and after the retention the move has ended';
}
is($redis[$_]->count('r'), 0, "the other queue stays: none on $names[$_]") for 1, 2;

# The relay dies, or the server does, at any moment of it.
for my $round (1 .. 5)
{
	my $to = $round % 3;
	is($servers->alter('q', $to), '', "round $round: to $names[$to]");
	for (1 .. 1 + $round % 3)
	{
		my $pid = wait_relay($node, $db);
		if ($round == 4)
		{
			$node->stop('immediate');
			$node->start;
		}
		else { $node->safe_psql($db, "SELECT pg_terminate_backend($pid)"); }
		wait_for { my $new = relay_pid($node, $db); $new && $new ne $pid };
	}
	$redis[ $round % 3 ]->drop_clients if $round % 2;
	eventually { $servers->ended('q') } '... it ends';
}
$load->stop;
$servers->check(300, 'nothing is lost, doubled or out of order');

done_testing();
