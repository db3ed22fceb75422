# Copyright (c) 2026, the outbox developers
#
# Promise: a cluster whose nodes speak TLS: each node is verified, the one that a
# redirection leads to as well.  A slot moves, a primary is killed: nothing is lost (I2)
# or comes twice (I3), in order (I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use OutboxTest::Tls;
use Test::More;

my $tls = OutboxTest::Tls->new;
$tls->make('node', san => 'IP:127.0.0.1');
my $story = OutboxTest::OnNodes->begin(tls => $tls);
my ($cluster, $node, $db) = @$story{qw(cluster node db)};
like(status($node, $db, 'address'), qr/^rediss\+cluster:/, 'the status says so');

my ($to) = grep { $_ != $cluster->node_of('a') } $cluster->primaries;
$cluster->move_slot($cluster->slot('a'), $to);
$story->flow('a slot is moved: messages flow there', 'a');

my $primary = $cluster->node_of('b');
my @on = $story->on($primary);
my ($replica) = $cluster->replicas_of($primary);
$primary->kill9;
$cluster->wait_primary($replica);
$story->flow('a primary is killed: messages flow into the replica', @on);
$primary->start_again;
$cluster->wait_ok;

# a node whose certificate is for another name gets nothing
$tls->make('node', san => 'IP:127.0.0.2');
my $stranger = $cluster->add_node;
$tls->make('node', san => 'IP:127.0.0.1');
my $slot = $cluster->slot('c');
my $home = $cluster->node_of('c');
$cluster->move_slot($slot, $stranger);
my $had = $stranger->count('c');
eventually { ask($node, $db, q{SELECT why FROM outbox.queue_status WHERE queue = 'c'}) =~ /certificate/ }
  'a node that is not verified: the queue waits and says why';
$story->flow('others flow', grep { $_ ne 'c' } $story->streams);
is($stranger->count('c'), $had, 'it got nothing');
$cluster->move_slot($slot, $home);
$story->end(500);
done_testing();
