# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that Redis refuses stands still and loses nothing (I2), the
# others flow (I8), status says why, and it goes on by itself, in order, when
# it is mended (I4).  What the server cannot do now is nobody's fault and
# burns nothing (I9).

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
install($node, $db, 'good', 'bad');

put($node, $db, 'bad', 'before');
settle($node, $db, $redis, 'good', 'bad');
$redis->cmd('RENAME', 'bad', 'aside');
$redis->cmd('SET', 'bad', 'of another type');
put($node, $db, 'bad', map { "refused $_" } 1 .. 30);
for my $i (1 .. 10)
{
	put($node, $db, 'good', "good $i");
	put($node, $db, 'bad', "more $i");
}
eventually { $redis->count('good') == 11 } 'the other queue flows';
eventually { status($node, $db, 'last_error') =~ /WRONGTYPE/ } 'status has the error';
is(status($node, $db, q{last_error ~ 'bad' OR why ~ 'bad'}), 't', 'and the name of the queue');
eventually { status($node, $db, 'waiting') == 40 } 'status counts what stands still';
my $good = 11;
at_best
{
	$good++;
	seconds { put($node, $db, 'good', 'quickly'); wait_for { $redis->count('good') == $good } }
} 1, 'the other queue is not slowed down';

# A restart changes nothing.
$node->safe_psql($db, 'SELECT pg_terminate_backend(' . relay_pid($node, $db) . ')');
put($node, $db, 'good', 'after the relay');
eventually { $redis->count('good') == $good + 1 } 'nor does a new relay stop at it';

$redis->cmd('DEL', 'bad');
$redis->cmd('RENAME', 'aside', 'bad');
eventually { $redis->count('bad') == 42 } 'mended, it goes on without being asked';
audit($node, $db, $redis, [ 'good', 'bad' ], 50, 'nothing lost, nothing twice, all in order');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';

# The cursor itself is refused.
my ($cursor) = @{ $redis->cmd('KEYS', '{bad}:outbox:*') };
my $saved = $redis->cmd('DUMP', $cursor);
$redis->cmd('SET', $cursor, 'of another type');
put($node, $db, 'bad', 'cursor refused');
put($node, $db, 'good', 'not concerned');
eventually { $redis->last_of('good') eq 'not concerned' } 'the other queue flows when a cursor is of the wrong type';
my $count = $redis->count('bad');
$redis->cmd('DEL', $cursor);
$redis->cmd('RESTORE', $cursor, 0, $saved);
audit($node, $db, $redis, [ 'good', 'bad' ], 53, 'mended, nothing was lost, nothing came twice');

# The server cannot now.  OOM is answered inside scripts too.
$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
put($node, $db, 'good', map { "no memory $_" } 1 .. 5);
eventually { status($node, $db, 'last_error') =~ /OOM/ } 'no memory: status has the error';
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'no memory: the relay waits for Redis';
$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
audit($node, $db, $redis, [ 'good', 'bad' ], 60, 'memory is there again: all arrived');

# A replica is not where to write.
$redis->cmd('REPLICAOF', '127.0.0.1', '1');
put($node, $db, 'good', map { "read only $_" } 1 .. 5);
eventually { status($node, $db, 'last_error') =~ /READONLY/ } 'read only: status has the error';
$redis->cmd('REPLICAOF', 'NO', 'ONE');
audit($node, $db, $redis, [ 'good', 'bad' ], 67, 'writable again: all arrived');

# Scripts forgotten in between are loaded again.
$redis->cmd('SCRIPT', 'FLUSH');
put($node, $db, 'good', 'without its script');
audit($node, $db, $redis, [ 'good', 'bad' ], 70, 'SCRIPT FLUSH is not noticed');

# A queue dropped while it has messages is refused, and forced if one insists.
$redis->cmd('RENAME', 'bad', 'aside');
$redis->cmd('SET', 'bad', 'of another type');
put($node, $db, 'bad', 'to be thrown away');
my ($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('bad')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
isnt($rc, 0, 'a queue with messages that wait is not dropped');
like($err, qr/ERROR:  55006: /, 'with its SQLSTATE');
$node->safe_psql($db, "SELECT outbox_drop_queue('bad', force => true)");
eventually { status($node, $db, 'waiting') eq '0' } 'forced, nothing waits any more';
put($node, $db, 'good', 'goes on');
eventually { $redis->last_of('good') eq 'goes on' } 'the other queue goes on';
eventually { $node->psql($db, "SELECT outbox_drop_queue('good')") == 0 } 'and is dropped when the relay knows that nothing waits';

done_testing();
