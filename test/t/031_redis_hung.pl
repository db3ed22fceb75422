# Copyright (c) 2026, the outbox developers
#
# Promise: a Redis that hangs (accepts, and never answers) is felt by no caller
# (I7), and neither SIGTERM of the relay nor a fast shutdown waits for it for
# more than a second.  What it does when it wakes, with requests of long dead
# connections in its buffers, doubles nothing (I3).

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
install($node, $db, 'q', 'r');

my $commits = 'CALL commits(300)';
$node->safe_psql($db, $commits);    # warm up
my $answering = seconds { $node->safe_psql($db, $commits) };
settle($node, $db, $redis, 'q', 'r');

$redis->pause;
at_best { seconds { $node->safe_psql($db, $commits) } } 3 * $answering + 0.5,
  "300 commits are as fast while Redis hangs ($answering s)";

# Redis hangs, and the relay has something for it.
sub hang
{
	my ($sql) = @_;
	$redis->resume;
	settle($node, $db, $redis, 'q', 'r');
	$redis->pause;
	$node->safe_psql($db, $sql);
	return;
}

# End the relay in every situation in which it can wait for Redis.
my $ended = '';
sub ends_at_once
{
	my ($name, $sql) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $waits;
	at_best
	{
		my $pid;
		hang($sql) if defined $sql;
		wait_for { ($pid = relay_pid($node, $db)) && $pid ne $ended };
		# Let it get stuck: it is when it has nothing to do but wait.
		$waits = wait_for { ask($node, $db, "SELECT wait_event IS NOT NULL FROM pg_stat_activity WHERE pid = $pid") eq 't' };
		$ended = $pid;
		seconds { $node->safe_psql($db, "SELECT pg_terminate_backend($pid)"); wait_for { gone($pid) } }
	} 1.5, "$name: SIGTERM is honoured within a second";
	return ok($waits, "$name: the relay waits");
}

ends_at_once('waiting for an answer', $commits);
ends_at_once('waiting for the first answer of a connection');
# More than the socket's buffers hold.
ends_at_once('waiting to write', "SELECT put('q', repeat('x', 100000)) FROM generate_series(1, 50)");
wait_relay($node, $db);
$redis->resume;
settle($node, $db, $redis, 'q', 'r');

# A fast shutdown, compared with one while nothing hangs.
my $stop = sub {
	$node->safe_psql($db, 'CHECKPOINT');
	return seconds { $node->stop('fast') };
};
my $easy = $stop->();
at_best
{
	$node->start;
	wait_relay($node, $db);
	hang($commits);
	$stop->()
} $easy + 1.5, "a fast shutdown does not wait for Redis ($easy s)";

# Start over with Redis still hanging, wake it, and look.
$node->start;
put($node, $db, 'q', 'enqueued while it hangs');
wait_relay($node, $db);
$redis->resume;
audit($node, $db, $redis, [ 'q', 'r' ], 950, 'after all of this nothing lost, nothing twice, all in order');

# Hanging and waking while writers go on.
my $load = load($node, $db, writers => 4, queues => [ 'q', 'r' ], max_delay => 0.002);
for my $round (1 .. 5)
{
	my $before = $redis->count('q');
	eventually { $redis->count('q') > $before + 100 } "round $round: messages flow";
	$redis->pause;
	my $n = $node->safe_psql($db, 'SELECT last_value FROM journal_n_seq');
	eventually { ask($node, $db, 'SELECT last_value FROM journal_n_seq') > $n + 200 } "round $round: writers go on";
	$redis->resume;
}
$load->stop;
audit($node, $db, $redis, [ 'q', 'r' ], 1500, 'Redis hung again and again');

done_testing();
