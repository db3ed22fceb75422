# Copyright (c) 2026, the outbox developers
#
# Promise: after a failover to a standby that had not received everything, no
# message of the new primary is taken for one of those that were lost with the
# old one, although transaction ids and numbers are given out again (I2, I3).
# Guards the clipping of the cursor's snapshots.  What Redis already had of the
# lost commits stays there; nobody can take it back.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
my $db = 'postgres';
install($primary, $db, 'q', 'r');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
put($primary, $db, 'q', map { "both $_" } 1 .. 20);

# A transaction that is open at the failover ends with it.
my $open = session($primary, $db);
$open->query_safe('BEGIN');
$open->query_safe("SELECT put('q', 'open at the failover')");
put($primary, $db, 'r', map { "both $_" } 1 .. 5);
settle($primary, $db, $redis, 'q', 'r');
$primary->wait_for_catchup($standby);

# From here on the standby gets nothing.
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
eventually { ask($standby, $db, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' } 'replication has ended';
put($primary, $db, 'q', map { "lost $_" } 1 .. 40);
put($primary, $db, 'r', map { "lost $_" } 1 .. 10);
settle($primary, $db, $redis, 'q', 'r');
my %lost = map { ($_ => 1) } split /\n/, $primary->safe_psql($db, 'SELECT id FROM journal');
delete @lost{ split /\n/, $standby->safe_psql($db, 'SELECT id FROM journal') };
is(scalar keys %lost, 52, 'commits that the standby has not got');
$primary->stop('immediate');
$open->quit;

# Fewer, then more transactions than were lost.  The first ones are there
# before the relay sees the cursor: it would take them for covered.
$redis->stop_saved;
$standby->promote;
put($standby, $db, 'q', map { "new $_" } 1 .. 10);
$redis->start_again;
wait_relay($standby, $db);
put($standby, $db, 'r', 'new, in the other queue');
settle($standby, $db, $redis, 'q', 'r');
put($standby, $db, 'q', map { "newer $_" } 1 .. 60);
settle($standby, $db, $redis, 'q', 'r');

my %got;
for my $queue ('q', 'r')
{
	my @arrived = $redis->arrived($queue);
	is(scalar(grep { $lost{ $_->[0] } } @arrived), $queue eq 'q' ? 41 : 11, "$queue: what was lost was in Redis, once");
	$got{$queue} = [ grep { !$lost{ $_->[0] } } @arrived ];
}
my @faults = OutboxTest::Checker::faults(journal($standby, $db), \%got);
is_deeply(\@faults, [], 'of the new primary nothing lost, nothing twice, all in order');

done_testing();
