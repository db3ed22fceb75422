# Copyright (c) 2026, the outbox developers
#
# OutboxTest: what the TAP tests share.
#
# A test starts a private redis-server (OutboxTest::Redis) and a private
# PostgreSQL node that preloads the extension, does its worst, and lets audit()
# compare what arrived with the journal, a table that is written in the
# transactions that enqueue (OutboxTest::Checker).  Nothing here sleeps for a
# fixed time: eventually{} looks until it sees or the time is up.  A look that
# ends with an exception, as a server is away just then, has not seen yet.
#
# What is looked at after one thing may lag behind another one: Redis has a message
# before the relay knows, and counts and states are published once a second.
#
# No test may depend on how fast the machine is.  What has to happen before
# something that takes its time is ordered by causes: delays are hours, and
# let_due() moves them to now; frozen{} holds a process still meanwhile; where a
# time is what is promised, at_best{} measures it until one measurement is good.
#
# SQL of more than a few lines is in files: run_sql().
#
# Children are forked for writers that outlive a crash of the server.  They
# exec at once, so that no END block of the test runs twice.

package OutboxTest;

use strict;
use warnings;
use OutboxTest::Watch;    # first: it forks
use Exporter 'import';
use FindBin;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test2::API ();
use Test::More;
use Time::HiRes qw(time sleep);
use OutboxTest::Checker;
use OutboxTest::Outcome;
use OutboxTest::Proxy;
use OutboxTest::Redis;

our @EXPORT = qw(
  new_node install sql_of run_sql ask status relay_pid wait_relay another_relay configure
  wait_for eventually seconds at_best frozen let_due session wait_for_lock
  put load settle journal audit
  reset_turns longest_turn short_turns
  kill_hard freeze_server gone anonymous_memory log_of
);

# pg_ctl would give up after a minute.
$ENV{PGCTLTIMEOUT} //= $PostgreSQL::Test::Utils::timeout_default;

# A test that is interrupted must still stop its servers.
$SIG{INT} //= $SIG{TERM} = sub { exit 1 };

# Who only asks whether a test fails need not wait for its end (test/mutations).
Test2::API::test2_stack()->top->listen(sub { exit 1 if $_[1]->causes_fail })
  if $ENV{OUTBOX_TEST_FIRST_FAILURE};

sub wait_for (&);
sub eventually (&$);
sub short_turns (&$$$$);

my (%writers, $last);    # pid => file that ends it; what diagnostics look at

# A started node.  redis: a server, or url: an URL; conf: further settings;
# streaming: allow standbys; install_path: of another PostgreSQL.
sub new_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $opt{install_path} ? (install_path => $opt{install_path}) : ());
	my $url = $opt{url} // $opt{redis}->url;

	# The locale of the environment must not decide the encoding; and a test
	# that waits for a lock shall fail, not hang.
	$node->init(
		allows_streaming => $opt{streaming},
		extra => [ '--locale=C', '--encoding=UTF8' ]);
	$node->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'outbox'
outbox.redis_url = '$url'
max_connections = 40
shared_buffers = 32MB
log_statement = none
restart_after_crash = on
lock_timeout = 20s
EOC
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	$node->start;
	return $node;
}

# Extension, journal, procedures that write much, and queues (streams of the same name, of text) in a database.
sub install
{
	my ($node, $db, @queues) = @_;
	$node->safe_psql($db, 'CREATE EXTENSION outbox');
	run_sql($node, $db, 'journal.sql');
	$node->safe_psql($db, join '', map { "SELECT create_queue('$_');" } @queues);
	wait_relay($node, $db);
	$last = [ $node, $db ];
	return;
}

# The text of a file of SQL, which lies beside the test or in OutboxTest.
sub sql_of
{
	my ($file) = @_;
	my ($path) = grep { -e } map { "$_/$file" } $FindBin::RealBin, __FILE__ =~ s/\.pm$//r;
	die "no file $file\n" unless defined $path;
	return slurp_file($path);
}

# What it gives.  Variables are psql's: :name, :'name'.
sub run_sql
{
	my ($node, $db, $file, %variables) = @_;
	return $node->safe_psql($db, sql_of($file),
		extra_params => [ map { ('-v', "$_=$variables{$_}") } sort keys %variables ]);
}

# The answer to a query, or empty while the server can't say: psql may even end
# before it has read the query, which is an exception.
sub ask
{
	my ($node, $db, $query) = @_;
	my ($rc, $out) = eval { $node->psql($db, $query) };
	return defined $rc && $rc == 0 ? $out : '';
}

# One column of outbox.status, or several joined by "|".
sub status
{
	my ($node, $db, $columns) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.status");
}

# The pid of a database's relay; empty when there is none.
sub relay_pid
{
	my ($node, $db) = @_;
	return ask($node, 'postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datname = '$db'");
}

# Change settings without a restart.  When this returns, all processes have been
# told: the postmaster tells them before it lets a new session in.
sub configure
{
	my ($node, %settings) = @_;
	my $loaded = 'SELECT pg_conf_load_time()';
	my $before = $node->safe_psql('postgres',
		join ';', (map { "ALTER SYSTEM SET $_ = '$settings{$_}'" } sort keys %settings), $loaded);
	$node->reload;
	wait_for { my $now = ask($node, 'postgres', $loaded); $now && $now ne $before }
	  or die "the server has not read its settings again\n";
	return;
}

sub wait_relay
{
	my ($node, $db) = @_;
	my $pid;
	wait_for { $pid = relay_pid($node, $db) }
	  or die "no relay for database \"$db\"\n";
	return $pid;
}

# A test: a relay takes the place of the one with this pid.
sub another_relay
{
	my ($node, $db, $old, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually { my $new = relay_pid($node, $db); $new && $new ne $old } $name;
}

# The block's value as soon as it is true; nothing when the time is up.  An exception
# of the block is one of this function's only then.  The longer it takes the less often
# it looks, as each look may start a psql.
sub wait_for (&)
{
	my ($true) = @_;
	my $began = time;
	while (1)
	{
		my $value = eval { $true->() };
		my $exception = $@;
		return $value if $value;
		my $took = time - $began;
		if ($took > $PostgreSQL::Test::Utils::timeout_default)
		{
			die $exception if $exception;
			return;
		}
		sleep($took < 0.025 ? 0.005 : $took < 1.25 ? $took / 5 : 0.25);
	}
}

# A test: the block becomes true, sooner or later.
sub eventually (&$)
{
	my ($block, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $value = eval { &wait_for($block) };
	my $exception = $@;
	ok($value, $name) or _explain();
	die $exception if $exception;
	return $value;
}

sub _explain
{
	return unless $last;
	my ($node, $db) = @$last;
	my ($rc, $out, $err) = $node->psql($db, 'SELECT * FROM outbox.status', extra_params => ['-x']);
	diag("outbox.status of $db:\n", $rc == 0 ? $out : $err);
	return;
}

# Turns of the relay's loop: forget those that were; how long the longest was since,
# in ms of CPU time, and what it did.
sub reset_turns
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'SELECT outbox.reset_turn_stats()');
	return;
}

sub longest_turn
{
	my ($node, $db) = @_;
	my ($ms, $what) = split /\|/, ask($node, $db, <<'EOC');
SELECT ms, format('%s, %s rows, queue %s', step, rows, coalesce(queue, '-'))
FROM outbox.longest_turns WHERE clock = 'cpu' ORDER BY ms DESC LIMIT 1
EOC
	return ($ms // 0, $what // 'nothing');
}

# Tests: what the block does, with an amount of work and with four times as much,
# makes no turn long.  A busy machine makes one longer and nothing makes one shorter,
# so a block that had a long turn is run again, three times at most.
sub short_turns (&$$$$)
{
	my ($block, $amount, $node, $db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $n ($amount, 4 * $amount)
	{
		my @turns;
		until (@turns == 3 || @turns && $turns[-1][0] < 50)
		{
			reset_turns($node, $db);
			$block->($n);
			push @turns, [ longest_turn($node, $db) ];
		}
		cmp_ok($turns[-1][0], '<', 50, join '; ', "$name, $n: ms of CPU of the longest turn", map { "@$_" } @turns);
	}
	return;
}

# How long a block took.
sub seconds (&)
{
	my ($block) = @_;
	my $start = time;
	$block->();
	return time - $start;
}

# A test: the block measures what a busy machine makes larger and nothing makes
# smaller; one of ten measurements is below the limit.
sub at_best (&$$)
{
	my ($measure, $limit, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @measured;
	push @measured, $measure->() until @measured == 10 || @measured && $measured[-1] < $limit;
	return cmp_ok($measured[-1], '<', $limit, join ' ', $name, map { sprintf '%.3g', $_ } @measured);
}

# What the block does, it does while a process stands still.
sub frozen (&$)
{
	my ($block, $pid) = @_;
	kill 'STOP', $pid;
	wait_for { stopped($pid) } or die "process $pid does not stop\n";
	my $done = eval { $block->(); 1 };
	kill 'CONT', $pid;
	die $@ unless $done;
	return;
}

# All that is held, to be tried again later, may be tried now.  Who connects
# looks at all that is held.
sub let_due
{
	my ($node, $db, $redis) = @_;
	$node->safe_psql($db, q{UPDATE outbox.deferred SET due_at = now() WHERE reason = 'retry'});
	$redis->drop_clients;
	return;
}

# A session that stays open.
sub session
{
	my ($node, $db) = @_;
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->set_query_timer_restart;    # time out queries, not sessions
	return $session;
}

# A session begins to wait for a lock of a table: it has the lock from the moment on at
# which those that are in the way end.
sub wait_for_lock
{
	my ($node, $db, $session, $table, $mode) = @_;
	$session->{stdin} .= "BEGIN; LOCK TABLE $table IN $mode MODE;\n";
	return eventually
	{
		$session->{run}->pump_nb;
		$node->safe_psql($db, "SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass AND NOT granted") > 0
	}
	"somebody waits for $table in $mode mode";
}

# Enqueue bodies to a queue, each in a transaction of its own.
sub put
{
	my ($node, $db, $queue, @bodies) = @_;
	$node->safe_psql($db, join '', map { "SELECT put('$queue', '$_');\n" } @bodies);
	return;
}

# Writers that go on, also over crashes of the server, until stop() is called.
sub load
{
	my ($node, $db, %opt) = @_;
	my $queues = join ',', @{ $opt{queues} };
	my $delay = $opt{max_delay} // 0.02;
	my $rounds = $opt{rounds} // 20;
	my $end = PostgreSQL::Test::Utils::tempdir_short() . '/end';
	my $load = bless { end => $end, pids => [] }, 'OutboxTest::Load';

	for my $w (1 .. $opt{writers})
	{
		my $pid = fork // die "could not fork: $!";
		if ($pid == 0)
		{
			# A server that is restarting refuses connections; don't spin.
			exec 'sh', '-c',
			  'until [ -e "$1" ]; do psql -XAtq -v ON_ERROR_STOP=1 -d "$2" -c "$3" || sleep 0.05; done',
			  'writer', $end, $node->connstr($db),
			  "CALL writer($w, $rounds, '{$queues}', $delay)"
			  or POSIX::_exit(127);
		}
		$writers{$pid} = $end;
		push @{ $load->{pids} }, $pid;
	}
	return $load;
}

sub OutboxTest::Load::stop
{
	my ($self) = @_;
	append_to_file($self->{end}, 'end');
	for my $pid (@{ $self->{pids} })
	{
		waitpid $pid, 0;
		delete $writers{$pid};
	}
	return;
}

# Put a last message in each queue and wait until it has arrived: by the
# promise of order nothing that comes before it is still on its way.  What was
# delayed or is resent may come behind it.
my $settled = 0;

sub settle
{
	my ($node, $db, $redis, @queues) = @_;
	my $mark = 'last message ' . ++$settled;
	put($node, $db, $_, $mark) for @queues;
	for my $queue (@queues)
	{
		my $seen = wait_for {
			grep { my %f = @{ $_->[1] }; $f{payload} eq $mark } @{ $redis->cmd('XREVRANGE', $queue, '+', '-', 'COUNT', 100) };
		};
		next if $seen;
		fail("the last message has arrived in \"$queue\"");
		_explain();
	}
	return;
}

# The journal, as the checker wants it.
sub journal
{
	my ($node, $db) = @_;
	my @journal;
	for my $line (split /\n/,
		$node->safe_psql($db, 'SELECT n, id, queue, xid, snap, body FROM journal ORDER BY n'))
	{
		my %row;
		@row{qw(n id queue xid snap body)} = split /\|/, $line, 6;
		push @journal, \%row;
	}
	return \@journal;
}

# A test: after settling, Redis has the journal's messages, each once, none
# other, all in the promised order.  at_least guards against a run in which
# nothing happened.  Returns the number of messages.
sub audit
{
	my ($node, $db, $redis, $queues, $at_least, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	settle($node, $db, $redis, @$queues);
	my @journal = @{ journal($node, $db) };
	my %got = map { $_ => [ $redis->arrived($_) ] } @$queues;
	my @faults = OutboxTest::Checker::faults(\@journal, \%got);
	push @faults, 'only ' . @journal . " messages, too few for this test"
	  if @journal < $at_least;
	ok(!@faults, $name) or diag(scalar @faults, " faults:\n", join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
	note(scalar @journal, ' messages');
	return scalar @journal;
}

# Stop all of a server's processes, the postmaster first, so that it makes no more of
# them.  Returns their pids.
sub freeze_server
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	kill 'STOP', $postmaster;
	wait_for { stopped($postmaster) } or die "the postmaster does not stop\n";
	my @pids = server_pids($node);
	kill 'STOP', @pids;
	for my $pid (@pids)
	{
		wait_for { stopped($pid) } or die "process $pid does not stop\n";
	}
	return @pids;
}

# All processes of a node, the postmaster first.
sub server_pids
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @pids = ($postmaster);
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $fh, '<', $file or next;
		my $stat = <$fh> // next;
		my ($pid, $parent) = $stat =~ /^(\d+) \(.*\) \S (\d+)/s or next;
		push @pids, $pid if $parent == $postmaster;
	}
	return @pids;
}

# The end of the machine, as far as processes can have it: freeze all, so that
# none writes anything more on seeing another die, then kill all.
sub kill_hard
{
	my ($node) = @_;
	my @pids = freeze_server($node);
	kill 'KILL', reverse @pids;
	$node->kill9;
	wait_for { !grep { !gone($_) } @pids } or die "the server survived being killed\n";

	# Dead processes may stay in the table for seconds until init reaps them,
	# and a postmaster takes its lock files for those of a living one.
	unlink $node->data_dir . '/postmaster.pid',
	  $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	return;
}

# A process has ended (or waits to be reaped).
sub gone
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 1;
	return (<$fh> // ') Z') =~ /^.*\) Z/s;
}

# A process stands still (or has ended).
sub stopped
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 1;
	return (<$fh> // ') Z') =~ /^.*\) [TZ]/s;
}

# What a process has allocated, in MB; shared buffers that it has touched are
# not its own.
sub anonymous_memory
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;
	return $kb / 1024;
}

sub log_of { my ($node) = @_; return slurp_file($node->logfile); }

END
{
	my $status = $?;
	for my $pid (keys %writers)
	{
		append_to_file($writers{$pid}, 'end');
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	$? = $status;
}

1;
