# Copyright (c) 2026, the outbox developers
#
# Promise: a connection by TLS goes on where Redis stands still for a while and what is to be
# sent to it grows meanwhile: what could not be sent is sent later, from wherever its bytes
# are then, and the connection stays.  Guards tls.c, transport.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Tls;
use PostgreSQL::Test::Utils;
use Test::More;

my $tls = OutboxTest::Tls->new;
$tls->make('server', san => 'IP:127.0.0.1,DNS:localhost');
my $redis = $tls->redis('server');
my $db = 'postgres';
my $node = new_node('main', url => $tls->url($redis->{tls_port}));
my @queues = map { "q$_" } 1 .. 8;
install($node, $db, @queues);
settle($node, $db, $redis, @queues);

# How much Linux takes is for it to say: sizes that go up.
my $n = 0;
for my $kb (map { 150 + 37 * $_ } 1 .. 8)
{
	$redis->pause;
	for my $queue (@queues)
	{
		$node->safe_psql($db, "SELECT put('$queue', repeat('x', $kb * 1000) || ' $kb ' || i) FROM generate_series(1, 3) AS i");
	}
	$redis->resume;
	$n += 3;
	eventually { !grep { $redis->count($_) < $n } @queues } "$kb kB each: all have come" or last;
}
unlike(log_of($node), qr/bad write retry/, 'sending goes on');
audit($node, $db, $redis, \@queues, 8 * $n, 'each once, whole');

done_testing();
