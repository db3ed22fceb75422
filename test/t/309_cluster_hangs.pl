# Copyright (c) 2026, the outbox developers
#
# Promise: a primary of a cluster that hangs, with its connections open, is in nobody
# else's way (I8), and its replica takes over.  When it goes on it is the replica, and
# keeps nothing that it was sent.  Nothing is lost (I2) or comes twice (I3), in order (I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;

my $story = OutboxTest::OnNodes->begin(redis => { 'cluster-require-full-coverage' => 'no' });
my ($cluster, $node, $db) = @$story{qw(cluster node db)};

# So short that it is over before anybody takes over, and one that is not.
my $primary = $cluster->node_of('b');
my @on = $story->on($primary);
my @elsewhere = $story->elsewhere($primary);
$primary->pause;
$story->flow('a primary hangs for a moment: queues of other shards flow', @elsewhere);
$primary->resume;
$story->flow('it goes on: messages flow', @on);
$cluster->wait_ok;

$primary = $cluster->node_of('b');
@on = $story->on($primary);
@elsewhere = $story->elsewhere($primary);
my ($replica) = $cluster->replicas_of($primary);
$primary->pause;
$story->flow('it hangs: queues of other shards flow', @elsewhere);
$cluster->wait_primary($replica);
$story->flow('a replica has taken over: messages flow there, while the old one hangs', @on);
$primary->resume;
$cluster->wait_ok;
$story->flow('it goes on, as the replica', @on);

# all of them
$_->pause for my @all = $cluster->living;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'all hang: the status says so';
$_->resume for @all;
$cluster->wait_ok;
$story->end(500);
done_testing();
