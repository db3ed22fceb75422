# Copyright (c) 2026, the outbox developers
#
# Promise: a transaction that was prepared before a failover, and that ended only in
# the history which the failover has lost, is delivered when it commits on the new
# primary (I2).  Redis knows it as ended.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1,
	conf => "max_worker_processes = 16\nmax_prepared_transactions = 5\n");
my $db = 'postgres';
install($primary, $db, 'q');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
put($primary, $db, 'q', map { "both $_" } 1 .. 5);
$primary->safe_psql($db, "BEGIN; SELECT put('q', 'prepared'); PREPARE TRANSACTION 'p'");
settle($primary, $db, $redis, 'q');
$primary->wait_for_catchup($standby);

# From here on the standby gets nothing.
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
eventually { ask($standby, $db, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' } 'replication has ended';
$primary->safe_psql($db, "ROLLBACK PREPARED 'p'");
put($primary, $db, 'q', map { "lost $_" } 1 .. 5);
settle($primary, $db, $redis, 'q');
$primary->stop('immediate');

# It ends here while Redis is away: then all that is known is the cursor.
$standby->promote;
eventually {
	!grep { $redis->cmd('HGET', $_, 'line') !~ /,2,[^ ]*$/ } @{ $redis->cmd('KEYS', '*:outbox:*') }
} 'the cursor is taken over';
$redis->stop_saved;
$standby->safe_psql($db, "COMMIT PREPARED 'p'");
put($standby, $db, 'q', map { "new $_" } 1 .. 5);
$redis->start_again;
eventually { grep { $_->[1] eq 'prepared' } $redis->arrived('q') } 'what has committed here comes';
put($standby, $db, 'q', 'last');
settle($standby, $db, $redis, 'q');
my @new = grep { /^new/ } map { $_->[1] } $redis->arrived('q');
is_deeply(\@new, [ map { "new $_" } 1 .. 5 ], 'the others once and in order');

done_testing();
