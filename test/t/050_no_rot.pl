# Copyright (c) 2026, the outbox developers
#
# Promise: no rot (I6).  While a session holds an old snapshot and 100,000
# messages pass, no table of ours collects dead rows in proportion to them, the
# bookkeeping row included, and the staging tables are emptied: TRUNCATE needs
# no vacuum and no horizon.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $messages = $ENV{OUTBOX_TEST_MESSAGES} // 100_000;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
outbox.retention = 1s
synchronous_commit = off
max_wal_size = 4GB
EOC
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, "SELECT create_queue('q', maxlen => 1000)");

my $old = session($node, $db);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$old->query_safe('SELECT count(*) FROM journal');
my $horizon = $node->safe_psql($db, 'SELECT pg_snapshot_xmin(pg_current_snapshot())');

$node->safe_psql($db, "CALL flood('q', $messages, 100, 100)");
eventually { status($node, $db, 'delivered') >= $messages } "$messages messages are delivered";
is($node->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE backend_xmin::text::bigint <= } . $horizon),
	1, 'the old snapshot was held all the time');

# Rows that roll back are dead from the start; there are none here.  So what
# is dead has been updated or deleted.
my $dead = q{SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_all_tables WHERE schemaname = 'outbox'};
eventually {
	$node->safe_psql($db, q{SELECT sum(n_tup_ins) > 0 FROM pg_stat_all_tables WHERE schemaname = 'outbox'}) eq 't'
} 'statistics have arrived';
my $n = $node->safe_psql($db, $dead);
cmp_ok($n, '<', 500, "dead rows do not grow with the messages ($n)");
note($node->safe_psql($db, q{SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup FROM pg_stat_all_tables WHERE schemaname = 'outbox'}));

my $size = q{SELECT sum(pg_total_relation_size(oid)) FROM pg_class
	WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'S') AND relname };
cmp_ok($node->safe_psql($db, $size . q{NOT LIKE 'staging%'}), '<', 1024 * 1024, 'the other tables stay small');

# A trickle goes on, as it would: rotation is no business of an idle database.
eventually {
	put($node, $db, 'q', 'passing by');
	$node->safe_psql($db, $size . q{LIKE 'staging%'}) < 8 * 1024 * 1024
} 'the staging tables are emptied, old snapshot or not';
is($old->query_safe('SELECT count(*) FROM journal'), 0, 'the old snapshot is still held');
$old->quit;

done_testing();
