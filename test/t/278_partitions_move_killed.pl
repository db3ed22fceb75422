# Copyright (c) 2026, the outbox developers
#
# Promise: a queue with partitions goes to another server and back while messages come and
# relay, PostgreSQL and Redis are killed: each partition's messages come once, in order (I2,
# I3, I4), and the move ends when all of them are there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use OutboxTest::Servers;
use Test::More;

my $servers = OutboxTest::Servers->start(names => ['jobs'], conf => "outbox.retention = 2\n");
my $node = $servers->node;
my @redis = $servers->redis;
my $db = 'postgres';
my %partitions = (q => 6);
run_sql($node, $db, '281_put_keys.sql');
$node->safe_psql($db, q{SELECT outbox_create_queue('q', settings => '{"partitions": 6, "payload_type": "text"}')});

sub at { my ($redis) = @_; my $n = 0; $n += $redis->count("{q:$_}") for 0 .. 5; return $n; }

my $load = load($node, $db, writers => 3, queues => ['q'], max_delay => 0.01);
eventually { at($redis[0]) > 50 } 'messages flow';
for my $round (1 .. 6)
{
	my $to = $round % 2;
	eventually { $servers->alter('q', $to) eq '' } "round $round: to server $to";
	for (1 .. 1 + $round % 3)
	{
		my $pid = wait_relay($node, $db);
		if ($round % 3 == 1) { kill 'KILL', $pid; }
		elsif ($round % 3 == 2) { kill_hard($node); $node->start; }
		else { $node->safe_psql($db, "SELECT pg_terminate_backend($pid)"); }
		wait_for { my $now = relay_pid($node, $db); $now && $now ne $pid };
	}
	$redis[ 1 - $to ]->drop_clients if $round % 2;
	eventually { $servers->ended('q') } "round $round: the move ends";
	my $n = at($redis[$to]);
	eventually { at($redis[$to]) > $n + 50 } "round $round: messages come there";
}
$load->stop;
audit_partitions($node, $db, $servers, \%partitions, 300, 'nothing lost, nothing twice, each partition in order');

done_testing();
