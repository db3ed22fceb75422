# Copyright (c) 2026, the outbox developers
#
# Promise: two nodes of a cluster that name each other for a slot, as in a move that was
# left half done, are not asked as fast as they answer.  The queue waits and says why, others
# flow, and when the nodes agree its messages arrive once.  Guards has_left() in servers.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use Test::More;
use Time::HiRes qw(time);

my $cluster = OutboxTest::Slots->start;
my $node = new_node('main', url => $cluster->url);
my $db = 'postgres';
my ($one, $other) = (@{ $cluster->{nodes} })[ 0, 1 ];
my ($queue) = grep { $cluster->node_of($_) == $one } 'a' .. 'zz';
my ($beside) = grep { $cluster->node_of($_) == $other } 'a' .. 'zz';
install($node, $db, $beside);

# The first gives the slot away, and the second has not heard of it.
my $slot = $cluster->slot($queue);
my $id = $other->cmd('CLUSTER', 'MYID');
is($one->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $id), 'OK', 'a slot is given away');
$node->safe_psql($db, "SELECT create_queue('$queue')");
put($node, $db, $queue, 'first');
my $why = "SELECT state || ': ' || why FROM outbox.queue_status WHERE queue = '$queue'";
eventually { ask($node, $db, $why) =~ /^waiting for redis: nodes of the cluster name each other: MOVED $slot / } 'the queue waits, and says why';

# What is answered by MOVED counts as rejected.
sub rejected { my ($redis) = @_; return $redis->cmd('INFO', 'commandstats') =~ /^cmdstat_hgetall:.*rejected_calls=(\d+)/m ? $1 : 0; }
my $asked = sub { return rejected($one) + rejected($other) };
my ($began, $had) = (time, $asked->());
put($node, $db, $beside, $_) for 1 .. 20;
wait_for { time > $began + 3 };
my $each_second = ($asked->() - $had) / (time - $began);
cmp_ok($each_second, '>', 1, 'they are asked again');
cmp_ok($each_second, '<', 25, sprintf 'they are asked %.0f times a second', $each_second);
is($cluster->count($beside), 20, 'another queue flows');

is($other->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $id), 'OK', 'the second takes it');
$cluster->{owner}[$slot] = $other;
put($node, $db, $queue, 'second');
eventually { (eval { $cluster->count($queue) } // 0) == 2 } 'both messages arrive';
is(join(' ', map { $_->[1] } $cluster->arrived($queue)), 'first second', 'once, in order');

done_testing();
