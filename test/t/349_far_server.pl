# Copyright (c) 2026, the outbox developers
#
# Promise: a server that is far away has as much to do as one that is near.  The further
# it is, the more batches of a queue are under way, and no more than that: behind them
# others wait.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Proxy;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port);
my $db = 'postgres';
install($node, $db, 'q');
my $session = session($node, $db);
my $sent = 0;

sub sleeps { return $node->safe_psql($db, q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE backend_type = 'outbox relay'}) eq 't' }

# How many messages are sent before the first of them is answered.  A busy machine lets
# some answers wait, but not all of them.
sub sent_ahead
{
	my ($name, $ms, $most) = @_;
	$proxy->slow($ms);
	my $connections = $proxy->stat->{connections};
	$redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal');
	eventually { $proxy->stat->{connections} > $connections } "$name: the relay connects";
	$session->query_safe("SELECT outbox_enqueue('q', '{}'::jsonb)") for 1 .. 200;
	$sent += 200;
	eventually { status($node, $db, 'delivered') == $sent } "$name: messages are delivered";

	# a request for something else may be under way already
	my $ahead = 0;
	for (1 .. 10)
	{
		$proxy->hold('xyzzy');
		$session->query_safe(q{SELECT count(outbox_enqueue('q', '"xyzzy"'::jsonb)) FROM generate_series(1, 5000)});
		eventually { $proxy->stat->{words} > 0 && sleeps() } "$name: the relay sleeps when it has sent some";
		$ahead = $proxy->stat->{words};
		$proxy->go_on;
		$sent += 5000;
		eventually { status($node, $db, 'delivered') == $sent } "$name: all are delivered";
		last if $ahead >= $most;
	}
	is($ahead, $most, "$name: so many are sent ahead");
	return;
}

sent_ahead('near', 0, 4 * 256);
sent_ahead('far', 20, 12 * 256);

done_testing();
