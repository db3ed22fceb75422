# Copyright (c) 2026, the outbox developers
#
# Promise: a relay that dies at any moment makes neither a loss nor a duplicate
# (I2, I3).  kill -9 of the relay takes all sessions of the server with it, as
# it must; SIGTERM does not.  Writers go on as soon as they can connect.

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

my $load = load($node, $db, writers => 4, queues => [ 'q', 'r' ], max_delay => 0.005);
for my $round (1 .. 6)
{
	my $pid = wait_relay($node, $db);
	my $enough = $redis->count('q') + 1 + int rand 200;
	eventually { $redis->count('q') > $enough } "round $round: messages flow";
	kill 'KILL', $pid;
	eventually { my $new = relay_pid($node, $db); $new && $new != $pid } "round $round: a new relay";
}

my $started = $node->safe_psql($db, 'SELECT pg_postmaster_start_time()');
my $backend = session($node, $db);
my $pid = $backend->query_safe('SELECT pg_backend_pid()');
for my $name ('relay', 'launcher')
{
	my $find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox $name'"
	  . ($name eq 'relay' ? " AND datname = '$db'" : '');
	my $old = $node->safe_psql($db, $find);
	ok($old, "there is a $name");
	$node->safe_psql($db, "SELECT pg_terminate_backend($old)");
	eventually { my $new = ask($node, $db, $find); $new && $new != $old } "a terminated $name comes back";
}
is($backend->query_safe('SELECT pg_backend_pid()'), $pid, 'no other session was harmed');
$backend->quit;

$load->stop;
audit($node, $db, $redis, [ 'q', 'r' ], 700, 'nothing lost, nothing twice, all in order');

done_testing();
