# Copyright (c) 2026, the outbox developers
#
# Promise: a queue with much to send does not keep the others from sending (I8).
# There are more queues with a backlog than the link takes batches at a time.  Each
# queue's first message arrives before any other queue's last.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $messages = 4000;
my @queues = map { "q$_" } 1 .. 40;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, @queues);
put($node, $db, $_, 'before') for @queues;
eventually { !grep { $redis->count($_) < 1 } @queues } 'all queues flow';

frozen
{
	$node->safe_psql($db,
		"SELECT outbox_enqueue(name, 'in the backlog') FROM outbox.queue, generate_series(1, $messages)");
}
relay_pid($node, $db);
eventually { !grep { $redis->count($_) <= $messages } @queues } 'the backlog has arrived';

# When an entry was made, to the order within a millisecond.
sub made_at
{
	my ($entry) = @_;
	my ($ms, $n) = split /-/, $entry->[0];
	return $ms + $n / 1e6;
}

my $last_to_begin = 0;
my $first_to_end = 9e15;
for my $queue (@queues)
{
	my $begin = made_at($redis->cmd('XRANGE', $queue, '-', '+', 'COUNT', 2)->[1]);
	my $end = made_at($redis->cmd('XREVRANGE', $queue, '+', '-', 'COUNT', 1)->[0]);
	$last_to_begin = $begin if $begin > $last_to_begin;
	$first_to_end = $end if $end < $first_to_end;
}
cmp_ok($last_to_begin, '<', $first_to_end, 'all queues have begun before one is done');

done_testing();
