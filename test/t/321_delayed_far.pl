# Copyright (c) 2026, the outbox developers
#
# Promise: messages that are delayed for long cost nothing until they are due (I8).  They
# are counted a few at a time, and the count reads no others.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'far');
my $n = 50_000;

$node->safe_psql($db, "SELECT count(outbox_enqueue('far', 'x', delay => '30 days'::interval + i * '1 s'::interval))"
	  . " FROM generate_series(1, $n) AS i");

# Entries of the index that the relay has read: its counts are the only ones who do.
my $read = sub {
	ask($node, $db, q{SELECT pg_stat_get_tuples_returned('outbox.deferred_due'::regclass)});
};
eventually { $read->() >= 2000 } 'they are counted';
my $before = $read->();
eventually { $read->() >= $before + 4000 } 'further ones each time';
cmp_ok($read->() - $before, '<', $n, 'and not all of them');

$node->safe_psql($db, q{SELECT outbox_enqueue('far', 'at once'), outbox_enqueue('far', 'soon', delay => '1 s')});
eventually { $redis->count('far') == 2 } 'others are delivered';

# When all are counted, and nothing changes, they are not counted again.  The look for what is
# due next reads one of them each second.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$db = 'other';
install($node, $db, 'far');
my $m = 5900;
my $id = $node->safe_psql($db, "SELECT outbox_enqueue('far', 'x', delay => '30 days'::interval + i * '1 s'::interval)"
	  . " FROM generate_series(1, $m) AS i OFFSET $m - 1");
my $delayed = sub { ask($node, $db, q{SELECT sum(delayed) FROM outbox.queue_status}) };
eventually { $delayed->() == $m } 'all are counted';
my $rests = sub {
	my $had = $read->();
	eventually { $read->() >= $had + 10 } 'time passes';
	return $read->() - $had < 1000;
};
eventually { $rests->() } 'and not again and again';
is($node->safe_psql($db, "SELECT outbox_cancel('$id')"), 't', 'one is taken back');
eventually { $delayed->() == $m - 1 } 'which is counted';
$node->safe_psql($db, q{SELECT outbox_create_queue('further'); SELECT outbox_enqueue('further', '1', delay => '30 days')});
eventually { $delayed->() == $m } 'so is one of a queue that is new';
eventually { $rests->() } 'and then they rest again';

done_testing();
