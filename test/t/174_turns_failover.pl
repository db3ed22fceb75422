# Copyright (c) 2026, the outbox developers
#
# Promise: no turn of the relay's loop takes more than 50 ms of its CPU time (I8).
# Here: a promotion with many queues and many new rows.  Which transaction ids are
# given out again is looked for once, in pieces, and not once for each queue.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $db = 'postgres';
my @longest;

for my $n (50, 200)
{
	my $rows = 500 * $n;
	my $redis = OutboxTest::Redis->start;
	my $primary = new_node("primary$n", redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
	install($primary, $db, 'q');
	$primary->safe_psql($db, "SELECT count(create_queue('queue ' || i)) FROM generate_series(1, $n) AS i");
	$primary->safe_psql($db, "SELECT count(outbox_enqueue('queue ' || i, 'x')) FROM generate_series(1, $n) AS i");
	eventually { scalar @{ $redis->cmd('KEYS', 'queue *') } == $n } "$n queues flow";
	put($primary, $db, 'q', 'of before');
	eventually { $redis->count('q') == 1 } 'and another one';

	$primary->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new("standby$n");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	$redis->stop_saved;
	$primary->stop('immediate');
	$standby->promote;
	$standby->safe_psql($db, "SELECT count(outbox_enqueue('queue 1', i::text)) FROM generate_series(1, $rows) AS i");
	$redis->start_again;
	wait_relay($standby, $db);
	put($standby, $db, 'q', 'of after');
	eventually { $redis->count('q') == 2 } 'the new primary delivers';
	eventually { $redis->count('queue 1') == $rows + 1 } 'all of it';
	my ($ms, $what) = longest_turn($standby, $db);
	cmp_ok($ms, '<', 50, "$n queues, $rows rows: the longest turn took $ms ms of CPU: $what");
	push @longest, $ms;
	$standby->stop;
}
cmp_ok($longest[1], '<', 3 * ($longest[0] > 16 ? $longest[0] : 16), 'four times of both: as long');

done_testing();
