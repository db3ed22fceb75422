# Copyright (c) 2026, the outbox developers
#
# Promise: a queue's cursor goes with it to another server, with the messages that are
# skipped; where it was, a seal keeps others out.  A server that loses that it has come
# gets it again.  A server that is out of reach is not left without being told how many messages may
# come twice, and then none is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Servers;
use PostgreSQL::Test::Utils;
use Test::More;

my $servers = OutboxTest::Servers->start(queues => [qw(q r)], conf => "outbox.retention = 1\n");
my $node = $servers->node;
my @redis = $servers->redis;
my @names = $servers->names;
my $db = 'postgres';

# What is skipped goes with it, and comes once, at the new server.
sub where { my $server = $servers->setting('q', 'server'); return (grep { $names[$_] eq ($server eq '-' ? $names[0] : $server) } 0 .. 2)[0]; }
put($node, $db, 'q', 'the first');
my $at = where();
my $to = ($at + 1) % 3;
$node->safe_psql($db, "SELECT outbox_alter_queue('q', on_failure => 'retry', retry_delay => '1 hour', max_attempts => 5)");
$redis[$at]->cmd('RENAME', 'q', 'q.kept');
$redis[$at]->cmd('SET', 'q', 'no stream');
$node->safe_psql($db, q{SELECT outbox_enqueue('q', 'skipped')});
eventually { ask($node, $db, "SELECT retrying FROM outbox.queue_status WHERE queue = 'q'") eq '1' } 'a message is skipped';
is($servers->alter('q', $to), '', 'the queue is moved');
eventually { $servers->ended('q') } 'and has come';
$redis[$at]->cmd('RENAME', 'q.kept', 'q');
$node->safe_psql($db, q{SELECT outbox_enqueue('q', 'passes it')});
eventually { $redis[$to]->last_of('q') eq 'passes it' } 'others go';
is(ask($node, $db, "SELECT retrying FROM outbox.queue_status WHERE queue = 'q'"), '1', '... and it is skipped still');
$node->safe_psql($db, "UPDATE outbox.deferred SET due_at = now()");
$node->safe_psql($db, "SELECT pg_terminate_backend($_)") for relay_pid($node, $db);
eventually { grep { $_->[1] eq 'skipped' } $redis[$to]->arrived('q') } 'when it is due it goes to the new server';
$redis[$_]->cmd('DEL', 'q') for 0 .. 2;
$node->safe_psql($db, 'TRUNCATE journal');

# Who comes later to where the queue was finds the seal, and delivers nothing there.
($at, $to) = ($to, ($to + 1) % 3);
my ($cursor) = grep { /:outbox:/ } @{ $redis[$at]->cmd('KEYS', '*q*:outbox:*') };
is($servers->alter('q', $to), '', 'on it goes');
eventually { $servers->ended('q') } '... and has come';
like($redis[$at]->cmd('HGET', $cursor, 'moved'), qr/ $names[$to]$/, 'the old cursor says where to');
my $row = "server = " . ($at ? "'$names[$at]'" : 'NULL');
my $count = $redis[$at]->count('q');
$node->safe_psql($db, "UPDATE outbox.queue SET $row WHERE name = 'q'");    # as a failover that loses the move
put($node, $db, 'q', 'after the loss');
eventually { ask($node, $db, "SELECT state, why FROM outbox.queue_status WHERE queue = 'q'") =~ /^blocked\|.*moved to server "$names[$to]"/ } 'it says so';
is($redis[$at]->count('q'), $count, 'nothing is delivered there');
is($servers->alter('q', $to), '', 'the move is made again');
eventually { $redis[$to]->last_of('q') eq 'after the loss' } 'it goes on where it had been';
eventually { $servers->ended('q') } '... and ends';
$servers->check(1, 'nothing is lost or doubled by that');

# A server that loses that the cursor has come gets it again.
($at, $to) = ($to, ($to + 1) % 3);
configure($node, 'outbox.retention' => 60);
is($servers->alter('q', $to), '', 'once more');
eventually { my $here = $redis[$to]->cmd('HGET', $cursor, 'arrived'); defined $here && $redis[$at]->cmd('HGET', $cursor, 'moved') =~ /^\Q$here\E / } 'it has come';
$redis[$to]->cmd('DEL', $cursor);
put($node, $db, 'q', 'after that');
eventually { $redis[$to]->last_of('q') eq 'after that' } 'it goes on';
$servers->check(1, 'and nothing comes twice');

# The old server is out of reach.
$redis[$to]->kill9;
my $away = $to;
$to = ($to + 1) % 3;
eventually { ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = 'q'") eq 'waiting for redis' } 'a server is away';
put($node, $db, 'q', 'while it is away');
like($servers->alter('q', $to), qr/ERROR:  55(006|000): .*\n.*HINT:  .*server_force/s, 'no move without it');
like($servers->alter('q', $to, ', "server_force": true'), qr/NOTICE:  \S+ queue "q" goes on without its cursor on server "$names[$away]": up to [1-9]\d* messages may come twice/, 'unless it is forced, with the number');
eventually { $redis[$to]->last_of('q') eq 'while it is away' } 'nothing is lost';
eventually { $servers->ended('q') } '... and the move has ended';
done_testing();
