# Copyright (c) 2026, the outbox developers
#
# Promise: no turn of the relay's loop takes more than 50 ms of its CPU time (I8).
# Here: a cursor with a long skip list is read.  It is compared with the tables in slices,
# and the queue delivers again when all of that is done: of each key the first message is
# tried, and no other (I4); none is lost and none comes twice (I2, I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'other');
sub sql { return $node->safe_psql($db, $_[0]); }

for my $n (2000, 20000)
{
	my $queue = "q$n";
	my $held = "outbox.deferred AS d JOIN outbox.queue AS q ON q.id = d.queue AND q.name = '$queue' WHERE reason IN ('retry', 'behind')";
	sql("SELECT outbox_create_queue('$queue', 'list', format => 'raw', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour')");

	# Delivered, and then Redis says that it has skipped them: half of them without a key,
	# some with keys of their own, the rest with one key.
	sql("SELECT count(outbox_enqueue('$queue', i::text, key => CASE i % 4 WHEN 1 THEN 'k' || i % 1000 WHEN 3 THEN 'one' END)) FROM generate_series(1, $n) AS i");
	eventually { $redis->cmd('LLEN', $queue) == $n } "$n are delivered";
	frozen {
		my ($cursor) = @{ $redis->cmd('KEYS', "{$queue}:outbox:*") };
		my @seqs = split /\n/, sql("SELECT s.seq FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s JOIN outbox.queue AS q ON q.id = s.queue AND q.name = '$queue'");
		while (my @some = splice @seqs, 0, 1000)
		{
			$redis->cmd('HSET', $cursor, map { ("s$_", 'WRONGTYPE') } @some);
		}
		$redis->cmd('SET', $queue, 'no list');
		$redis->drop_clients;
	} relay_pid($node, $db);
	eventually { sql("SELECT count(*) FROM $held") == $n } 'they are taken for refused ones';
	settle($node, $db, $redis, 'other');

	reset_turns($node, $db);
	for (1, 2)
	{
		$redis->drop_clients;
		settle($node, $db, $redis, 'other');
		eventually { ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = '$queue'") eq 'flowing' } 'the cursor is read';
	}
	my ($ms, $what) = longest_turn($node, $db);
	cmp_ok($ms, '<', 50, "the longest turn took $ms ms of CPU: $what");
	is(sql("SELECT count(*) FROM $held"), $n, 'all of them wait');
	my $earlier = 'EXISTS (SELECT FROM outbox.deferred AS o WHERE o.queue = d.queue AND o.key = d.key AND o.seq < d.seq)';
	is(sql("SELECT count(*) FROM $held AND (reason = 'behind') <> $earlier"), 0, 'of each key the first one is tried');

	# Mended, all of them go.
	next if $n > 2000;
	$redis->cmd('DEL', $queue);
	let_due($node, $db, $redis);
	eventually { $redis->cmd('LLEN', $queue) == $n } 'all are delivered';
	my @arrived = @{ $redis->cmd('LRANGE', $queue, 0, -1) };
	is_deeply([ sort { $a <=> $b } @arrived ], [ 1 .. $n ], 'each once');
	is_deeply([ grep { $_ % 4 == 3 } @arrived ], [ grep { $_ % 4 == 3 } 1 .. $n ], 'those of one key in order');
}

done_testing();
