# Copyright (c) 2026, the outbox developers
#
# Promise: memory does not grow with what is staged again at a time (I8).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, q{SELECT create_queue('dead', on_failure => 'dead_letter')});
refuse($redis, 'dead');

# They are compressed: a megabyte takes some pages.
$node->safe_psql($db, q{SELECT count(outbox_enqueue('dead', repeat('x', 1000000))) FROM generate_series(1, 400) AS i});
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.dead_letter') eq '400' } 'all are given up';
my $session = session($node, $db);
my $pid = $session->query_safe('SELECT pg_backend_pid()');

sub most
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /VmHWM:\s+(\d+)/;
	return $kb;
}

my $before = most();
is($session->query_safe(q{SELECT outbox_replay_queue('dead')}), '400', 'all are replayed');
cmp_ok(most() - $before, '<', 150_000, 'in memory for a part of them');
$session->quit;
done_testing();
