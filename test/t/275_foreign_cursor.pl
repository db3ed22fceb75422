# Copyright (c) 2026, the outbox developers
#
# Promise: a queue does not move to a server that has a cursor of its name which another
# history has made: it stands still and says so, nothing goes there, other queues go on, and
# the relay is not held.  When that cursor has been removed the move goes on, and nothing is
# lost or comes twice (I2, I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Servers;
use Test::More;

my $servers = OutboxTest::Servers->start(names => ['jobs'], queues => [qw(q r)], conf => "outbox.retention = 2\n");
my $node = $servers->node;
my $db = 'postgres';
my ($old, $new) = $servers->redis;
put($node, $db, $_, 'before') for qw(q r);
eventually { $old->count('q') == 1 && $old->count('r') == 1 } 'delivered';

# The same cursor, as a server would leave it that has never been this one.
my ($cursor) = grep { /\{q\}:outbox:/ } @{ $old->cmd('KEYS', '*:outbox:*') };
my %fields = @{ $old->cmd('HGETALL', $cursor) };
note("line: $fields{line}");
my $line = $fields{line};
$line =~ s/([0-9a-f]{8,})/my $id = $1; $id =~ m|[a-f]| ? $id =~ tr|0-9a-f|1-9a-f0| : $id =~ tr|0-9|1-90|; $id/ge;
isnt($line, $fields{line}, 'another history');
$new->cmd('HSET', $cursor, %fields, line => $line);

is($servers->alter('q', 1), '', 'the queue is to move');
eventually { $servers->queue_is('q') =~ /^blocked\|.*server "jobs" has a cursor \Q$cursor\E that is not this database's/ } 'it stands still, and says why';
put($node, $db, $_, 'meanwhile') for qw(q r);
eventually { $old->last_of('r') eq 'meanwhile' } 'another queue goes on';
is(status($node, $db, 'state'), 'running', 'the relay is not held');
is($new->count('q'), 0, 'nothing went there');
my $pid = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
another_relay($node, $db, $pid, 'another relay');
eventually { $servers->queue_is('q') =~ /^blocked\|.*that is not this database's/ } '... finds the same';
is($new->cmd('HGET', $cursor, 'line'), $line, 'that cursor is as it was');
is($new->cmd('HGET', $cursor, 'pos'), $fields{pos}, '... and where it was');
is($new->count('q') + $old->count('q'), 1, 'nothing went anywhere');

$new->cmd('DEL', $cursor);
eventually { $new->last_of('q') eq 'meanwhile' } 'when it is gone the queue goes on there';
eventually { $servers->ended('q') } 'and the move ends';
$servers->check(4, 'nothing is lost, nothing comes twice');

# One of three partitions can't come: the others do, and the move has not ended, however
# long that takes.
$node->safe_psql($db, q{SELECT outbox_create_queue('p', settings => '{"partitions": 3, "payload_type": "text"}')});
sub put_all { my ($body) = @_; return $node->safe_psql($db, "SELECT outbox_enqueue('p', '$body', key => 'key' || n) FROM generate_series(1, 30) AS n"); }
sub at { my ($redis) = @_; return map { $redis->count("{p:$_}") } 0 .. 2; }
put_all('before');
eventually { my $n = 0; $n += $_ for at($old); $n == 30 } 'partitions';
my @there = at($old);
my ($one) = grep { /\{p:1\}:outbox:/ } @{ $old->cmd('KEYS', '*:outbox:*') };
my %of_one = @{ $old->cmd('HGETALL', $one) };
$new->cmd('HSET', $one, %of_one, line => $line);
is($servers->alter('p', 1), '', 'their queue is to move');
put_all('meanwhile');
eventually { join(' ', at($new)) eq "$there[0] 0 $there[2]" } 'those that can go';
my $looks = $new->calls('evalsha');
eventually { $new->calls('evalsha') > $looks + 10 } 'longer than the retention';
ok(!$servers->ended('p'), 'the move has not ended');
is(join(' ', (at($old))[1], (at($new))[1]), "$there[1] 0", 'and the one that cannot stands still');
$new->cmd('DEL', $one);
eventually { join(' ', at($new)) eq "@there" } 'it goes when it can';
eventually { $servers->ended('p') } 'and the move ends';
is(join(' ', at($old)), "@there", 'nothing came twice');

done_testing();
