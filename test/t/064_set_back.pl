# Copyright (c) 2026, the outbox developers
#
# Promise: a server that was set back to an older copy of its files, on the same
# timeline, does not go on as if nothing had happened: it would give out numbers
# and transaction ids again that the cursor in Redis covers, and lose messages
# (I2).  It is held, says why, and outbox_release() lets it begin anew.

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
install($node, $db, 'q', 'r');
put($node, $db, 'q', map { "before $_" } 1 .. 10);
settle($node, $db, $redis, 'q', 'r');

my $data = $node->data_dir;
$node->stop;
system_or_bail('cp', '-a', $data, "$data.old");
$node->start;
put($node, $db, 'q', map { "forgotten $_" } 1 .. 30);
settle($node, $db, $redis, 'q', 'r');
my $count = $redis->count('q');
$node->stop;
system_or_bail('mv', $data, "$data.new");
system_or_bail('mv', "$data.old", $data);
$node->start;

eventually { status($node, $db, 'state') eq 'held' } 'a server that was set back is held';
put($node, $db, 'q', map { "after $_" } 1 .. 20);
like(status($node, $db, 'why'), qr/^foreign: .*set back/, 'status says why');
is($redis->count('q'), $count, 'nothing is sent');
$node->safe_psql($db, 'SELECT outbox_release(\'foreign\')');
settle($node, $db, $redis, 'q', 'r');
my @after = grep { /^after/ } map { $_->[1] } $redis->arrived('q');
is_deeply(\@after, [ map { "after $_" } 1 .. 20 ], 'released, it delivers what it has, in order');
eventually { status($node, $db, 'state') eq 'running' } 'the state is "running"';

done_testing();
