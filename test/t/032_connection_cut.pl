# Copyright (c) 2026, the outbox developers
#
# Promise: a connection that breaks at any byte makes neither a loss nor a
# duplicate (I2, I3).  A proxy resets it after N bytes, for many N, of requests
# and of answers (the request was executed, the answer is lost), in the middle
# of batches and in the middle of connecting and recovering; and requests of a
# connection that is long dead arrive.  Guards the comparison of positions in
# the script, and recovery at every reconnect.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port . '/0');
my $db = 'postgres';
install($node, $db, 'q', 'r');
my $session = session($node, $db);

# Three transactions, both queues.
my $batches = 0;
sub enqueue
{
	$batches++;
	$session->query_safe(join '',
		map { "SELECT put(CASE i % 4 WHEN 0 THEN 'q' ELSE 'r' END, 'batch $batches.$_ message ' || i) FROM generate_series(1, 20) i;" } 1 .. 3);
	return;
}

# Carry out a plan: enqueue until its cuts have taken place.  Before that the
# connection must be in order, or delays between attempts would add up.
sub cut
{
	my (@plan) = @_;
	my $planned = $proxy->stat->{cuts} + @plan;
	wait_for { $redis->count('q') + $redis->count('r') >= 60 * $batches };
	$proxy->plan(@plan);
	return wait_for
	{
		enqueue();
		for my $look (1 .. 20)
		{
			return 1 if $proxy->stat->{cuts} == $planned;
			select undef, undef, undef, 0.005;
		}
		0;
	};
}

enqueue();
settle($node, $db, $redis, 'q', 'r');
my $seed = $ENV{OUTBOX_TEST_SEED} // time;
srand $seed;
note("OUTBOX_TEST_SEED=$seed");

# In batches.  A request of a batch is some thousand bytes, its answer short.
my $missed = 0;
for my $n (0, 1, 2, 50, (map { int rand 12000 } 1 .. 16))
{
	$missed++ unless cut([ 'c2s', $n ]);
}
for my $n (0 .. 5, (map { int rand 60 } 1 .. 14))
{
	$missed++ unless cut([ 's2c', $n ]);
}
is($missed, 0, 'batches cut in the middle: each cut took place');
audit($node, $db, $redis, [ 'q', 'r' ], 600, 'batches cut in the middle: nothing lost, nothing twice, all in order');

# In the middle of a tick of many batches.  While the connection is away, a
# transaction commits that enqueued before the tick was cut: its number is
# below the cursor's, and it was not visible in the cursor's snapshot.
my $before = session($node, $db);
for my $round (1 .. 6)
{
	$before->query_safe('BEGIN');
	$before->query_safe("SELECT put('q', 'open before tick $round')");
	settle($node, $db, $redis, 'r');
	my $cuts = $proxy->stat->{cuts};
	$proxy->plan($round % 2 ? [ 'c2s', 50_000 + int rand 200_000 ] : [ 's2c', 8 + int rand 24 ],
		[ 'c2s', 0 ], [ 'c2s', 0 ]);
	$session->query_safe("SELECT put('q', 'tick $round message ' || i) FROM generate_series(1, 4000) i");
	eventually { $proxy->stat->{cuts} > $cuts } "tick $round is cut";
	$before->query_safe('COMMIT');
	eventually { $proxy->stat->{cuts} == $cuts + 3 } "and coming back is";
}
$before->quit;
audit($node, $db, $redis, [ 'q', 'r' ], 24600, 'ticks cut in the middle: nothing lost, nothing twice, all in order');

# Begin anew with less to look at.
$node->safe_psql($db, 'TRUNCATE journal');
$redis->cmd('DEL', 'q', 'r');
$batches = 0;

# While connecting and recovering: the second cut counts from the first byte
# of a new connection.
for my $n (0, 1, 10, 30, (map { int rand 600 } 1 .. 10))
{
	$missed++ unless cut([ 'c2s', 0 ], [ 'c2s', $n ]);
	$missed++ unless cut([ 'c2s', 0 ], [ 's2c', $n % 150 ]);
}
is($missed, 0, 'connecting interrupted: each cut took place');
audit($node, $db, $redis, [ 'q', 'r' ], 600, 'connecting interrupted: nothing lost, nothing twice, all in order');

# A batch that reaches Redis when the relay has given up on it, come back, and
# sent it again: the position that it expects is no longer there.
for my $round (1 .. 8)
{
	$missed++ unless cut([ 'late', $round > 4 ? int rand 3000 : 0 ]);
	settle($node, $db, $redis, 'q', 'r');
	$proxy->release;
}
is($missed, 0, 'batches late: each cut took place');
audit($node, $db, $redis, [ 'q', 'r' ], 600, 'batches late: nothing lost, nothing twice, all in order');

$session->quit;
cmp_ok($proxy->stat->{cuts}, '>=', 96, 'many cuts');

done_testing();
