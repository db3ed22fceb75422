# Copyright (c) 2026, the outbox developers
#
# Promise: with a Redis Cluster each queue is delivered to the node that has its slot,
# once and in order, while slots move between nodes and nodes come and go.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = OutboxTest::Slots->start;
my $node = new_node('main', url => $cluster->url, conf => 'outbox.retention = 5min');
my $db = 'postgres';
my @queues = qw(a b c d e f);
install($node, $db, @queues);

my %nodes = map { $cluster->node_of($_) => 1 } @queues;
is(keys %nodes, 3, 'the queues are on all nodes');
put($node, $db, $_, "first of $_") for @queues;
settle($node, $db, $cluster, @queues);
is(status($node, $db, 'state'), 'running', 'it runs');
like(status($node, $db, 'address'), qr/^redis\+cluster:/, 'the status says that it is a cluster');

my $load = load($node, $db, writers => 2, queues => \@queues, max_delay => 0.05);

# Messages flow into a queue.
sub flows
{
	my ($queue, $name) = @_;
	my $had = $cluster->count($queue);
	return eventually { $cluster->count($queue) > $had + 2 } $name;
}

sub other_than
{
	my ($redis) = @_;
	return (grep { $_ != $redis } @{ $cluster->{nodes} })[0];
}

flows($_, "messages flow into $_") for @queues;

# In each order of the keys.
for my $first (qw(cursor data))
{
	for my $queue (qw(a b c))
	{
		my $slot = $cluster->slot($queue);
		my $to = other_than($cluster->node_of($queue));
		my ($cursor) = $cluster->cursor_of($queue);
		my @keys = $first eq 'cursor' ? ($cursor, $queue) : ($queue, $cursor);

		$cluster->begin_move($slot, $to);
		flows($queue, "$queue, $first first: while the slot is marked messages flow");
		$cluster->move_key($keys[0], $to);
		eventually {
			ask($node, $db, "SELECT state || ': ' || why FROM outbox.queue_status WHERE queue = '$queue'")
			  =~ /^waiting for redis: slot $slot is moving: (ASK|TRYAGAIN)/
		} "$queue: one key is there, the other one here: the queue waits and says so";
		flows('f', 'others flow');
		is(status($node, $db, 'state'), 'running', 'the relay runs');
		$cluster->move_key($keys[1], $to);
		flows('f', 'others flow');
		$cluster->end_move($slot, $to);
		flows($queue, "$queue: messages flow at the other node");
	}
}
eventually { ask($node, $db, q{SELECT string_agg(DISTINCT state, ' ') FROM outbox.queue_status}) eq 'flowing' } 'all queues flow';

$load->stop;
audit($node, $db, $cluster, \@queues, 100, 'nothing lost, nothing twice, all in order');
is(ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}),
	'0 0 0', 'no attempt is counted');
unlike(log_of($node), qr/WARNING/, 'nothing is warned of');
done_testing();
