# Copyright (c) 2026, the outbox developers
#
# Promise: a queue of a Redis Cluster that has a connection of its own follows its slot to
# another node like all others, also while the node that it leaves takes no more
# connections (I2, I3, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use Test::More;

my $cluster = OutboxTest::Slots->start;
my $node = new_node('main', url => $cluster->url(1), conf => 'outbox.retention = 5min');
my $db = 'postgres';
my ($first, @others) = @{ $cluster->{nodes} };
my ($queue) = grep { $cluster->node_of($_) != $first } 'a' .. 'z';
my $redis = $cluster->node_of($queue);
my ($to) = grep { $_ != $redis } @others;
install($node, $db, $queue);
put($node, $db, $queue, 'first');
eventually { $cluster->count($queue) == 1 } 'messages flow';

# The connection is cut twice at the same queue, which then gets one of its own.
my $client = $redis->client;
sub links { return [ map { /^id=(\d+) .* name=outbox / ? $1 : () } split /\n/, $client->try('CLIENT', 'LIST') ]; }
sub waits { return $client->try('INFO', 'clients') =~ /^blocked_clients:[1-9]/m; }
my $paused = $redis->client;
$paused->try('CLIENT', 'PAUSE', 600000, 'WRITE');
put($node, $db, $queue, 'second');
for my $time (1 .. 2)
{
	eventually { @{ links() } == 1 && waits() } "a batch is under way, $time";
	$client->try('CLIENT', 'KILL', 'ID', links()->[0]);
}
eventually { @{ links() } == 2 && waits() } 'the queue has a connection of its own';
my ($shared, $own) = @{ links() };
$client->try('CONFIG', 'SET', 'maxclients', 1);
$client->try('CLIENT', 'KILL', 'ID', $shared);
eventually { ask($node, $db, 'SELECT why FROM outbox.server_status') =~ /^node 127\.0\.0\.1:$redis->{config}{port}: / } 'there is room for no other';
$paused->try('CLIENT', 'UNPAUSE');
eventually { $cluster->count($queue) == 2 } 'the queue goes on';
is_deeply(links(), [$own], 'on its own connection');

$cluster->move_slot($cluster->slot($queue), $to);
put($node, $db, $queue, 'third');
eventually { $cluster->count($queue) == 3 } 'the queue goes where its slot is';
put($node, $db, $queue, "later $_") for 1 .. 5;
audit($node, $db, $cluster, [$queue], 8, 'nothing lost, nothing twice, in order');
eventually { !grep { $_ == $own } @{ links() } } 'its own connection is closed';
$client->try('CONFIG', 'SET', 'maxclients', 1000);
done_testing();
