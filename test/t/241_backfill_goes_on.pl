# Copyright (c) 2026, the outbox developers
#
# Promise: a backfill that is cancelled, stopped, ended by an error or by a crash of
# the server goes on where it was: each row is told once (I2, I3), in the order of
# the key.  It waits for whoever has locked a row, or the table, and holds no row
# meanwhile; nobody is the victim of a deadlock with it (I7).  outbox.backfills
# says what it does.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "deadlock_timeout = 1s\nlock_timeout = 0");
my $db = 'postgres';
install($node, $db, 'q');
my $dir = $node->basedir;

sub sql { return $node->safe_psql($db, $_[0]); }
sub state { return sql('SELECT state FROM outbox.backfills'); }
sub position_is { my ($n) = @_; return sql('SELECT position FROM outbox.backfills') eq "{$n}"; }

sql(<<'EOC');
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, 0 FROM generate_series(1, 300) AS i;
SELECT outbox_capture('t', 'q');
EOC

# Where a row is locked, the backfill waits, and the rows before it are done.
my $holder = hold(100);
my $call = background();
eventually { position_is(99) && state() eq 'running' } 'it has come to a row that is locked';
is(sql('SELECT pid IS NOT NULL AND rows = 99 AND finished_at IS NULL FROM outbox.backfills'), 't', 'it says so');
is(sql("SET lock_timeout = '10s'; UPDATE t SET v = 1 WHERE id IN (99, 101) RETURNING id"), "99\n101", 'it holds no row meanwhile');
is(sql('CREATE ROLE looker; GRANT USAGE ON SCHEMA outbox TO looker; GRANT SELECT ON outbox.backfills TO looker;
	SET ROLE looker; SELECT state, pid, rows FROM outbox.backfills'), '||99', 'who may not see the process is not told that it is interrupted');
my ($rc, $out, $err) = $node->psql($db, "CALL outbox_backfill('t', 'q')");
like($err, qr/process \d+ is backfilling table "t" to queue "q"/, 'nobody else backfills');

# Cancelled.
sql('SELECT pg_cancel_backend(pid) FROM outbox.backfills');
like(ended($call), qr/^ERROR:  canceling statement due to user request/, 'cancelled');
is(state(), 'interrupted', 'it says so');
$holder->quit;

# Stopped, while it waits.
$holder = hold(200);
$call = background();
eventually { position_is(199) } 'it goes on, to the next row that is locked';
is(sql("SELECT outbox_stop_backfill('t', 'q')"), 't', 'stopped');
is(sql("SELECT outbox_stop_backfill('t', 'q')"), 'f', '... once');
like(ended($call), qr/NOTICE:  the backfill has been stopped/, 'its call ends');
is(state(), 'stopped', 'it says so');

# Killed with the server.
$call = background();
eventually { state() eq 'running' } 'it waits again';
kill_hard($node);
ended($call);
$holder->quit;
$node->start;
is(state(), 'interrupted', 'a crash');

# Somebody who has changed a row, and now wants the table: the backfill gives way.
$holder = session($node, $db);
$holder->query_safe('BEGIN; UPDATE t SET v = 2 WHERE id = 250');
$call = background();
eventually { position_is(249) } 'up to that row';
$holder->query_safe('ALTER TABLE t ADD w int; COMMIT');
is(ended($call), "NOTICE:  the backfill goes on, with 199 rows done\nCALL", 'it ends by itself');
is(state(), 'finished', 'finished');
$holder->quit;

eventually { status($node, $db, 'waiting') eq '0' } 'all has arrived';
my (@read, @late, %v);
for (@{ $redis->cmd('XRANGE', 'q', '-', '+') })
{
	my %entry = @{ $_->[1] };
	my $m = JSON::PP->new->decode($entry{payload});
	push @read, $m->{key}{id} if $m->{operation} eq 'read';
	push @late, "$m->{key}{id}:$m->{new}{v}" if $m->{new}{v};
}
is_deeply(\@read, [ 1 .. 300 ], 'each row was read once, in order');
is(join(' ', @late), '99:1 101:1 101:1 250:2 250:2', 'a change comes before the row is read, if it was before');
is(() = log_of($node) =~ /deadlock detected/g, 0, 'nobody was part of a deadlock');

# A row that is deleted, or gets another key, while it is waited for.
$holder = session($node, $db);
$holder->query_safe('BEGIN; DELETE FROM t WHERE id = 5; UPDATE t SET id = 1000 WHERE id = 7; UPDATE t SET id = 0 WHERE id = 9');
$call = background('{"chunk_rows": 2}');
eventually { position_is(4) } 'at a row that is being deleted';
$holder->query_safe('COMMIT');
is(ended($call), 'CALL', 'it goes on');
$holder->quit;
is(sql('SELECT rows FROM outbox.backfills'), 298, 'without rows that are gone, or were told behind it');

# A queue with many messages that wait is not filled further.
sql("SELECT outbox_pause_queue('q')");
sql("SELECT outbox_enqueue('q', '{\"operation\": \"other\"}'::jsonb) FROM generate_series(1, 30)");
eventually { sql("SELECT waiting FROM outbox.queue_status WHERE queue = 'q'") eq '30' } 'messages wait';
$call = background('{"chunk_rows": 10, "max_waiting": 20}');
eventually { slurp_file("$dir/call") =~ /NOTICE:  the backfill waits while queue "q" has more than 20 messages that wait/ } 'it waits for the queue';
is(sql('SELECT state, rows FROM outbox.backfills'), 'running|0', 'it is there, and has done nothing');
eventually { $node->psql($db, "SELECT outbox_purge_queue('q', force => true)") == 0 } 'these are purged';
is(sql('SELECT queue FROM outbox.backfills'), 'q', 'the backfill is one of the queue still');
sql("SELECT outbox_resume_queue('q')");
like(ended($call), qr/CALL$/, 'it goes on with the queue');
is(sql('SELECT rows FROM outbox.backfills'), 299, 'to the last row');

# It heeds the limit also while the relay tells nothing.
eventually { sql("SELECT waiting FROM outbox.queue_status WHERE queue = 'q'") eq '0' } 'nothing waits';
my $relay = relay_pid($node, $db);
kill 'STOP', $relay;
$call = background('{"restart": true, "chunk_rows": 10, "max_waiting": 40}');
eventually { slurp_file("$dir/call") =~ /NOTICE:  the backfill waits while/ } 'it waits for the relay';
is(sql('SELECT state, rows FROM outbox.backfills'), 'running|40', 'with as many rows as may wait');
kill 'CONT', $relay;
like(ended($call), qr/CALL$/, 'it goes on when the relay counts');

# The table, or the capture, goes.
$holder = session($node, $db);
$holder->query_safe("BEGIN; UPDATE t SET v = 3 WHERE id = 60");
$call = background('{"restart": true}');
eventually { position_is(59) } 'at a row that is changed';
$holder->query_safe("SELECT outbox_uncapture('t', 'q'); COMMIT");
like(ended($call), qr/ERROR:  inserts into table "t" are not captured for queue "q"/, 'uncaptured meanwhile');
sql("SELECT outbox_capture('t', 'q')");
$holder->query_safe("BEGIN; UPDATE t SET v = 4 WHERE id = 70");
$call = background();
eventually { position_is(69) } 'at a row that is changed';
$holder->query_safe('DROP TABLE t; COMMIT');
like(ended($call), qr/ERROR:  (the table has been dropped|relation with OID \d+ does not exist)/, 'dropped meanwhile');
$holder->quit;
is(() = log_of($node) =~ /deadlock detected/g, 0, 'nobody was part of a deadlock');

done_testing();

# The lock that an update of the row takes.
sub hold
{
	my ($id) = @_;
	my $session = session($node, $db);
	$session->query_safe("BEGIN; SELECT FROM t WHERE id = $id FOR NO KEY UPDATE");
	return $session;
}

sub background
{
	my ($settings) = @_;
	my $call = "CALL outbox_backfill('t', 'q'" . ($settings ? ", '$settings'" : '') . ')';
	unlink "$dir/call";
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', "$dir/call" or POSIX::_exit(1);
	open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
	exec 'psql', '-X', '-d', $node->connstr($db), '-c', $call or POSIX::_exit(1);
}

# What a call has said.
sub ended
{
	my ($pid) = @_;
	waitpid $pid, 0;
	my $said = slurp_file("$dir/call");
	chomp $said;
	return $said;
}
