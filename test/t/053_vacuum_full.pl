# Promise: nothing is lost or comes twice when somebody rewrites a staging table in
# the middle of a drain (I2, I3).  The relay remembers where the planned rows lie;
# after VACUUM FULL or CLUSTER they lie elsewhere.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = 5000;
my $redis = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main',
	url => 'redis://127.0.0.1:' . $proxy->port . '/0',
	conf => "outbox.retention = 10min\n");
my $db = 'postgres';
install($node, $db, 'q', 'paused');
$node->safe_psql($db, q{SELECT outbox_pause_queue('paused')});
put($node, $db, 'q', 'flows');
eventually { $redis->count('q') == 1 } 'the queue flows';

my $relay = relay_pid($node, $db);
for my $rewrite (
	'VACUUM FULL outbox.staging_1',
	'CLUSTER outbox.staging_1 USING staging_1_xid_seq')
{
	# What is rolled back leaves room at the beginning of the table, and where the
	# last rows were there are others afterwards.
	my $rolled_back = join '', map { "BEGIN; SELECT put('q', 'rolled back ' || i) FROM generate_series(1, 500) AS i; ROLLBACK;" } 1 .. 3;
	$node->safe_psql($db, $rolled_back);

	# Redis stands still.  When the first batches are on their way, all is planned.
	my $arrived = $redis->count('q');
	my $sent = $proxy->stat->{c2s};
	$redis->pause;
	$node->safe_psql($db, "SELECT put('q', '$rewrite ' || i) FROM generate_series(1, $many) AS i");
	$node->safe_psql($db, "SELECT put('paused', '$rewrite ' || i) FROM generate_series(1, 3000) AS i");
	eventually { $proxy->stat->{c2s} > $sent + 10_000 } "$rewrite: batches are on their way";

	my $where = 'SELECT min(ctid) FROM outbox.staging_1 WHERE seq = (SELECT max(seq) FROM outbox.staging_1)';
	my $before = $node->safe_psql($db, $where);
	$node->safe_psql($db, $rewrite);
	isnt($node->safe_psql($db, $where), $before, "$rewrite: rows have moved");
	$redis->resume;
	eventually { $redis->count('q') >= $arrived + $many } "$rewrite: all arrive";
}
is(relay_pid($node, $db), $relay, 'the relay is the same');
$node->safe_psql($db, q{SELECT outbox_resume_queue('paused')});
audit($node, $db, $redis, [ 'q', 'paused' ], 2 * $many + 6000, 'each once, in order');

done_testing();
