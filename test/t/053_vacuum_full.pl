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
install($node, $db, 'q');
put($node, $db, 'q', 'flows');
eventually { $redis->count('q') == 1 } 'the queue flows';

for my $rewrite (
	'VACUUM FULL outbox.staging_1',
	'CLUSTER outbox.staging_1 USING staging_1_xid_seq')
{
	# What is rolled back leaves room at the beginning of the table.
	my $rolled_back = join '', map { "BEGIN; SELECT put('q', 'rolled back ' || i) FROM generate_series(1, 500) AS i; ROLLBACK;" } 1 .. 3;
	$node->safe_psql($db, $rolled_back);

	# Redis stands still.  When the first batches are on their way, all is planned.
	my $arrived = $redis->count('q');
	my $sent = $proxy->stat->{c2s};
	$redis->pause;
	$node->safe_psql($db, "SELECT put('q', '$rewrite ' || i) FROM generate_series(1, $many) AS i");
	eventually { $proxy->stat->{c2s} > $sent + 10_000 } "$rewrite: batches are on their way";

	my $where = 'SELECT min(ctid) FROM outbox.staging_1 WHERE seq = (SELECT max(seq) FROM outbox.staging_1)';
	my $before = $node->safe_psql($db, $where);
	$node->safe_psql($db, $rewrite);
	isnt($node->safe_psql($db, $where), $before, "$rewrite: rows have moved");
	$redis->resume;
	eventually { $redis->count('q') >= $arrived + $many } "$rewrite: all arrive";
}
audit($node, $db, $redis, ['q'], 2 * $many, 'each once, in order');

done_testing();
