# Copyright (c) 2026, the outbox developers
#
# Promise: nodes come to a cluster and leave it under load, those that the URL names among
# them: nothing is lost (I2) or comes twice (I3), each stream is in order (I4), no attempt
# is counted (I9).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;

my $story = OutboxTest::OnNodes->begin(first_has => $OutboxTest::OnNodes::low);
my ($cluster, $node, $db) = @$story{qw(cluster node db)};

my $new = $cluster->add_node;
my @moved = ('a', 'c', '{orders:1}', '{orders:4}');
$cluster->move_slot($cluster->slot($_), $new) for @moved;
$story->flow('a node comes and gets slots: messages flow there', @moved);

# the first node that the URL names leaves, with its replica
my $first = $cluster->{nodes}[0];
my ($replica) = $cluster->replicas_of($first);
my @streams = $story->on($first);
$cluster->reshard($first, $new, scalar(my @slots = $cluster->slots_of($first)));
$cluster->wait_ok;
$cluster->remove_node($replica);
$cluster->remove_node($first);
$cluster->wait_ok;
$story->flow('a node that the URL names is gone: messages flow', $story->streams);

# the relay begins anew, with the one that is left
my $pid = relay_pid($node, $db);
kill 'TERM', $pid;
another_relay($node, $db, $pid, 'another relay');
$story->flow('it finds the cluster by the other one', $story->streams);

# and that one dies
my $second = $cluster->{nodes}[0];
my ($heir) = $cluster->replicas_of($second);
$second->kill9;
$cluster->wait_primary($heir);
$story->flow('none of those that the URL names is there: messages flow', $story->streams);
$story->end(500);
done_testing();
