# Copyright (c) 2026, the outbox developers
#
# Promise: a primary of a cluster is killed under load, and a replica takes over that lacks
# what was acknowledged last.  That comes again, in order (I2, I4), and nothing else does
# (I3).  Queues of other shards go on meanwhile (I8); no attempt is counted (I9).  With
# wait_replicas nothing is forgotten that a replica lacks, however short the retention is.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;

my $story = OutboxTest::OnNodes->begin(redis => { 'cluster-require-full-coverage' => 'no' },
	parameters => ['wait_replicas=1'], conf => 'outbox.retention = 1s');
my $cluster = $story->{cluster};

my $primary = $cluster->node_of('a');
my ($replica) = $cluster->replicas_of($primary);
my @on = $story->on($primary);
my @elsewhere = $story->elsewhere($primary);

# without a loss
$primary->kill9;
$story->flow('a primary is killed: queues of other shards flow', @elsewhere);
$cluster->wait_primary($replica);
$story->flow('messages flow into the replica that took over', @on);
$primary->start_again;
$cluster->wait_ok;

# with one: of the two, now the other way round
$story->cut_off($primary, $replica);
$story->flow('a replica is cut off: messages flow all the same', @on);
my $seen = time + 3;
eventually { time > $seen } 'for longer than the retention';
$story->flow('they flow on', @on);
$replica->kill9;
$cluster->wait_primary($primary);
$story->let_in($primary);
$story->flow('killed again: messages flow into the one that was cut off', @on);
$replica->start_again;
$story->flow('the old primary is back', @on);
cmp_ok($story->end(500), '>', 0, 'what was acknowledged and lost was told');
done_testing();
