# Copyright (c) 2026, the outbox developers
#
# Promise: a relay stands in nobody's way who copies, renames, moves or drops its
# database, or makes a template of it, whatever the relay is doing; it stays away
# until the command's transaction is over, however that ends, and then goes on: each
# message once, in order.  Guards src/database_ddl.c and src/slots.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
allow_in_place_tablespaces = on
max_worker_processes = 16
# its workers would look like a relay that starts
autovacuum = off
EOC
my $admin = session($node, 'postgres');
sub sql { return $admin->query_safe($_[0]); }

sub works
{
	my ($command, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$admin->{stderr} = '';
	$admin->query($command);
	return is($admin->{stderr}, '', "$command: $name");
}

sql("CREATE TABLESPACE elsewhere LOCATION ''");
sql('CREATE DATABASE d');
install($node, 'd', 'q');

# Each command, and what undoes it.
my @commands = (
	[ 'CREATE DATABASE c TEMPLATE d', 'DROP DATABASE c' ],
	[ 'CREATE DATABASE c TEMPLATE d STRATEGY file_copy', 'DROP DATABASE c' ],
	[ 'ALTER DATABASE d RENAME TO e', 'ALTER DATABASE e RENAME TO d' ],
	[ 'ALTER DATABASE d SET TABLESPACE elsewhere', 'ALTER DATABASE d SET TABLESPACE pg_default' ],
	[ 'ALTER DATABASE d IS_TEMPLATE true', 'ALTER DATABASE d IS_TEMPLATE false' ],
	[ 'ALTER DATABASE d ALLOW_CONNECTIONS false', 'ALTER DATABASE d ALLOW_CONNECTIONS true' ]);

sub all_work
{
	my ($state) = @_;
	for (map { @$_ } @commands)
	{
		wait_for { !/^CREATE|TO e|elsewhere/ || relay_pid($node, 'd') } or die 'no relay';
		works($_, $state);
	}
	return;
}

# The relay is running, and messages flow.
my $load = load($node, 'd', writers => 1, queues => ['q'], max_delay => 0.01, rounds => 3);
my $n = $redis->count('q');
eventually { $redis->count('q') > $n } 'messages flow';
$load->stop;
put($node, 'd', 'q', 'one', 'two');
all_work('running');
put($node, 'd', 'q', 'three');
audit($node, 'd', $redis, ['q'], 4, 'each message once, in order');

# A copy, and what is done to it while it is held.
sql('CREATE DATABASE copy TEMPLATE d');
eventually { status($node, 'copy', 'state') eq 'held' } 'a copy is held, and nobody has to ask for its relay';
works($_, 'held') for 'CREATE DATABASE c TEMPLATE copy', 'DROP DATABASE c', 'ALTER DATABASE copy SET TABLESPACE elsewhere', 'ALTER DATABASE copy RENAME TO d2';
eventually { status($node, 'd2', 'state') eq 'held' } 'and stays held';
works('DROP DATABASE d2', 'held');

# Redis does not answer.
$redis->pause;
put($node, 'd', 'q', 'while it hangs');
all_work('Redis hangs');
$redis->resume;
audit($node, 'd', $redis, ['q'], 6, 'each message once, in order');

# No extension.
sql('CREATE DATABASE plain');
works($_, 'no extension') for 'CREATE DATABASE c TEMPLATE plain', 'DROP DATABASE c', 'ALTER DATABASE plain RENAME TO p', 'DROP DATABASE p';

# The relay is starting: connected, and not in its slot.
sql('SET client_min_messages = error');    # a relay may be gone already
sql('ALTER SYSTEM SET post_auth_delay = 2');
sql('SELECT pg_reload_conf()');
ok( (wait_for {
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay'");
	sql(q{SELECT count(*) FROM pg_locks AS l WHERE classid = 1262 AND objid = (SELECT oid FROM pg_database WHERE datname = 'd')
		AND granted AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = l.pid)}) > 0
}),
	'a relay is starting');
works('CREATE DATABASE c TEMPLATE d', 'starting');
sql('ALTER SYSTEM RESET post_auth_delay');
sql('SELECT pg_reload_conf()');
works('DROP DATABASE c', 'starting');
wait_relay($node, 'd');

# A template has none.
works('ALTER DATABASE d IS_TEMPLATE true', 'running');
eventually { relay_pid($node, 'd') eq '' } 'the relay leaves a template';
eventually { status($node, 'd', 'why') =~ /is a template/ } 'which the status tells';
put($node, 'd', 'q', 'staged in a template');
works('CREATE DATABASE c TEMPLATE d', 'a template');
works('DROP DATABASE c', 'held');
works('ALTER DATABASE d IS_TEMPLATE false', 'a template');
audit($node, 'd', $redis, ['q'], 8, 'then it comes back');

# In a transaction: away until its end.
sub away
{
	my ($end, $then) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $old = wait_relay($node, 'd');
	my $session = session($node, 'postgres');
	$session->query_safe('BEGIN; ALTER DATABASE d RENAME TO e');
	ok((wait_for { gone($old) }), 'the relay leaves when somebody renames the database');

	# What the launcher does for another database, it would have done for this one.
	sql('CREATE DATABASE later');
	install($node, 'later');
	is(sql("SELECT count(*) FROM pg_locks WHERE classid = 1262 AND NOT granted"), 0, 'none is started meanwhile');
	sql('DROP DATABASE later');
	$end->($session);
	wait_relay($node, $then);
	return;
}
away(sub { $_[0]->query_safe('ROLLBACK'); $_[0]->quit }, 'd');
away(sub { $_[0]->query_safe('SAVEPOINT s; ALTER DATABASE e RENAME TO f; ROLLBACK TO s; COMMIT'); $_[0]->quit }, 'e');
sql('ALTER DATABASE e RENAME TO d');
away(sub { sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"); eval { $_[0]->quit } }, 'd');

# The command fails, since somebody else is connected, or in any other way.
my $other = session($node, 'd');
my $copying = fork // die;
exec('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CREATE DATABASE c TEMPLATE d') unless $copying;
ok((wait_for { $other->query_safe('SELECT why FROM outbox.status') =~ /^the relay is away while/ }), 'the status says why it is away');
waitpid $copying, 0;
isnt($?, 0, 'and somebody else is connected');
for my $command ('DROP DATABASE d', 'ALTER DATABASE d SET TABLESPACE nowhere', 'CREATE DATABASE postgres TEMPLATE d')
{
	my $old = wait_relay($node, 'd');
	my ($rc, $out, $err) = $node->psql('postgres', $command);
	isnt($rc, 0, "$command fails");
	wait_relay($node, 'd');
}
$other->quit;
put($node, 'd', 'q', 'afterwards');
audit($node, 'd', $redis, ['q'], 10, 'after all that');

# Who may not do it may not end the relay either.
sql('CREATE ROLE somebody LOGIN CREATEDB; CREATE ROLE nobody LOGIN');
my $relay = wait_relay($node, 'd');
for my $role ('somebody', 'nobody')
{
	for my $command ('CREATE DATABASE c TEMPLATE d', 'ALTER DATABASE d RENAME TO e', 'ALTER DATABASE d SET TABLESPACE elsewhere', 'DROP DATABASE d')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE $role; $command");
		like($err, qr/permission denied|must be owner/, "$role: $command");
	}
}
put($node, 'd', 'q', 'not disturbed');
settle($node, 'd', $redis, 'q');
is(relay_pid($node, 'd'), $relay, 'the relay has not been ended');

# Several at once, as parallel tests make their databases.


my @pids;
for my $i (1 .. 4)
{
	my $pid = fork // die;
	exec('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CREATE DATABASE clone_$i TEMPLATE d" . ($i % 2 ? '' : ' STRATEGY file_copy')) unless $pid;
	push @pids, $pid;
}
my $failed = 0;
for (@pids) { waitpid $_, 0; $failed++ if $?; }
is($failed, 0, 'four copies at once');

eventually { status($node, "clone_$_", 'state') eq 'held' } "clone $_ is held" for 1 .. 4;
put($node, 'd', 'q', 'last');
audit($node, 'd', $redis, ['q'], 12, 'the original delivers');

# The process that keeps the relay away is killed.
my $session = session($node, 'postgres');
$session->query_safe('BEGIN; ALTER DATABASE d RENAME TO e');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $pid;
$admin->{run}->kill_kill;
wait_for { ask($node, 'postgres', 'SELECT 1') };
wait_relay($node, 'd');
put($node, 'd', 'q', 'after a crash');
audit($node, 'd', $redis, ['q'], 14, 'a crash lets it back');

works_now('DROP DATABASE d');
sub works_now { is(($node->psql('postgres', $_[0]))[0], 0, $_[0]) }
unlike(log_of($node), qr/PANIC|TRAP|deadlock/, 'no crash on the way');

done_testing();
