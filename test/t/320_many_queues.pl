# Copyright (c) 2026, the outbox developers
#
# Promise: queues rest while there is nothing to do for them, and each of them wakes for
# whatever there is (I2, I8).  All of them are shown, however many they are.

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
install($node, $db, 'busy');
my $session = session($node, $db);
my $relay = relay_pid($node, $db);
my $n = 1100;

sub cpu
{
	my ($ns) = split ' ', slurp_file("/proc/$relay/schedstat");
	return $ns / 1e6;
}

# The relay's CPU time, in ms, for messages that are delivered one by one.
my $sent = 0;
sub cost
{
	my $least;
	for my $round (1 .. 3)
	{
		my $before = cpu();
		for (1 .. 200)
		{
			$session->query_safe(q{SELECT outbox_enqueue('busy', 'x')});
			$sent++;
			wait_for { $redis->count('busy') == $sent };
		}
		my $took = cpu() - $before;
		$least = $took if !defined $least || $took < $least;
	}
	return $least;
}

my $alone = cost();
$node->safe_psql($db, "SELECT count(create_queue('queue ' || i)) FROM generate_series(1, $n) AS i");
$node->safe_psql($db, "SELECT count(outbox_enqueue('queue ' || i, 'x')) FROM generate_series(1, $n) AS i");
eventually { status($node, $db, 'delivered') == $sent + $n } "$n queues flow";
# their totals are written, a hundred at a time
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.queue_total WHERE delivered > 0') > $n } 'and have settled';
my $beside = cost();
note "200 messages take $beside ms of the relay's CPU beside $n queues that rest, and $alone ms alone";

my $shown = q{SELECT count(*) FROM outbox.queue_status WHERE state = 'flowing' AND delivered = 1 AND waiting = 0};
eventually { ask($node, $db, $shown) == $n } 'all of them are shown, with what they have delivered';

# Of so many not all are published each time, but those whose figures have changed are.
# Answers come in order: when that of the last message is shown, so are all others.
$node->safe_psql($db, "SELECT count(outbox_enqueue('queue ' || i, 'again')) FROM generate_series(1, $n) AS i");
eventually { $redis->count("queue $n") == 2 && status($node, $db, 'delivered') >= $sent + 2 * $n } 'they wake together';
$node->safe_psql($db, q{SELECT outbox_enqueue('busy', 'the last')});
$sent++;
my $last = '';
eventually { ($last = ask($node, $db, qq{SELECT count(*) FILTER (WHERE delivered = $sent), count(*) FILTER (WHERE delivered = 2) FROM outbox.queue_status})) =~ /^1/ } 'the last message is shown';
is($last, "1|$n", 'and so is what all others have delivered');
$redis->cmd('DEL', map { "queue $_" } 1 .. $n);

# Queues that rest, and what they wake for.
$redis->cmd('SET', 'queue 1', 'no stream');
$node->safe_psql($db, q{SELECT outbox_pause_queue('queue 2')});
$node->safe_psql($db, q{SELECT outbox_enqueue('queue ' || i, 'y') FROM generate_series(1, 3) AS i});
eventually { $redis->count('queue 3') == 1 } 'a message wakes one';
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'queue 1'}) eq 'blocked' } 'one stands still';
eventually { ask($node, $db, q{SELECT waiting FROM outbox.queue_status WHERE queue = 'queue 2'}) == 1 } 'one is paused';
$redis->cmd('DEL', 'queue 1');
$node->safe_psql($db, q{SELECT outbox_resume_queue('queue 2')});
eventually { $redis->count('queue 1') == 1 } 'which goes on by itself';
eventually { $redis->count('queue 2') == 1 } 'which is resumed';
$redis->drop_clients;
$node->safe_psql($db, qq{SELECT outbox_enqueue('queue ' || i, 'z') FROM generate_series(4, $n, 100) AS i});
eventually { $redis->count('queue 4') == 1 && $redis->count('queue ' . ($n - 96)) == 1 } 'all of them by a new connection';

$session->quit;
done_testing();
