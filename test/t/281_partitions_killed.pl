# Copyright (c) 2026, the outbox developers
#
# Promise: once and in order (I2, I3, I4) in each partition of several queues, while Redis,
# the relay and PostgreSQL are killed.  Then partitions stand still while others flow, and
# what they miss comes when they go on: after their rows have left staging, and after Redis
# has lost its last writes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use PostgreSQL::Test::Utils;
use Test::More;

my %partitions = (orders => 8, small => 2, plain => 3);
my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'always');
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db);
run_sql($node, $db, '281_put_keys.sql');
$node->safe_psql($db, join '',
	map { qq{SELECT outbox_create_queue('$_', settings => '{"partitions": $partitions{$_}, "payload_type": "text"}');} } sort keys %partitions);

sub arrived { my $n = 0; $n += $redis->count("{orders:$_}") for 0 .. 7; return $n; }

my $load = load($node, $db, writers => 4, queues => [ sort keys %partitions ], max_delay => 0.005);
for my $round (1 .. 6)
{
	my $enough = arrived() + 50 + int rand 100;
	eventually { arrived() > $enough } "round $round: messages flow";
	if ($round % 3 == 1)
	{
		$redis->kill9;
		my $n = $node->safe_psql($db, 'SELECT last_value FROM journal_n_seq');
		eventually { ask($node, $db, 'SELECT last_value FROM journal_n_seq') > $n + 50 } "round $round: writers go on";
		$redis->start_again;
	}
	elsif ($round % 3 == 2)
	{
		my $pid = relay_pid($node, $db);
		kill 'KILL', $pid if $pid;
	}
	else
	{
		kill_hard($node);
		$node->start;
	}
}
$load->stop;
audit_partitions($node, $db, $redis, \%partitions, 700, 'nothing lost, nothing twice, each partition in order');

# Two partitions stand still until their rows have left staging.
configure($node, 'outbox.retention' => '1s');
$redis->cmd('RENAME', "{orders:$_}", "kept $_") for 2, 5;
$redis->cmd('SET', "{orders:$_}", 'no stream') for 2, 5;
$load = load($node, $db, writers => 2, queues => ['orders'], max_delay => 0.002);
eventually { ask($node, $db, q{SELECT count(DISTINCT queue) FROM outbox.deferred WHERE reason = 'evacuated'}) == 2 }
  'what two partitions miss has left staging';
$load->stop;
is(ask($node, $db, q{SELECT string_agg(partition::text, ' ' ORDER BY partition) FROM outbox.partition_status WHERE state = 'blocked'}),
	'2 5', 'they alone stand still');
eventually { ask($node, $db, q{SELECT coalesce(sum(waiting), 0) FROM outbox.partition_status WHERE partition NOT IN (2, 5)}) == 0 } 'nothing waits in the others';
for (2, 5)
{
	$redis->cmd('DEL', "{orders:$_}");
	$redis->cmd('RENAME', "kept $_", "{orders:$_}");
}
audit_partitions($node, $db, $redis, \%partitions, 1000, 'all comes, in order, when they go on');

# Redis loses what it got last, of some partitions.
configure($node, 'outbox.retention' => '1h');
$redis->remember;
$node->safe_psql($db, q{SELECT put_key('orders', 'key' || n, 'key' || n || ' lost') FROM generate_series(1, 30) AS n});
eventually { ask($node, $db, q{SELECT sum(waiting) FROM outbox.partition_status}) eq '0' } 'they are delivered';
$redis->come_back_as_remembered;
audit_partitions($node, $db, $redis, \%partitions, 1000, 'what Redis lost comes again, each to its partition');

done_testing();
