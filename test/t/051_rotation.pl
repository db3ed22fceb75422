# Copyright (c) 2026, the outbox developers
#
# Promise: staging is emptied by TRUNCATE, never below anybody's feet (I2, I6,
# I7).  What is younger than the retention stays; a table that somebody holds,
# as pg_dump does, is left alone without making anyone wait, and emptied later.

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
install($node, $db, 'q', 'still');
my $staged = '(SELECT id, enqueued_at FROM outbox.staging_1 UNION ALL SELECT id, enqueued_at FROM outbox.staging_2)';

# Retention: at each look all younger messages must be there, while older ones
# go.  It is longer than the second that the relay's chores are apart.  How old
# a message is, is asked when staging has been read.
configure($node, 'outbox.retention' => '3s');
my $load = load($node, $db, writers => 2, queues => ['q'], max_delay => 0.005);
my ($missing, $emptied) = (0, 0);
eventually {
	$emptied = $node->safe_psql($db, "SELECT count(*) > 500 FROM journal j WHERE NOT EXISTS (SELECT FROM $staged s WHERE s.id = j.id)");
	$missing += $node->safe_psql($db, "WITH seen AS MATERIALIZED (SELECT array_agg(id) AS ids, clock_timestamp() AS at FROM $staged s)"
		  . " SELECT count(*) FROM journal j, seen WHERE j.at > seen.at - interval '3 s' AND j.id <> ALL (coalesce(seen.ids, '{}'))");
	$emptied eq 't';
} 'messages older than the retention go';
is($missing, 0, 'younger ones stay');
configure($node, 'outbox.retention' => '1s');

# Somebody holds both tables, in the mode of pg_dump.
my $dump = session($node, $db);
$dump->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$dump->query_safe('LOCK TABLE outbox.staging_1, outbox.staging_2 IN ACCESS SHARE MODE');
my $seen = $dump->query_safe("SELECT count(*) FROM $staged s");
my $oldest = $node->safe_psql($db, "SELECT min(enqueued_at) FROM $staged s");

# The relay would have emptied a table if it could: it has got no new rows for
# several times the retention and the second between the relay's chores.
sub is_due
{
	my ($table) = @_;
	return $node->safe_psql($db, "SELECT max(enqueued_at) < now() - interval '3 s' FROM $table") eq 't';
}
my $waited = 0;
eventually {
	$waited += $node->safe_psql($db, q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE 'outbox.%'});
	is_due('outbox.staging_1') || is_due('outbox.staging_2');
} 'held: a table is due';
is($waited, 0, 'held: nobody waits for a lock');
is($dump->query_safe("SELECT count(*) FROM $staged s"), $seen, 'held: the holder sees what it saw');
is($node->safe_psql($db, "SELECT min(enqueued_at) FROM $staged s"), $oldest, 'held: nothing was emptied');
my $arrived = $redis->count('q');
eventually { $redis->count('q') > $arrived + 100 } 'held: delivery goes on';
$dump->query_safe('COMMIT');
$dump->quit;
eventually { $node->safe_psql($db, "SELECT min(enqueued_at) > '$oldest' FROM $staged s") eq 't' } 'let go, it is emptied';

# A writer that is slow holds its table too; its messages must survive.
my $slow = session($node, $db);
my $slow_pid = $slow->query_safe('SELECT pg_backend_pid()');
$slow->query_safe('BEGIN');
$slow->query_safe("SELECT put('q', 'slow')");
my $table = $node->safe_psql($db, q{SELECT relation::regclass FROM pg_locks
	WHERE mode = 'RowExclusiveLock' AND relation IN ('outbox.staging_1'::regclass, 'outbox.staging_2'::regclass)
		AND pid = } . $slow_pid);
eventually { is_due($table) } 'a slow writer: its table is due';
my $began = $node->safe_psql($db, 'SELECT now()');
$slow->query_safe('COMMIT');
$slow->quit;
eventually { $node->safe_psql($db, "SELECT min(enqueued_at) > '$began'::timestamptz - interval '3 s' FROM $staged s") eq 't' } 'when it has committed, the table is emptied';

# A queue that stands still: what Redis has not got is moved aside, so that the
# table with the other queue's messages can be emptied all the same.
$redis->cmd('SET', 'still', 'of another type');
put($node, $db, 'still', map { "refused $_" } 1 .. 10);
my $refused = "JOIN journal j USING (id) WHERE body LIKE 'refused%'";
eventually {
	$node->safe_psql($db, "SELECT count(*) FROM outbox.deferred d $refused AND d.reason = 'evacuated'") == 10
	  && $node->safe_psql($db, "SELECT count(*) FROM $staged s $refused") == 0
} 'a queue stands still: its messages are evacuated, and their table is emptied';
$redis->cmd('DEL', 'still');

# The real pg_dump, several times, with a consistent result each time.
for my $round (1 .. 3)
{
	command_ok([ 'pg_dump', '-Fc', '-f', $node->basedir . "/dump.$round", $node->connstr($db) ], "pg_dump while tables rotate, round $round");
}
$load->stop;
audit($node, $db, $redis, [ 'q', 'still' ], 3000, 'nothing lost, nothing twice, all in order');

eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.deferred') eq '0' } 'the copies of what was evacuated go when the retention has passed';

# Rolled-back rows are rubbish in the staging tables, but only until then.
$node->safe_psql($db, 'BEGIN; SELECT outbox_enqueue(\'q\', repeat(\'x\', 1000)) FROM generate_series(1, 20000); ROLLBACK');
eventually {
	put($node, $db, 'q', 'passing by');
	$node->safe_psql($db, q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2') < 1000000}) eq 't'
} 'rows of a rolled back transaction go too';

done_testing();
