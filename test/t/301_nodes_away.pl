# Copyright (c) 2026, the outbox developers
#
# Promise: a node of a Redis Cluster that is killed, hangs, or is asked when the
# cluster is down concerns the queues of its slots, and no attempt is counted (I8,
# I9).  Slots that are elsewhere when the relay does not look are found (I2, I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = OutboxTest::Slots->start(redis => {
	appendonly => 'yes', appendfsync => 'always', 'cluster-require-full-coverage' => 'no' });
my $node = new_node('main', url => $cluster->url(1), conf => 'outbox.retention = 5min');
my $db = 'postgres';
my @queues = qw(a b c d e f);
install($node, $db, @queues);
settle($node, $db, $cluster, @queues);

sub queues_of { my ($redis) = @_; return grep { $cluster->node_of($_) == $redis } @queues; }
sub state_of { my ($queue) = @_; return ask($node, $db, "SELECT state || ': ' || coalesce(why, '') FROM outbox.queue_status WHERE queue = '$queue'"); }

sub flows
{
	my ($queue, $name) = @_;
	my $had = $cluster->count($queue);
	return eventually { $cluster->count($queue) > $had + 2 } $name;
}

my $load = load($node, $db, writers => 2, queues => \@queues, max_delay => 0.2);
flows($_, "messages flow into $_") for @queues;

# Each node once: one of them is the one that the URL names, and that is asked.
for my $i (0 .. 2)
{
	my $redis = $cluster->{nodes}[$i];
	my ($its) = queues_of($redis);
	my ($other) = grep { $cluster->node_of($_) != $redis } @queues;

	$redis->kill9;
	eventually { state_of($its) =~ /^waiting for redis: / } "node $i is killed: its queue waits";
	flows($other, 'others flow');
	is(status($node, $db, 'state'), 'running', 'the relay runs');
	my $address = OutboxTest::Slots::address($redis);
	eventually { ask($node, $db, 'SELECT state || why FROM outbox.server_status') =~ /^running.*node \Q$address\E: / } 'the server runs, and says which node is away';
	$redis->start_again;
	$cluster->wait_ok;
	flows($its, 'it is back: messages flow');
}
$cluster->wait_ok;

my $hung = $cluster->{nodes}[0];
my ($its) = queues_of($hung);
my ($other) = grep { $cluster->node_of($_) != $hung } @queues;
$hung->pause;
flows($other, 'a node hangs: others flow');
eventually { state_of($its) =~ /^waiting for redis: / } 'its queues wait';
flows($other, 'others flow');
$hung->resume;
$cluster->wait_ok;
flows($its, 'it goes on: messages flow');
$cluster->wait_ok;

# A slot that is at another node when the relay is asleep, as for a queue that is idle.
$load->stop;
settle($node, $db, $cluster, @queues);
for my $queue (qw(a b))
{
	my ($to) = grep { $_ != $cluster->node_of($queue) } @{ $cluster->{nodes} };
	$cluster->move_slot($cluster->slot($queue), $to);
	put($node, $db, $queue, "after the move of $queue");
	eventually { grep { $_ eq "after the move of $queue" } map { my %f = @{ $_->[1] }; $f{payload} } $cluster->entries($queue) } "$queue: found at the other node";
}

# The cluster is down as soon as one slot has no node.
$_->cmd('CONFIG', 'SET', 'cluster-require-full-coverage', 'yes') for @{ $cluster->{nodes} };
my ($slot) = grep { my $s = $_; !grep { $cluster->slot($_) == $s } @queues } 0 .. 100;
$_->cmd('CLUSTER', 'DELSLOTS', $slot) for @{ $cluster->{nodes} };
eventually { $cluster->{nodes}[1]->cmd('CLUSTER', 'INFO') =~ /cluster_state:fail/ } 'the cluster is down';
put($node, $db, $_, "while it is down") for @queues;
for my $queue (@queues)
{
	eventually { state_of($queue) =~ /^waiting for redis: CLUSTERDOWN / } "$queue waits, and says so";
}
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'and so does the relay';
$cluster->{owner}[$slot]->cmd('CLUSTER', 'ADDSLOTS', $slot);
audit($node, $db, $cluster, \@queues, 50, 'nothing lost, nothing twice, all in order');
eventually { ask($node, $db, q{SELECT string_agg(DISTINCT state, ' ') FROM outbox.queue_status}) eq 'flowing' } 'all queues flow';

# A slot of ours that no node has.
$_->cmd('CONFIG', 'SET', 'cluster-require-full-coverage', 'no') for @{ $cluster->{nodes} };
$slot = $cluster->slot('a');
$_->cmd('CLUSTER', 'DELSLOTS', $slot) for @{ $cluster->{nodes} };
put($node, $db, 'a', 'without a node');
eventually { state_of('a') =~ /^waiting for redis: no node of the cluster has slot $slot/ } 'no node has the slot: the queue says so';
put($node, $db, 'f', 'meanwhile');
settle($node, $db, $cluster, 'f');
is(status($node, $db, 'state'), 'running', 'the relay runs');
$cluster->{owner}[$slot]->cmd('CLUSTER', 'ADDSLOTS', $slot);
audit($node, $db, $cluster, \@queues, 50, 'nothing lost, nothing twice, all in order');

is(ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}),
	'0 0 0', 'no attempt is counted');
done_testing();
