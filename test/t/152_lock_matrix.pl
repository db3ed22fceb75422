# Copyright (c) 2026, the outbox developers
#
# Promise: the relay waits for nobody's lock (I5, I8), and status says who holds it.  The
# matrix is made from the catalogue: every table, sequence, index and toast table of schema
# outbox, in a mode of each class that conflicts with other locks of the relay, held while the
# relay does all that it does.  PostgreSQL logs each wait for a lock that lasts a millisecond.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
outbox.retention = 1
log_line_prefix = '%b: '
log_lock_waits = on
deadlock_timeout = 1ms
max_prepared_transactions = 5
EOC
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('bad', on_failure => 'retry', max_attempts => 2, retry_delay => '20 ms', retry_backoff => 1);
SELECT create_queue('dead', on_failure => 'dead_letter');
SELECT create_queue('paused');
SELECT create_queue('consumed', on_failure => 'retry', consumer_retry => true);
SELECT outbox_pause_queue('paused');
EOC
$redis->cmd('SET', $_, 'no stream') for 'bad', 'dead';

# One for each class of modes that conflict with the same locks of the relay: with the one to
# empty a table only, with those to write, with all.
my $seed = $ENV{OUTBOX_TEST_SEED} // time * 1000 % 100000;
srand $seed;
note("OUTBOX_TEST_SEED=$seed");
my @classes = ([ 'ACCESS SHARE', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE' ], [ 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE' ], [ 'ACCESS EXCLUSIVE' ]);

# What is held, and whether a message can be enqueued and arrive meanwhile.
my @cells;
for my $line (split /\n/, $node->safe_psql($db, <<'EOC'))
SELECT relkind, relname, coalesce((SELECT t.relname FROM pg_class AS t WHERE t.oid = c.reltoastrelid), '')
FROM pg_class AS c WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'S', 'i') ORDER BY 1, 2
EOC
{
	my ($kind, $name, $toast) = split /\|/, $line, 3;
	my $staging = $name =~ /^staging_/;
	if ($kind eq 'r')
	{
		for my $class (@classes)
		{
			my $mode = $class->[ rand @$class ];
			push @cells, [ "LOCK TABLE outbox.$name IN $mode MODE", !$staging || $class == $classes[0] ];
		}
		push @cells, [ "SELECT count(*) FROM pg_toast.$toast", 1 ], [ "REINDEX TABLE pg_toast.$toast", !$staging ] if $toast;
	}
	# enqueueing needs these itself
	push @cells, [ "ALTER SEQUENCE outbox.$name START 2", $name ne 'seq' ] if $kind eq 'S';
	push @cells, [ "REINDEX INDEX outbox.$name", !$staging && $name ne 'queue_name_key' ] if $kind eq 'i';
}
# All of them take minutes.
cmp_ok(scalar @cells, '>', 60, scalar @cells . ' cells');
@cells = (map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand, $_ ] } @cells)[ 0 .. 3 ] unless $ENV{OUTBOX_TEST_ALL};

my ($session, $writer) = (session($node, $db), session($node, $db));
my $entry = 0;

# All that the relay does, asked for at once.
sub ask_for_all
{
	$redis->cmd('XADD', 'consumed:retry', '*', 'id', sprintf('00000000-0000-0000-0000-%012d', ++$entry), 'payload', 'x');
	my $pid = fork // die;
	if ($pid == 0)
	{
		# sessions of their own: what they call may wait for the holder
		exec 'sh', '-c', 'for sql; do psql -XAtq -d "$0" -c "SET lock_timeout = 1" -c "$sql" >/dev/null 2>&1 & done; wait', $node->connstr($db),
			"SELECT outbox_enqueue('bad', 'x', key => 'k')", "SELECT outbox_enqueue('dead', 'x', key => 'k')",
			"SELECT outbox_enqueue('q', repeat(md5(random()::text), 1000), delay => '1 ms')",
			"SELECT outbox_enqueue('paused', 'x')", "SELECT outbox_resend('q', now() - interval '1 s')"
			or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	return;
}

my $relay = relay_pid($node, $db);
for my $cell (@cells)
{
	my ($hold, $may_arrive) = @$cell;
	# a session that knows the queue needs no lock on its table to enqueue
	$writer->query_safe(q{SELECT put('q', 'before')});
	settle($node, $db, $redis, 'q');
	$session->query_safe("BEGIN; $hold");
	my $arrived = $redis->count('q');
	ask_for_all();
	$writer->query_safe("SELECT put('q', '$hold')") if $may_arrive;
	my $began = time;
	eventually { $may_arrive ? $redis->count('q') > $arrived : time > $began + 0.5 } "$hold: goes on";
	$session->query_safe('COMMIT');
}

# An index can be held without its table, and is needed to empty the table: until one has got
# no rows for three times the retention, and the relay has done its chores since.
sub is_due
{
	my ($table) = @_;
	return $node->safe_psql($db, "SELECT max(enqueued_at) < now() - interval '3 s' FROM outbox.$table") eq 't';
}
for my $of ('oid', 'reltoastrelid')
{
	my $hold = $node->safe_psql($db, <<"EOC");
SELECT string_agg(format('ALTER INDEX %s SET (fillfactor = 80)', indexrelid::regclass), ';')
FROM pg_index JOIN pg_class AS t ON indrelid = t.$of WHERE t.relname LIKE 'staging\\__'
EOC
	eventually { !is_due('staging_1') && !is_due('staging_2') } 'what was due is emptied';
	$session->query_safe("SET allow_system_table_mods = on; BEGIN; $hold");
	eventually
	{
		$writer->query_safe(q{SELECT put('q', 'beside an index')});
		is_due('staging_1') || is_due('staging_2');
	}
	"$hold: a table is due";
	ask($node, $db, 'SELECT sum(waiting) FROM outbox.queue_status') for 1 .. 3;
	$session->query_safe('ROLLBACK');
}
is(relay_pid($node, $db), $relay, 'the relay is the same');
$node->safe_psql($db, q{SELECT outbox_resume_queue('paused')});
eventually { status($node, $db, 'why') eq '' } 'nothing is in the way any more';

# What lasts is shown, with who holds it.
my $holder = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('BEGIN; LOCK TABLE outbox.deferred IN SHARE MODE');
ask_for_all();
eventually { status($node, $db, 'why') =~ /^outbox\.deferred is locked by process $holder\b/ } 'status says who holds a table';
$session->query_safe('COMMIT');
eventually { status($node, $db, 'why') eq '' } '... until it is let go';
$session->query_safe('BEGIN; REINDEX INDEX outbox.deferred_due');
ask_for_all();
eventually { status($node, $db, 'why') =~ /^outbox\.deferred is locked by process $holder\b/ } '... or only one of its indexes';
$session->query_safe('COMMIT');
eventually { status($node, $db, 'why') eq '' } '... until it is let go';
$session->query_safe(q{BEGIN; LOCK TABLE outbox.deferred IN SHARE MODE; PREPARE TRANSACTION 'forgotten'});
ask_for_all();
eventually { status($node, $db, 'why') =~ /^outbox\.deferred is locked by prepared transaction "forgotten"/ } '... and which prepared transaction';
$session->query_safe(q{ROLLBACK PREPARED 'forgotten'});

# A relay that finds no source, and can't make one now, waits until it can.
$writer->query_safe('BEGIN; DELETE FROM outbox.relay_state');
wait_for_lock($node, $db, $session, 'outbox.relay_state', 'SHARE');
$writer->query_safe('COMMIT');
kill TERM => $relay;
eventually { status($node, $db, 'why') =~ /^outbox\.relay_state is locked by process $holder\b/ } 'no source, and a lock in the way of making one';
$session->query_safe('COMMIT');
eventually { status($node, $db, 'state') eq 'running' } '... until it is let go';
unlike(log_of($node), qr/outbox holds all messages/, 'nothing was held');
$_->quit for $session, $writer;

# Who adds a page to a table waits for whoever does so at the moment.
my @waits = grep { /^outbox relay: .*(still waiting|acquired) / && !/transaction|tuple|extension of relation/ } split /\n/, log_of($node);
is(join("\n", @waits[ 0 .. ($#waits < 9 ? $#waits : 9) ]), '', 'the relay has waited for no relation');
unlike(log_of($node), qr/^outbox relay: (ERROR|FATAL)/m, 'nor ended');

done_testing();
