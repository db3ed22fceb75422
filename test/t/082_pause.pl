# Copyright (c) 2026, the outbox developers
#
# Promise: of a paused queue nothing is delivered, whatever is killed; enqueueing
# goes on, other queues flow, staging is emptied as ever; and when it is resumed
# everything comes, in order, once (I2, I3, I4, I8).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Gate;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = 20_000;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => gate_conf());
my $db = 'postgres';
install($node, $db, 'p', 'q', 'big');

sub sql { return $node->safe_psql($db, $_[0]); }

sub shown
{
	my ($queue, $columns) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.queue_status WHERE queue = '$queue'");
}

sub deferred
{
	my ($where) = @_;
	return ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE $where");
}

# Pausing is its transaction's.
put($node, $db, 'p', 'before');
settle($node, $db, $redis, 'p', 'q');
my $n = $redis->count('p');
my $session = session($node, $db);
$session->query_safe("BEGIN; SELECT outbox_pause_queue('p')");
put($node, $db, 'q', 'meanwhile');
eventually { $redis->count('q') == 2 } 'others flow while somebody is about to pause a queue';
$session->query_safe('ROLLBACK');
put($node, $db, 'p', 'not paused');
$n++;
eventually { $redis->count('p') == $n } 'pausing was rolled back';

# Paused: nothing comes, though others do that were enqueued later.
sql("SELECT outbox_pause_queue('p')");
put($node, $db, 'p', map { "held $_" } 1 .. 20);
put($node, $db, 'q', map { "flows $_" } 1 .. 20);
eventually { $redis->count('q') == 22 } 'others flow';
is($redis->count('p'), $n, 'nothing comes of a paused queue');
eventually { shown('p', 'state, waiting') eq 'paused|20' } 'its status says so';
is(shown('q', 'state'), 'flowing', 'and of the others that they flow');
$session->query_safe("BEGIN; SELECT outbox_resume_queue('p')");
put($node, $db, 'q', 'resuming');
eventually { $redis->count('q') == 23 } 'resuming isn\'t committed';
$session->query_safe('ROLLBACK');
put($node, $db, 'q', 'resuming was rolled back');
eventually { $redis->count('q') == 24 } 'resuming is rolled back';
is($redis->count('p'), $n, 'so it is still paused');
$session->quit;

sql("BEGIN; SELECT put('p', 'with the resuming'); SELECT outbox_resume_queue('p'); COMMIT");
eventually { $redis->count('p') == $n + 21 } 'resumed, it goes on at once';
audit($node, $db, $redis, [ 'p', 'q' ], 40, 'all, in order, once');

# Paused with batches on their way: what Redis has got isn't sent again.
sql("SELECT put('p', 'flood ' || i) FROM generate_series(1, 3000) AS i");
for my $round (1 .. 10)
{
	sql("SELECT outbox_pause_queue('p')");
	sql("SELECT put('p', 'between $round'); SELECT outbox_resume_queue('p')");
}
audit($node, $db, $redis, [ 'p', 'q' ], 3050, 'paused and resumed under way: all, in order, once');

# A relay that stumbles while it copies what waits leaves half-made copies behind;
# they aren't taken for the messages.
configure($node, 'outbox.retention' => '1s');
sql("SELECT outbox_pause_queue('p')");
set_gate($node, 'fail', 'INSERT INTO outbox.deferred SELECT s.*');
put($node, $db, 'p', (map { "on the way $_" } 1 .. 20), 'last');
eventually { log_of($node) =~ /failed at the gate/ } 'the relay stumbles';
sql("SELECT outbox_resume_queue('p')");
eventually { $redis->last_of('p') eq 'last' } 'resumed, it goes on';
open_gate($node);
is_deeply([ grep { /^on the way/ } map { $_->[1] } $redis->arrived('p') ],
	[ map { "on the way $_" } 1 .. 20 ], 'all has come');

# For long.  Staging is emptied, so what waits has to go elsewhere.
sql("SELECT outbox_pause_queue('big'), outbox_pause_queue('p')");
my $start = sql('SELECT clock_timestamp()');
sql("SELECT count(outbox_enqueue('big', 'n' || i)) FROM generate_series(1, $many / 2) AS i");
put($node, $db, 'p', map { "long $_" } 1 .. 5);
my $load = load($node, $db, writers => 1, queues => ['q'], max_delay => 0.01);
my $q_had = $redis->count('q');
eventually { deferred("reason = 'evacuated'") > 0 } 'what waits is evacuated';

# In the middle of which everything dies once.
kill 'KILL', wait_relay($node, $db);
eventually {
	ask($node, $db, "SELECT count(outbox_enqueue('big', 'n' || i)) FROM generate_series($many / 2 + 1, $many) AS i") eq $many / 2
} 'the rest is enqueued';
wait_relay($node, $db);
kill_hard($node);
$node->start;
wait_relay($node, $db);
$redis->stop_saved;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'Redis is away';
$redis->start_again;

my $flows = $redis->count('q');
eventually { deferred("reason = 'evacuated'") >= $many + 5 } "$many messages are evacuated";
eventually { $redis->count('q') > $flows } 'meanwhile the other queue flows';
$load->stop;
eventually {
	ask($node, $db, "SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')") eq '0'
} 'and both staging tables are emptied';
is(deferred("reason = 'evacuated'"), $many + 5, 'each message is held once');
is($redis->count('big'), 0, 'nothing has come of the paused queue');
eventually { shown('big', 'state, waiting') eq "paused|$many" } 'all are counted as waiting';

# What comes now is behind them.
sql("SELECT count(outbox_enqueue('big', 'n' || i)) FROM generate_series($many + 1, $many + 10) AS i");
sql("SELECT outbox_resume_queue('big')");
eventually { $redis->count('big') >= $many + 10 } 'resumed: they come';
my @got = map { $_->[1] } $redis->arrived('big');
is(scalar @got, $many + 10, 'each once');
my ($wrong) = grep { $got[$_] ne 'n' . ($_ + 1) } 0 .. $#got;
ok(!defined $wrong, 'in order') or diag("place $wrong: $got[$wrong]");

# Evacuated copies are kept for the retention, then go, some at a time, also if the
# queue is paused under way.  The other queue's stay until it is resumed, and so do
# those that are made meanwhile.
eventually { deferred("reason = 'evacuated'") < $many + 5 } 'copies of what was delivered go';
sql("SELECT outbox_pause_queue('big')");
sql("SELECT outbox_enqueue('big', 'n' || i) FROM generate_series($many + 11, $many + 13) AS i");
eventually { deferred("reason = 'evacuated'") eq '8' } 'all of them';
sql("SELECT outbox_resume_queue('p'), outbox_resume_queue('big')");
eventually { $redis->count('big') == $many + 13 } 'others don\'t';
audit($node, $db, $redis, [ 'p', 'q' ], 3100, 'the rest comes too, all, in order, once');
eventually { deferred('true') eq '0' } 'outbox.deferred is empty';
is($redis->count('big'), $many + 13, 'nothing has come again');

done_testing();
