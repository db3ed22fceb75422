# Copyright (c) 2026, the outbox developers
#
# Promise: a queue isn't dropped with messages waiting, whatever the snapshot
# of who drops it (I2), nor while somebody enqueues to it; and dropping it
# blocks nobody (I7).

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
install($node, $db, 'q');
put($node, $db, 'q', 'before');
settle($node, $db, $redis, 'q');
my $n = $redis->count('q');

# A transaction whose snapshot is older than the queue's first message.
$node->safe_psql($db, "SELECT create_queue('fresh')");
$redis->pause;
my $old = session($node, $db);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM journal');
put($node, $db, 'fresh', 'after its snapshot');
$old->query("SELECT outbox_drop_queue('fresh'); COMMIT");
$old->quit;
is($node->safe_psql($db, "SELECT count(*) FROM outbox.queue WHERE name = 'fresh'"), 1, 'an old snapshot drops nothing that waits');
$redis->resume;
eventually { $redis->count('fresh') == 1 } 'the message arrives';

# A transaction that has enqueued and is open.
my $open = session($node, $db);
$open->query_safe("BEGIN; SELECT put('q', 'open')");
my ($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('q')");
isnt($rc, 0, 'a queue in use is not dropped');
like($err, qr/in use by another transaction/, 'and the error says so');
ok(eval { put($node, $db, 'q', 'meanwhile'); 1 }, 'nobody waits behind it');
$open->query_safe('COMMIT');
$open->quit;
eventually { $redis->count('q') == $n + 2 } 'both arrive';

# A transaction that has altered it and is open; one that has locked a table which
# is captured to it.  Dropping waits for none of them, and nobody waits behind it.
$open = session($node, $db);
$open->query_safe("BEGIN; SELECT outbox_pause_queue('q')");
($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('q', force => true)");
like($err, qr/queue "q" is in use by another transaction/, 'a queue that is being altered is not dropped');
$open->query_safe('ROLLBACK');
$node->safe_psql($db, "CREATE TABLE captured (id int PRIMARY KEY); SELECT outbox_capture('captured', 'q')");
($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('q')");
like($err, qr/tables are captured to queue "q"\nDETAIL:  They are public.captured/, 'nor one that a table is captured to');
$open->query_safe('BEGIN; INSERT INTO captured VALUES (1)');
($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('q', force => true)");
like($err, qr/in use by another transaction/, 'by force: not while somebody writes to it');
$open->query_safe('COMMIT');
$open->query_safe('BEGIN; LOCK TABLE captured IN SHARE MODE');
($rc, undef, $err) = $node->psql($db, "SELECT outbox_drop_queue('q', force => true)");
like($err, qr/lock timeout/, 'nor while somebody has locked it');
ok(eval { put($node, $db, 'q', 'after that'); 1 }, 'nobody waits behind it');
$open->query_safe('ROLLBACK');
$open->quit;
$node->safe_psql($db, "SELECT outbox_uncapture('captured', 'q')");
$n += 2;
eventually { $redis->count('q') == $n + 2 } 'both arrive';

# Nothing waits: then it is dropped at once, and its cursor goes.
eventually { $node->psql($db, "SELECT outbox_drop_queue('q')") == 0 } 'when the relay knows that nothing waits, it is dropped';
eventually { @{ $redis->cmd('KEYS', '{q}:outbox:*') } == 0 } 'a dropped queue leaves no cursor';
is($redis->count('q'), $n + 2, 'the stream is left alone');
($rc, undef, $err) = $node->psql($db, "SELECT outbox_enqueue('q', 'x')");
like($err, qr/queue "q" does not exist/, 'it is gone');

done_testing();
