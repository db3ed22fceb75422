# Copyright (c) 2026, the outbox developers
#
# Promise: messages that are staged many at a time arrive once, in order and byte by
# byte (I2, I3, I4), also when a savepoint is rolled back, a value is stored out of line
# or somebody has made an index of his own; and with wal_level = logical nothing of
# them is decoded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $db = 'postgres';

# How often pages of the staging tables got several rows by one record since a place in WAL.
sub together
{
	my ($node, $since) = @_;
	my $now = $node->safe_psql($db, 'SELECT pg_current_wal_insert_lsn()');
	my ($out, $err) = run_command([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-r', 'Heap2', '-s', $since, '-e', $now ]);
	my $files = $node->safe_psql($db,
		"SELECT string_agg(pg_relation_filenode(oid)::text, '|') FROM pg_class WHERE relname LIKE 'staging\\__' AND relkind = 'r'");
	return scalar grep { /MULTI_INSERT.* rel \d+\/\d+\/(?:$files) / } split /\n/, $out;
}

for my $level ('replica', 'logical')
{
	my $node = new_node($level, redis => $redis, streaming => $level eq 'logical' ? 'logical' : 1, conf => "autovacuum = off\n");
	my $q = "q_$level";
	install($node, $db, $q);
	$node->safe_psql($db, "SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')") if $level eq 'logical';
	my $since = $node->safe_psql($db, 'SELECT pg_current_wal_insert_lsn()');

	my $many = sub {
		my ($from, $to, $size) = @_;
		return "SELECT count(*) FROM unnest(outbox_enqueue_many('$q', (SELECT jsonb_agg(jsonb_build_object('n', i, 'text', left(repeat(md5(i::text), 400), $size)) ORDER BY i) FROM generate_series($from, $to) AS i)))";
	};
	is($node->safe_psql($db, $many->(1, 1234, 30)), '1234', "$level: enqueued");
	$node->safe_psql($db, 'BEGIN; ' . $many->(1235, 1300, 30) . '; SAVEPOINT a; ' . $many->(9001, 9300, 30)
		  . '; ROLLBACK TO a; ' . $many->(1301, 1400, 30) . '; COMMIT');
	$node->safe_psql($db, $many->(1401, 1450, 9000));
	my $by_pages = together($node, $since);
	$node->safe_psql($db, "CREATE INDEX of_somebody_${_} ON outbox.staging_$_ (queue)") for 1, 2;
	$node->safe_psql($db, $many->(1451, 1700, 30));
	$node->safe_psql($db, "DROP INDEX outbox.of_somebody_$_") for 1, 2;

	eventually { $redis->count($q) == 1700 } "$level: all arrive";
	is(join(',', map { /"n": (\d+)/ ? $1 : '?' } map { $_->[1] } $redis->arrived($q)), join(',', 1 .. 1700), "$level: once and in order");
	is(scalar(grep { length($_) == 9000 + length('{"n": 1401, "text": ""}') } map { $_->[1] } $redis->arrived($q)), 50, "$level: also long ones");
	if ($level eq 'replica')
	{
		cmp_ok($by_pages, '>', 0, 'they have gone into pages together');
	}
	else
	{
		is($by_pages, 0, 'each has a record of its own, for logical decoding to be told to pass over it');
		my $decoded = $node->safe_psql($db, "SELECT data FROM pg_logical_slot_get_changes('decoded', NULL, NULL)");
		unlike($decoded, qr/staging/, 'nothing of staging is decoded');
	}
	$node->stop;
}

done_testing();
