# Copyright (c) 2026, the outbox developers
#
# Promise: no turn of the relay's loop takes more than 50 ms of its CPU time (I8).
# Here: many queues, which the relay learns of, asks for their cursors, counts and
# writes the totals of; and many delayed messages that are due together.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'delayed');

# They are created at once, get a message each, and are read anew: by the next
# connection, and by the next relay.
my ($first, $delivered) = (1, 0);
short_turns
{
	my ($n) = @_;
	$node->safe_psql($db, "SELECT count(create_queue('queue ' || i)) FROM generate_series($first, $n) AS i");
	$node->safe_psql($db, "SELECT count(outbox_enqueue('queue ' || i, 'x')) FROM generate_series($first, $n) AS i");
	$delivered += $n - $first + 1;
	eventually { status($node, $db, 'delivered') == $delivered } "$n queues flow";
	$first = $n + 1;
	my $with_cursor = sub { scalar @{ $redis->cmd('KEYS', '*:outbox:*') } };
	eventually { $with_cursor->() == $n + 1 } 'the cursors of all are known';
	$redis->drop_clients;
	$delivered += $n;
	$node->safe_psql($db, "SELECT count(outbox_enqueue('queue ' || i, 'y')) FROM generate_series(1, $n) AS i");
	eventually { status($node, $db, 'delivered') == $delivered } 'and again on the next connection';
}
300, $node, $db, 'queues';

my $pid = relay_pid($node, $db);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
another_relay($node, $db, $pid, 'another relay');
$node->safe_psql($db, q{SELECT outbox_enqueue('queue 1', 'z'), outbox_enqueue('queue 1200', 'z')});
eventually { $redis->count('queue 1') == 4 && $redis->count('queue 1200') == 3 } 'delivers them all';
my ($ms, $what) = longest_turn($node, $db);
cmp_ok($ms, '<', 50, "its longest turn took $ms ms of CPU: $what");

my $in_all = 0;
short_turns
{
	my ($n) = @_;
	$node->safe_psql($db, "SELECT count(outbox_enqueue('delayed', repeat(i::text, 100), delay => '1 hour'))"
		  . " FROM generate_series(1, $n) AS i");
	$node->safe_psql($db, q{UPDATE outbox.deferred SET due_at = now() WHERE reason = 'delayed'});
	$in_all += $n;
	eventually { $redis->count('delayed') == $in_all } "$n delayed messages are delivered";
}
2000, $node, $db, 'delayed messages';

done_testing();
