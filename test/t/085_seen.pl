# Copyright (c) 2026, the outbox developers
#
# Promise: outbox.queue_status and outbox.status tell what has become of a
# queue's messages, what it waits for and since when; totals survive a restart,
# and a crash but for what was counted last; and looking reads no messages.
# outbox_resend() delivers again what was delivered and is retained, that and
# nothing else.

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
install($node, $db, 'q', 'b');

sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { return join ' ', map { $_->[1] } $redis->arrived($_[0]); }
sub break_it { $redis->cmd('RENAME', $_[0], "$_[0] aside"); return $redis->cmd('SET', $_[0], 'of another type'); }
sub mend_it { return $redis->cmd('RENAME', "$_[0] aside", $_[0]); }

sub seen
{
	my ($queue, $columns) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.queue_status WHERE queue = '$queue'");
}

sub wait_seen
{
	my ($queue, $columns, $expect, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $got;
	eventually { $got = seen($queue, $columns); $got eq $expect } $name
	  or diag("$columns of $queue: $got, not $expect");
	return;
}

my $counts = 'enqueued, delivered, failed, dead_lettered, expired, waiting, delayed, retrying, dead_letters';

# Nothing yet.
sql("SELECT create_queue('r', on_failure => 'retry', max_attempts => 2,"
	  . " retry_delay => '300 ms', retry_backoff => 1)");
wait_seen('r', "$counts, oldest, latency_p50, latency_p99, last_error, last_success", '0|0|0|0|0|0|0|0|0|||||',
	'a new queue');
wait_seen('r', 'state, why', 'flowing|', 'it flows');

# A history.  10 go; 3 are for later, of which one is taken back.
sql("SELECT outbox_enqueue('r', 'r' || i) FROM generate_series(1, 10) AS i");
sql("BEGIN; SELECT outbox_enqueue('r', 'rolled back'); ROLLBACK");
sql("SELECT outbox_enqueue('r', 'later', delay => '1 hour') FROM generate_series(1, 3)");
wait_seen('r', $counts, '13|10|0|0|0|0|3|0|0', 'delivered, and for later');
sql("SELECT outbox_cancel((SELECT id FROM outbox.deferred LIMIT 1))");
wait_seen('r', $counts, '12|10|0|0|0|0|2|0|0', 'one is taken back');
is(seen('r', q{last_success BETWEEN now() - interval '1 min' AND now() + interval '1 s'}), 't', 'when the last one went');
is(seen('r', 'latency_p50 > 0 AND latency_p50 <= latency_p99 AND latency_p99 < 100'), 't', 'how long they took');

# Two are refused and die of it, with one attempt that failed between.
break_it('r');
sql("SELECT outbox_enqueue('r', 'dies', key => 'k'), outbox_enqueue('r', 'dies behind', key => 'k')");
wait_seen('r', $counts, '14|10|4|2|0|0|2|0|2', 'two dead letters after two attempts each');
is(seen('r', 'last_error ~ $$^WRONGTYPE$$, last_error_at < now(), state, why IS NULL'), 't|t|flowing|t', 'the last error');
like(status($node, $db, 'summary'), qr/^running; 2 dead letters$/, 'in one line');

# Two are held, and go when it is mended.
sql("SELECT outbox_alter_queue('r', max_attempts => 1000, retry_delay => '1 hour', retry_max_delay => '1 hour')");
sql("SELECT outbox_enqueue('r', 'held', key => 'k'), outbox_enqueue('r', 'held behind', key => 'k')");
wait_seen('r', $counts, '16|10|5|2|0|0|2|2|2', 'two are held');
mend_it('r');
let_due($node, $db, $redis);
sql("SELECT outbox_replay(id) FROM outbox.dead_letters WHERE payload #>> '{}' = 'dies'");
eventually { (split /\|/, seen('r', $counts))[1] == 13 } 'all that can go has';
wait_seen('r', $counts =~ s/failed, //r, '17|13|2|0|0|2|0|1', 'a replayed one counts again');
cmp_ok(seen('r', 'failed'), '>=', 5, 'attempts that failed');

# Expired.
sql("SELECT outbox_pause_queue('r')");
sql("SELECT outbox_enqueue('r', 'expires')");
sql("SELECT outbox_alter_queue('r', expires_after => '1 ms')");
wait_seen('r', 'state, waiting', 'paused|1', 'paused, one waits');
is(seen('r', 'since = (SELECT paused_at FROM outbox.queue WHERE name = $$r$$), why IS NULL,'
		  . ' oldest BETWEEN interval $$0$$ AND interval $$1 min$$'), 't|t|t', 'since when');
like(status($node, $db, 'summary'), qr/^queue r paused since 20\S+ [^ ;]+; 1 dead letter$/, 'in one line');
sql("SELECT outbox_resume_queue('r')");
wait_seen('r', $counts =~ s/failed, //r, '18|13|3|1|0|2|0|2', 'an expired one is counted as dead and as expired');
sql("SELECT outbox_alter_queue('r', expires_after => '0')");

# Blocked.
sql("SELECT outbox_enqueue('b', 'before')");
eventually { $redis->count('b') == 1 } 'b flows';
break_it('b');
my $id = sql("SELECT outbox_enqueue('b', 'blocks')");
sql("SELECT outbox_enqueue('b', 'behind')");
wait_seen('b', 'state, waiting', 'blocked|2', 'blocked');
eventually { seen('b', 'why') =~ /^message $id: WRONGTYPE / } 'by which message, and why';
my $since = seen('b', 'since');
is(sql("SELECT '$since'::timestamptz BETWEEN now() - interval '1 min' AND now()"), 't', 'since when');
eventually { status($node, $db, 'summary') =~ /^queue b blocked since 20\S+ \S+: message $id: WRONGTYPE / } 'in one line';
my $failed = seen('b', 'failed');
eventually { seen('b', 'failed') > $failed } 'it is tried again';
is(seen('b', 'since'), $since, 'since is since then');
sql("SELECT outbox_pause_queue('q')");
eventually { status($node, $db, 'summary') =~ /^queue b blocked .*, and 1 more queue; 2 dead letters$/ }
'what is blocked comes before what is paused';
sql("SELECT outbox_resume_queue('q')");

# Looking reads no messages.
my $looked = run_sql($node, $db, '085_looking.sql');
is($looked, "3\nnone\n1", 'looking reads neither staging nor deferred messages nor dead letters');

# Waiting for Redis: all queues say so, but for those paused.
sql("SELECT outbox_pause_queue('q')");
$redis->stop_saved;
wait_seen('b', 'state, why <> $$$$', 'waiting for redis|t', 'waiting for redis');
is(seen('q', 'state'), 'paused', 'but a paused one is paused');
like(status($node, $db, 'summary'), qr/^waiting for redis since 20\S+ \S+: \S.*; 2 dead letters$/, 'in one line');
$redis->start_again;
eventually { status($node, $db, 'state') eq 'running' } 'running';
mend_it('b');
wait_seen('b', 'state, waiting, delivered', 'flowing|0|3', 'mended, it flows');
sql("SELECT outbox_resume_queue('q')");

# Totals survive.
my $totals = 'delivered, failed, dead_lettered, expired';
my $all = sub { return ask($node, $db, "SELECT queue, $totals FROM outbox.queue_status ORDER BY queue"); };
my $before = $all->();
$node->restart;
eventually { status($node, $db, 'state') eq 'running' } 'after a restart';
is($all->(), $before, 'totals are the same');
$redis->stop_saved;
$node->restart;
is($all->(), $before, 'so they are without Redis');
$redis->start_again;
eventually { status($node, $db, 'state') eq 'running' } 'running';
sql("SELECT outbox_enqueue('q', 'q' || i) FROM generate_series(1, 100) AS i");
eventually { sql("SELECT delivered FROM outbox.queue_total AS t JOIN outbox.queue AS q ON q.id = t.queue"
	  . " WHERE name = 'q'") eq '100' } 'written by and by';
sql("SELECT outbox_enqueue('q', 'just now')");
eventually { $redis->count('q') == 101 } 'and one more';
kill_hard($node);
$node->start;
eventually { status($node, $db, 'state') eq 'running' } 'after a crash';
eventually { seen('q', 'delivered') eq '101' } 'totals are the same: the cursors know what was delivered';

# However busy it is when it is told to end, the relay leaves them as they are.
# It writes them when it has started, and then not for ten seconds.
my $written = sub {
	return ask($node, $db, "SELECT delivered FROM outbox.queue_total AS t"
		  . " JOIN outbox.queue AS q ON q.id = t.queue WHERE name = 'q'");
};
my $n = 101;
for my $round (1 .. 2)
{
	sql("SELECT outbox_enqueue('q', 'before round $round')");
	$n++;
	eventually { seen('q', 'delivered') eq $n && $written->() eq $n } "round $round: written";
	sql("SELECT outbox_enqueue('q', 'round $round')");
	$n++;
	eventually { seen('q', 'delivered') eq $n } "round $round: counted";
	my $relay = relay_pid($node, $db);
	sql("SELECT outbox_pause_queue('b'); SELECT outbox_resume_queue('b');"
		  . "SELECT pg_terminate_backend($relay)");
	eventually { my $new = relay_pid($node, $db); $new && $new ne $relay } "round $round: another relay";
	is(seen('q', 'delivered'), $n, "round $round: no total is lost");
}
is(seen('r', "$totals"), (grep { s/^r\|// } split /\n/, $before)[0], 'nothing was counted twice');

# Again, on purpose: what was delivered since then, no more, once, in order.
sql("SELECT create_queue('s', on_failure => 'dead_letter')");
sql("SELECT outbox_enqueue('s', 's' || i) FROM generate_series(1, 5) AS i");
eventually { $redis->count('s') == 5 } 'delivered';
my $then = sql('SELECT clock_timestamp()');
break_it('s');
sql("SELECT outbox_enqueue('s', 'dies')");
eventually { seen('s', 'dead_letters') eq '1' } 'dead';
sql("SELECT outbox_alter_queue('s', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour')");
sql("SELECT outbox_enqueue('s', 'held')");
eventually { seen('s', 'retrying') eq '1' } 'retrying';
mend_it('s');
sql("SELECT outbox_enqueue('s', 's' || i) FROM generate_series(6, 300) AS i");
sql("SELECT outbox_enqueue('s', 'for later', delay => '1 hour')");
eventually { $redis->count('s') == 300 } 'delivered';
sql("BEGIN; SELECT outbox_resend('s', '-infinity'); ROLLBACK");
sql("SELECT outbox_enqueue('s', 'after nothing')");
eventually { $redis->count('s') == 301 } 'a request that was rolled back';
sql("SELECT outbox_resend('s', '$then')");
my @once = ((map { "s$_" } 1 .. 300), 'after nothing');
eventually { $redis->count('s') >= 301 + 296 } 'a request: they come again';
is(payloads('s'), join(' ', @once, @once[ 5 .. 300 ]), 'those since then, in order, neither dead nor held nor delayed ones');

# Asked for when it can't be done at once: later, then.
for my $why ('paused', 'no Redis', 'a new relay')
{
	my $count = $redis->count('s');
	my $since = sql('SELECT clock_timestamp()');
	sql("SELECT outbox_enqueue('s', '$why')");
	eventually { $redis->count('s') == $count + 1 } "$why: one more";
	sql("SELECT outbox_pause_queue('s')") if $why eq 'paused';
	$redis->stop_saved if $why eq 'no Redis';
	eventually { status($node, $db, 'state') eq 'waiting for redis' } "$why: away" if $why eq 'no Redis';
	my $relay = relay_pid($node, $db);
	if ($why eq 'a new relay')
	{
		my $lock = session($node, $db);
		$lock->query_safe('BEGIN; LOCK TABLE outbox.staging_1');
		sql("SELECT outbox_resend('s', '$since')");
		sql("SELECT pg_terminate_backend($relay)");
		$lock->query_safe('COMMIT');
		$lock->quit;
	}
	else
	{
		sql("SELECT outbox_resend('s', '$since')");
	}
	sql("SELECT outbox_enqueue('s', 'behind')");
	sql("SELECT outbox_resume_queue('s')") if $why eq 'paused';
	$redis->start_again if $why eq 'no Redis';
	eventually { $redis->count('s') >= $count + 3 } "$why: done later" or next;
	my @got = map { $_->[1] } $redis->arrived('s');
	is(scalar(grep { $_ eq $why } @got), 2, "$why: it has come twice");
}

# Somebody's lock is in the way when the relay looks at the request.
my $lock = session($node, $db);
my $count = $redis->count('s');
$lock->query_safe('BEGIN; LOCK TABLE outbox.returned');
$since = sql('SELECT clock_timestamp()');
sql("SELECT outbox_enqueue('s', 'locked')");
eventually { $redis->count('s') == $count + 1 } 'a lock: one more';
sql("SELECT outbox_resend('s', '$since')");
for my $i (2, 3)
{
	sql("SELECT outbox_enqueue('s', 'behind')");
	eventually { $redis->count('s') == $count + $i } 'a lock: others are delivered';
}
$lock->query_safe('COMMIT');
$lock->quit;
eventually { (grep { $_->[1] eq 'locked' } $redis->arrived('s')) == 2 } 'a lock: done when it is gone';
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.resend_request') eq '0' } 'no request is left';

done_testing();
