# Copyright (c) 2026, the outbox developers
#
# Promise: replicas of a cluster take over by hand, under load: in agreement with their
# primary, and against its knowledge.  The connection to the old one stays alive, and what
# it has acknowledged after its replica was cut off is lost: a redirection may hide that.
# It comes again, in order (I2, I4), and nothing else does (I3); no attempt is counted (I9).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;

my $story = OutboxTest::OnNodes->begin;
my $cluster = $story->{cluster};

# in agreement, on each shard, there and back
for my $primary ($cluster->primaries)
{
	my @on = $story->on($primary);
	my ($replica) = $cluster->replicas_of($primary);
	$cluster->failover($replica);
	$story->flow('a replica takes over: messages flow', @on);
	$cluster->wait_ok;
	$cluster->failover($primary);
	$story->flow('and back', @on);
	$cluster->wait_ok;
}
unlike(log_of($story->{node}), qr/has lost/, 'nothing was lost');

# against the primary's knowledge; what it got last is not there
for my $round (1, 2)
{
	my $primary = $cluster->node_of('a');
	my @on = $story->on($primary);
	my ($replica) = $cluster->replicas_of($primary);
	$story->cut_off($replica, $primary);
	$story->flow("round $round: a replica is cut off: messages flow all the same", @on);
	$cluster->failover($replica, 'TAKEOVER');
	$story->let_in($replica);
	$story->flow("round $round: it takes over: messages flow there", @on);
	$cluster->wait_ok;
}

# and of a queue that nobody writes to then
$story->stop;
my $primary = $cluster->node_of('a');
my ($replica) = $cluster->replicas_of($primary);
$story->cut_off($replica, $primary);
$story->{node}->safe_psql('postgres', q{SELECT put_key('a', 'key', 'key last ' || n) FROM generate_series(1, 10) AS n});
eventually { $primary->last_of('a') eq 'key last 10' } 'its primary has got messages';
$replica->cmd('READONLY');
isnt($replica->last_of('a'), 'key last 10', 'the replica lacks them');
$cluster->failover($replica, 'TAKEOVER');
$story->let_in($replica);
$cluster->wait_ok;
eventually { $cluster->last_of('a') eq 'key last 10' } 'nobody writes: they come again all the same';
cmp_ok($story->end(500), '>', 0, 'what was acknowledged and lost was told');
done_testing();
