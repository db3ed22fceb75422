# Copyright (c) 2026, the outbox developers
#
# Promise: before a tick leaves is on disk what it rests on, and nothing else is
# waited for.  The server is killed as soon as a message has arrived, with a WAL
# writer that would not have flushed for ten seconds.  Then
#
#	what has arrived is in PostgreSQL (I1): its commit was asynchronous;
#	the server gives out no transaction id again that the cursor calls ended (I2):
#	the last ones were rolled back, and nobody flushes that;
#	the server is not set back behind its own cursor: others had written WAL that
#	nobody had flushed.
#
# But of messages that were committed synchronously the relay flushes nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
wal_level = minimal
max_wal_senders = 0
wal_writer_delay = 10s
wal_writer_flush_after = 100MB
checkpoint_timeout = 1h
autovacuum = off
EOC
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, 'CREATE TABLE filler (x text)');

sub flushed { return ask($node, $db, 'SELECT pg_current_wal_flush_lsn()'); }

sub next_xid { return ask($node, $db, 'SELECT pg_snapshot_xmax(pg_current_snapshot())'); }

# What the block commits is sent in one tick; the server dies when it has arrived.
sub dies_behind
{
	my ($block) = @_;
	settle($node, $db, $redis, 'q');
	my $before = $redis->count('q');
	frozen { $block->() } relay_pid($node, $db);
	my $arrives = wait_for { $redis->count('q') > $before };
	kill_hard($node);
	die "nothing arrived\n" unless $arrives;
	return;
}

# ------------------------------------------------------ asynchronous commits

# It is not the last transaction of the tick, whose commit is looked for anyway: that
# began later, ended before, and was flushed.
my $survived = 1;
for my $round (1 .. 3)
{
	my $open = session($node, $db);
	$open->query_safe("SET synchronous_commit = off; BEGIN; CREATE TABLE made_$round (); SELECT outbox_enqueue('q', 'asynchronous')");
	dies_behind(
		sub {
			$node->safe_psql($db, 'INSERT INTO filler VALUES (1)');
			$open->query_safe('COMMIT');
		});
	$open->quit;
	$node->start;
	$survived &&= $node->safe_psql($db, "SELECT to_regclass('made_$round') IS NOT NULL") eq 't';
	wait_relay($node, $db);
}
ok($survived, 'what an asynchronous commit has sent survives');

# ------------------------------------------- transactions that were rolled back

my $rollbacks = join '', ("BEGIN; INSERT INTO filler VALUES ('x'); ROLLBACK;") x 20;

# The recipe works: without the relay these transaction ids are given out again.
my $again = 0;
frozen
{
	my $before = next_xid();
	$node->safe_psql($db, $rollbacks);
	my $ended = next_xid();
	kill_hard($node);
	$node->start;
	$again = next_xid() < $ended && $ended > $before;
}
relay_pid($node, $db);
ok($again, 'a crash gives out the ids of transactions again that were rolled back');
wait_relay($node, $db);

for my $round (1 .. 3)
{
	my $ended;
	dies_behind(
		sub {
			$node->safe_psql($db, "SELECT outbox_enqueue('q', 'before the rollbacks')");
			$node->safe_psql($db, $rollbacks);
			$ended = next_xid();
		});
	$node->start;
	cmp_ok(next_xid(), '>=', $ended, "round $round: no id that the cursor calls ended is given out again");
	wait_relay($node, $db);
	my $before = $redis->count('q');
	$node->safe_psql($db, "SELECT outbox_enqueue('q', 'with a new id')") for 1 .. 25;
	settle($node, $db, $redis, 'q');
	is($redis->count('q'), $before + 25 + 1, "round $round: whoever has the next ids is delivered");
}

# -------------------------------------------------- WAL of others, not flushed

sub write_much
{
	my $session = session($node, $db);
	$session->query_safe("BEGIN; INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 50)");
	return $session;
}

for my $round (1 .. 3)
{
	my $others;
	dies_behind(
		sub {
			$node->safe_psql($db, "SELECT outbox_enqueue('q', 'synchronous')");
			$others = write_much();
		});
	$others->quit;
	$node->start;
	wait_relay($node, $db);
	my $before = $redis->count('q');
	$node->safe_psql($db, "SELECT outbox_enqueue('q', 'after the crash')");
	my $state = '';
	wait_for { ($state = status($node, $db, 'state')) =~ /held/ || $redis->count('q') > $before };
	is($state, 'running', "round $round: the server is not behind its own cursor") or last;
}

# ------------------------------------------------------- nothing to be flushed

# Others have written WAL, and it stays as it is.  The relay's chores may flush it, so
# there are some tries.
my $untouched = 0;
for my $try (1 .. 10)
{
	settle($node, $db, $redis, 'q');
	my $before = $redis->count('q');
	my ($others, $flushed);
	frozen
	{
		$node->safe_psql($db, "SELECT outbox_enqueue('q', 'synchronous')");
		$others = write_much();
		$flushed = flushed();
	}
	relay_pid($node, $db);
	wait_for { $redis->count('q') > $before };
	$untouched = flushed() eq $flushed;
	$others->quit;
	last if $untouched;
}
ok($untouched, 'of what was committed synchronously the relay flushes nothing');

done_testing();
