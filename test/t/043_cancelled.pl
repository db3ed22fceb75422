# Copyright (c) 2026, the outbox developers
#
# Promise: who cancels queries does not end the relay: it has none that somebody
# waits for.  Guards the handler of SIGINT in relay/relay.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
my $relay = relay_pid($node, $db);
my $n = 100;

for my $i (1 .. $n)
{
	put($node, $db, 'q', "message $i") if $i % 10 == 0;
	$node->safe_psql('template1', "SELECT pg_cancel_backend($relay)");
}
audit($node, $db, $redis, ['q'], $n / 10, 'cancelled all the time: all arrive');
is(relay_pid($node, $db), $relay, 'the relay is the same');

done_testing();
