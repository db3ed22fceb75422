# Copyright (c) 2026, the outbox developers
#
# Promise: slots move between the nodes of a cluster under load, by hand, by redis-cli, by
# the server itself where it can, there and back: nothing is lost (I2) or comes twice (I3),
# each stream is in order (I4), nobody else waits (I8), no attempt is counted (I9).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;

my $story = OutboxTest::OnNodes->begin;
my ($cluster, $node, $db) = @$story{qw(cluster node db)};
my @streams = ('a', 'b', '{orders:0}', '{orders:3}');

# Another node than the one that has a stream now, each in turn.
sub other
{
	my ($stream) = @_;
	my @primaries = sort { $a->{id} cmp $b->{id} } $cluster->primaries;
	my $owner = $cluster->node_of($stream);
	my ($at) = grep { $primaries[$_] == $owner } 0 .. $#primaries;
	return $primaries[ ($at + 1) % @primaries ];
}

for my $round (1 .. 3)
{
	for my $stream (@streams)
	{
		my @others = ('f', grep { $_ ne $stream } @streams);
		$cluster->move_slot($cluster->slot($stream), other($stream),
			marked => sub { $story->flow("round $round: the slot of $stream is marked: others flow", @others) if $round == 1; },
			moved => sub { $story->flow("round $round: a key is moved: others flow", @others) if $round == 1; });
	}
	$story->flow("round $round: by hand: messages flow at the other nodes", @streams);
}

# redis-cli takes a node's first slots.
my $low = OutboxTest::OnNodes::low_name();
for my $round (1, 2)
{
	my $from = $cluster->node_of($low);
	my $to = other($low);
	$cluster->reshard($from, $to, $OutboxTest::OnNodes::low);
	is($cluster->node_of($low)->{id}, $to->{id}, "round $round: redis-cli has moved a slot of ours");
	$cluster->wait_ok;
	$story->flow("round $round: messages flow there", $low);
}

SKIP: {
	my $how = $cluster->moves_atomically;
	skip 'this server has no atomic migration of slots', 1 unless $how;
	for my $round (1 .. 4)
	{
		for my $stream (@streams)
		{
			my $slot = $cluster->slot($stream);
			$cluster->move_atomically($slot, $slot, other($stream));
		}
	}
	$story->flow("by $how: messages flow", @streams);
}
is($story->end(500), 0, 'nothing was lost');
unlike(log_of($node), qr/WARNING/, 'nothing is warned of');
done_testing();
