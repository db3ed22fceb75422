# Copyright (c) 2026, the outbox developers
#
# Promise: of two standbys that were promoted from one primary, which have the same
# timeline, one delivers and the other one says why it does not (I2, I3): neither
# takes the other's cursor for its own.  The old primary is fenced.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Copies;
use PostgreSQL::Test::Cluster;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
my $db = 'postgres';
install($primary, $db, 'q', 'r');
$primary->backup('base');
my @twins;
for my $name ('first', 'second')
{
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	push @twins, $standby;
}
put($primary, $db, 'q', map { "before $_" } 1 .. 20);
settle($primary, $db, $redis, 'q', 'r');
$primary->wait_for_catchup($_) for @twins;
$primary->stop;

# The first one delivers.  The second one is there while it does, and writes as
# much.
my ($first, $second) = @twins;
$_->promote for @twins;
put($first, $db, 'q', map { "first $_" } 1 .. 20);
settle($first, $db, $redis, 'q', 'r');
put($second, $db, 'q', map { "second $_" } 1 .. 20) ;
eventually { held_why($second, $db) ne '' } 'the second one is held';
is(held_why($second, $db), 'foreign', 'as the cursors are of another history');
is($second->safe_psql($db, 'SELECT timeline FROM outbox.run ORDER BY number DESC LIMIT 1'),
	$first->safe_psql($db, 'SELECT timeline FROM outbox.run ORDER BY number DESC LIMIT 1'), 'though both have the same timeline');
put($first, $db, 'r', 'goes on');
audit($first, $db, $redis, [ 'q', 'r' ], 40, 'of the first one nothing lost, nothing twice, all in order');
is(scalar(grep { $_->[1] =~ /^second/ } $redis->arrived('q')), 0, 'nothing came from the second one');

# Somebody decides for the second one.
$first->stop;
$second->restart;
eventually { held_why($second, $db) eq 'foreign' } 'it is held still, also after a restart';
$second->safe_psql($db, q{SELECT outbox_release('foreign')});
settle($second, $db, $redis, 'q', 'r');
is_deeply([ grep { /^second/ } map { $_->[1] } $redis->arrived('q') ], [ map { "second $_" } 1 .. 20 ], 'released, it delivers all it has');

# The old primary has neither's history.
$primary->start;
put($primary, $db, 'q', 'from the old primary');
eventually { held_why($primary, $db) eq 'fenced' } 'the old primary is fenced';
is(scalar(grep { $_->[1] eq 'from the old primary' } $redis->arrived('q')), 0, 'and sends nothing');

done_testing();
