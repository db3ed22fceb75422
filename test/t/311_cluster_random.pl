# Copyright (c) 2026, the outbox developers
#
# Promise: whatever happens to the nodes of a cluster, in any order, and to the relay and
# PostgreSQL beside it: nothing is lost (I2), nothing comes twice but what Redis had lost
# (I3), each stream is in order (I4), no attempt is counted (I9).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::OnNodes;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{OUTBOX_TEST_SEED} // int rand 1_000_000;
srand $seed;
note("OUTBOX_TEST_SEED=$seed");

my $waits = rand() < 0.5;
my $story = OutboxTest::OnNodes->begin(
	parameters => [ $waits ? 'wait_replicas=1' : () ], conf => 'outbox.retention = ' . ($waits ? '1s' : '5min'), redis => { 'cluster-require-full-coverage' => rand() < 0.5 ? 'yes' : 'no' });
my ($cluster, $node, $db) = @$story{qw(cluster node db)};

sub any { return @_ ? $_[ rand @_ ] : undef; }
sub any_primary { return any($cluster->primaries); }

# A primary of ours and its replica, if it has one.
sub shard
{
	my $primary = $cluster->node_of(any($story->streams));
	return ($primary, any($cluster->replicas_of($primary)));
}

my %events = (
	'a slot moves' => sub {
		my $slot = $cluster->slot(any($story->streams));
		$cluster->move_slot($slot, any_primary());
	},
	'a slot moves atomically' => sub {
		return 0 unless $cluster->moves_atomically;
		my $slot = $cluster->slot(any($story->streams));
		$cluster->move_atomically($slot, $slot, any_primary());
	},
	'a move is given up' => sub {
		my ($stream, $to) = (any($story->streams), any_primary());
		my ($slot, $from) = ($cluster->slot($stream), $cluster->node_of($stream));
		return 0 if $to == $from;
		$to->cmd('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
		$from->cmd('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});
		$story->flow('others flow', any($story->elsewhere($from)));
		$_->cmd('CLUSTER', 'SETSLOT', $slot, 'STABLE') for $from, $to;
	},
	'a primary is killed' => sub {
		my ($primary, $replica) = shard();
		return 0 unless $replica;
		$primary->kill9;
		$cluster->wait_primary($replica);
		$primary->start_again;
	},
	'a primary hangs' => sub {
		my ($primary, $replica) = shard();
		return 0 unless $replica;
		$primary->pause;
		$cluster->wait_primary($replica) if rand() < 0.5;
		$primary->resume;
	},
	'a replica takes over' => sub {
		my ($primary, $replica) = shard();
		return 0 unless $replica;
		my $cut = rand() < 0.5;
		$story->cut_off($replica, $primary) if $cut;
		$story->flow('it takes messages', any($story->on($primary))) if $cut;
		$cluster->failover($replica, $cut ? 'TAKEOVER' : undef);
		$story->let_in($replica);
	},
	'the relay is killed' => sub {
		my $pid = relay_pid($node, $db) or return 0;
		kill 'KILL', $pid;
	},
	'PostgreSQL is killed' => sub { kill_hard($node); $node->start; },
	'connections are cut' => sub { $_->drop_clients for any_primary(); });

# Each once, and then any of them.
my $end = time + ($ENV{OUTBOX_TEST_SECONDS} // 15);
my @first = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand, $_ ] } sort keys %events;
my $n = 0;
while (@first || time < $end)
{
	my $event = shift @first // any(sort keys %events);
	note("event: $event");
	next if ($events{$event}->() // '') eq '0';
	$story->flow(++$n . ": $event: messages flow", any($story->streams));
	$cluster->wait_ok;
}
$story->end(500);
done_testing();
