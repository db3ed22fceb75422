# Copyright (c) 2026, the outbox developers
#
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

# A new relay may begin with the other table.  When it has counted twice it is past that.
for my $n (1 .. 2)
{
	put($node, $db, 'q', "flows $n");
	eventually {
		ask($node, $db, q{SELECT delivered FROM outbox.queue_status WHERE queue = 'q'}) eq $n
	} "the queue flows: $n";
}

my $relay = relay_pid($node, $db);
for my $rewrite ('VACUUM FULL %1$s', 'CLUSTER %1$s USING %2$s_xid_seq')
{
	my ($name) = $rewrite =~ /^([A-Z ]+) /;

	# What is rolled back leaves room at the beginning of the table, and where the
	# last rows were there are others afterwards.
	my $rolled_back = join '', map { "BEGIN; SELECT put('q', 'rolled back ' || i) FROM generate_series(1, 500) AS i; ROLLBACK;" } 1 .. 3;
	$node->safe_psql($db, $rolled_back);

	# Redis stands still.  When the first batches are on their way, all is planned.
	my $arrived = $redis->count('q');
	my $sent = $proxy->stat->{c2s};
	$redis->pause;
	$node->safe_psql($db, "SELECT put('q', '$name ' || i) FROM generate_series(1, $many) AS i");
	$node->safe_psql($db, "SELECT put('paused', '$name ' || i) FROM generate_series(1, 3000) AS i");
	eventually { $proxy->stat->{c2s} > $sent + 10_000 } "$name: batches are on their way";

	my $where = 'SELECT tableoid::regclass, ctid FROM (SELECT tableoid, ctid, seq FROM outbox.staging_1'
	  . ' UNION ALL SELECT tableoid, ctid, seq FROM outbox.staging_2) AS s ORDER BY seq DESC LIMIT 1';
	my $before = $node->safe_psql($db, $where);
	my ($table, $short) = $before =~ /^(outbox\.(\w+))\|/;
	$node->safe_psql($db, sprintf $rewrite, $table, $short);
	isnt($node->safe_psql($db, $where), $before, "$name: rows have moved");
	$redis->resume;
	eventually { $redis->count('q') >= $arrived + $many } "$name: all arrive";
}
is(relay_pid($node, $db), $relay, 'the relay is the same');
$node->safe_psql($db, q{SELECT outbox_resume_queue('paused')});
audit($node, $db, $redis, [ 'q', 'paused' ], 2 * $many + 6000, 'each once, in order');

done_testing();
