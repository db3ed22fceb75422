# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that has a connection of its own keeps it while the one of the others is
# away, and goes on delivering (I2, I8): it does not go back to a connection that is down.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 5min');
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'first');
eventually { $redis->count('q') == 1 } 'messages flow';

# The relay's connections, as Redis has them: the oldest first.
my $client = $redis->client;
sub links { return [ map { /^id=(\d+) .* name=outbox / ? $1 : () } split /\n/, $client->try('CLIENT', 'LIST') ]; }
sub waits { return $client->try('INFO', 'clients') =~ /^blocked_clients:[1-9]/m; }

# No write is done for a while; the connection is cut twice at the same queue, which then
# gets one of its own.
my $paused = $redis->client;
$paused->try('CLIENT', 'PAUSE', 600000, 'WRITE');
put($node, $db, 'q', 'second');
for my $time (1 .. 2)
{
	eventually { @{ links() } == 1 && waits() } "a batch is under way, $time";
	$client->try('CLIENT', 'KILL', 'ID', links()->[0]);
}
eventually { @{ links() } == 2 && waits() } 'the queue has a connection of its own';

# The shared one is closed, and there is room for none.
my ($shared, $own) = @{ links() };
$client->try('CONFIG', 'SET', 'maxclients', 1);
$client->try('CLIENT', 'KILL', 'ID', $shared);
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'the one of the others is away';
$paused->try('CLIENT', 'UNPAUSE');
eventually { $client->try('XLEN', 'q') == 2 } 'the queue goes on';
my $ended = $client->try('INFO', 'stats') =~ /rejected_connections:(\d+)/ ? $1 : 0;
eventually { $client->try('INFO', 'stats') =~ /rejected_connections:(\d+)/ && $1 > $ended + 3 } 'the shared one is tried again and again';
for my $n (1 .. 5)
{
	put($node, $db, 'q', "later $n");
	eventually { $client->try('XLEN', 'q') == 2 + $n } "message $n goes while there is no other";
}
is_deeply(links(), [$own], 'on the same connection');

$client->try('CONFIG', 'SET', 'maxclients', 1000);
eventually { status($node, $db, 'state') eq 'running' } 'the shared one is back';
eventually { my $links = links(); @$links == 1 && $links->[0] != $own } 'and so is the queue';
audit($node, $db, $redis, ['q'], 8, 'nothing lost, nothing twice, in order');
done_testing();
