# Copyright (c) 2026, the outbox developers
#
# Promise: a message is sent only after its commit is on disk, also with
# synchronous_commit = off (I1).  The server is killed as soon as something has
# arrived, with a WAL writer that would not have flushed for ten seconds:
# whatever Redis has must be in PostgreSQL after recovery.  Guards the flush
# before the first command of a tick.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
synchronous_commit = off
wal_writer_delay = 10s
wal_writer_flush_after = 100MB
checkpoint_timeout = 1h
autovacuum = off
EOC
my $db = 'postgres';
install($node, $db, 'q', 'r');

# Nothing waits for a flush here, not even CREATE EXTENSION.
$node->safe_psql($db, 'CHECKPOINT');

# The recipe works: acknowledged asynchronous commits are lost by this kill.
# Something else may flush in between, so it has a few tries.
my $lost = 0;
for my $try (1 .. 5)
{
	$node->safe_psql($db, "CREATE TABLE acknowledged_$try ()");
	kill_hard($node);
	$node->start;
	$lost = $node->safe_psql($db, "SELECT to_regclass('acknowledged_$try') IS NULL") eq 't';
	last if $lost;
}
ok($lost, 'an acknowledged asynchronous commit can be lost');
wait_relay($node, $db);

my $arrived = 0;
for my $round (1 .. 8)
{
	my $load = load($node, $db, writers => 3, queues => [ 'q', 'r' ], max_delay => 0.001);
	my $before = $redis->count('q');
	my $enough = $before + int rand 20;
	eventually { $redis->count('q') > $enough } "round $round: messages flow";
	kill_hard($node);
	$load->stop;
	$arrived += $redis->count('q') - $before;

	# Nothing of this round may be in Redis that is not in the journal.
	my %have = map { ($_->[0] => 1) } map { $redis->arrived($_) } 'q', 'r';
	$node->start;
	delete @have{ split /\n/, $node->safe_psql($db, 'SELECT id FROM journal') };
	is(scalar keys %have, 0, "round $round: Redis has nothing that PostgreSQL has lost");
	wait_relay($node, $db);
}
cmp_ok($arrived, '>', 8, 'messages were in Redis when the server was killed');
audit($node, $db, $redis, [ 'q', 'r' ], 50, 'what survived arrives once, in order');

done_testing();
