# Copyright (c) 2026, the outbox developers
#
# Promise: the relay's memory is bounded (052), also with thousands of queues: each may
# then remember but a thousand rows of what is to come.  What doesn't fit is read later,
# and nothing is lost or out of order for it (I2, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q', 'r');
$node->safe_psql($db, q{SELECT count(create_queue('queue ' || i)) FROM generate_series(1, 2200) AS i});

# One of the last ones: when that flows, the relay knows them all.
$node->safe_psql($db, q{SELECT outbox_enqueue('queue ' || i, 'x') FROM generate_series(1, 2200) AS i});
eventually { $redis->count("queue $_") == 1 } "queue $_ flows" for 1, 2200;

# Large transactions, one of them open while others commit: its numbers are between
# theirs, and in another tick.
my $open = session($node, $db);
$open->query_safe(q{BEGIN; SELECT put('q', 'open ' || i) FROM generate_series(1, 3000) AS i});
$node->safe_psql($db, q{SELECT put('q', 'large ' || i), put('r', 'large ' || i) FROM generate_series(1, 6000) AS i});
$open->query_safe(q{SELECT put('q', 'still open ' || i) FROM generate_series(1, 3000) AS i});
put($node, $db, 'q', 'behind');
$open->query_safe('COMMIT');
$open->quit;
audit($node, $db, $redis, [ 'q', 'r' ], 18_000, 'all, each once, in order');

done_testing();
