# Copyright (c) 2026, the outbox developers
#
# Promise: in order (I4), with nothing lost, doubled or invented (I1 to I3)
# while eight writers commit, roll back and use savepoints with random delays
# between enqueue and commit.  This is the sequence-gap bug's test: numbers are
# drawn in one order and become visible in another.

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
my @queues = ('a', 'b', 'c');
install($node, $db, @queues);

# Some transactions are much longer than others.
my $load = load($node, $db, writers => 6, queues => \@queues, max_delay => 0.01);
my $slow = load($node, $db, writers => 2, queues => \@queues, max_delay => 0.3, rounds => 2);
eventually {
	$node->safe_psql($db, 'SELECT count(*) > 4000 FROM journal') eq 't'
} 'the writers write';
$_->stop for $load, $slow;

my $n = audit($node, $db, $redis, \@queues, 4000, 'order under concurrent writers');

# The status agrees.  It may lag by a fraction of a second.
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';
eventually { status($node, $db, 'delivered') eq $n } "delivered says $n";

done_testing();
