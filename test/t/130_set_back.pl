# Copyright (c) 2026, the outbox developers
#
# Promise: a server that was set back to an older volume never takes a cursor of
# the time after it for its own, however much WAL it has written before it comes to
# read it (I2): it is held, says why, stays held through restarts, and
# outbox_release() lets it begin anew.
#
# 064 has a server that is set back between two orderly starts.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Copies;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q', 'r');
put($node, $db, 'q', map { "before $_" } 1 .. 10);
settle($node, $db, $redis, 'q', 'r');
volume($node, 'old');

put($node, $db, 'q', map { "forgotten $_" } 1 .. 30);
settle($node, $db, $redis, 'q', 'r');
my $count = $redis->count('q');
my ($cursor) = @{ $redis->cmd('KEYS', '{q}:outbox:*') };
my ($lsn) = $redis->cmd('HGET', $cursor, 'pos') =~ m{^(\S+)};

# Redis is away while the server writes past the cursor.
$node->stop('immediate');
put_back($node, 'old');
$redis->stop_saved;
$node->start;
put($node, $db, 'q', map { "after $_" } 1 .. 20);
$node->safe_psql($db, 'CREATE TABLE much AS SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i');
is($node->safe_psql($db, "SELECT pg_current_wal_flush_lsn() > '$lsn'"), 't', 'its WAL has passed the cursor');
$redis->start_again;

eventually { held_why($node, $db) eq 'set back' } 'held';
like(status($node, $db, 'why'), qr/outbox_release\('set back'\)/, 'status says what to do');
like(log_of($node), qr/WARNING:.*outbox holds all messages/, 'the log says so');
is($node->safe_psql($db, 'SELECT held FROM outbox.relay_state'), 'set back', 'it is in the database');

# It stays so: for the next relay, after a crash, with Redis away, when somebody
# has removed the cursor.
my $relay = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($relay)");
another_relay($node, $db, $relay);
eventually { held_why($node, $db) eq 'set back' } 'held for the next relay';
$node->stop('immediate');
$redis->stop_saved;
$node->start;
eventually { held_why($node, $db) eq 'set back' } 'held after a crash, without Redis';
$redis->start_again;
$redis->cmd('DEL', $cursor);
$node->restart;
eventually { held_why($node, $db) eq 'set back' } 'held without a cursor';
is($redis->count('q'), $count, 'nothing was sent');
eventually { status($node, $db, 'waiting >= 20') eq 't' } 'the status counts what waits';

is($node->safe_psql($db, q{SELECT messages >= 20 FROM outbox_release('set back')}), 't', 'released');
settle($node, $db, $redis, 'q', 'r');
my @after = grep { /^after/ } map { $_->[1] } $redis->arrived('q');
is_deeply(\@after, [ map { "after $_" } 1 .. 20 ], 'all that it has comes, in order, once');
eventually { status($node, $db, 'state') eq 'running' } 'it runs';
$node->restart;
put($node, $db, 'q', 'last');
settle($node, $db, $redis, 'q', 'r');
is(status($node, $db, 'state'), 'running', 'also after a restart');

done_testing();
