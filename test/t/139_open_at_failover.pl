# Copyright (c) 2026, the outbox developers
#
# Promise: after a failover to a standby that had not received everything, a
# transaction that is open on the new primary when the relay looks which ids are
# given out again, and commits before the relay goes on from a queue's cursor, is
# delivered (I2), also if one with a greater id committed before.  The cursor knows
# its id as one of the lost primary's.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
my $db = 'postgres';
install($primary, $db, 'q', 'r');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
put($primary, $db, $_, 'both') for 'q', 'r';
settle($primary, $db, $redis, 'q', 'r');
$primary->wait_for_catchup($standby);

# From here on the standby gets nothing.
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
eventually { ask($standby, $db, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' } 'replication has ended';
for my $n (1 .. 20)
{
	put($primary, $db, $_, "lost $n") for 'q', 'r';
}
settle($primary, $db, $redis, 'q', 'r');
$primary->stop('immediate');

# One queue's cursor can't be read for a while.
my ($cursor) = @{ $redis->cmd('KEYS', '*r}:outbox:*') };
$redis->cmd('RENAME', $cursor, 'aside');
$redis->cmd('SET', $cursor, 'no cursor');
$redis->stop_saved;

$standby->promote;
my $open = session($standby, $db);
$open->query_safe('BEGIN');
$open->query_safe("SELECT put('$_', 'open then')") for 'q', 'r';
put($standby, $db, 'q', 'new');
$redis->start_again;
eventually { ask($standby, $db, "SELECT state FROM outbox.queue_status WHERE queue = 'r'") eq 'blocked' } 'one stands still';
eventually { grep { $_->[1] eq 'new' } $redis->arrived('q') } 'the other goes on';
$open->query_safe('COMMIT');
$open->quit;
$redis->cmd('RENAME', 'aside', $cursor);

for my $queue ('q', 'r')
{
	settle($standby, $db, $redis, $queue);
	my @new = grep { !/^(lost|last) / } map { $_->[1] } $redis->arrived($queue);
	is_deeply(\@new, [ 'both', ($queue eq 'q' ? 'new' : ()), 'open then' ], "$queue has what was committed here");
}

done_testing();
