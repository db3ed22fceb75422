# Copyright (c) 2026, the outbox developers
#
# Promise: a queue may name a foreign server, and a server that is down, hangs,
# refuses or is wrong concerns its own queues only (I8): all others go on meanwhile,
# and staging is emptied.  Each server's state and reason are shown, without secrets.
# Who names a server needs USAGE on it; a server that queues name is not dropped by
# mistake, and keeps them under another name.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'SecretMarkerZQX';
my $default = OutboxTest::Redis->start;
my $jobs = OutboxTest::Redis->start(requirepass => $secret);
my $events = OutboxTest::Redis->start;
my $node = new_node('main', redis => $default, conf => "outbox.retention = 1\n");
my $db = 'postgres';
my %at = (q => $default, r => $jobs, s => $events);
install($node, $db, 'q');

sub sql
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql($db, $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? $out : $err;
}

sub settings { return "settings => '{\"payload_type\": \"text\", \"server\": \"$_[0]\"}'"; }

sub server
{
	my ($name, $columns) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.server_status WHERE coalesce(server, 'default') = '$name'");
}

sub queue { return ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = '$_[0]'"); }

# All messages of the journal have arrived, each once and in order, where they belong.
sub audit_all
{
	my ($at_least, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	settle($node, $db, $at{$_}, $_) for sort keys %at;
	my @journal = @{ journal($node, $db) };
	my @faults = OutboxTest::Checker::faults(\@journal, { map { $_ => [ $at{$_}->arrived($_) ] } keys %at });
	push @faults, 'only ' . @journal . ' messages' if @journal < $at_least;
	return ok(!@faults, $name) || diag(join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
}

# Rights.
$node->safe_psql($db, <<"EOC");
CREATE SERVER jobs FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $jobs->url ]}');
CREATE USER MAPPING FOR PUBLIC SERVER jobs OPTIONS (password '$secret');
CREATE SERVER events FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $events->url ]}');
CREATE ROLE plain;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO plain;
EOC
my $create = 'SELECT outbox_create_queue(\'r\', ' . settings('jobs') . ')';
like(sql("SET ROLE plain; $create"), qr/42501: permission denied for foreign server jobs/, 'no USAGE: no queue');
like(sql("SET ROLE plain; SELECT outbox_alter_queue('q', settings => '{\"server\": \"jobs\"}')"),
	qr/42501: permission denied for foreign server jobs/, '... nor a move');
like(sql('SELECT outbox_create_queue(\'x\', ' . settings('nowhere') . ')'), qr/42704: server "nowhere" does not exist/, 'an unknown server');
like(sql('CREATE FOREIGN DATA WRAPPER other; CREATE SERVER others FOREIGN DATA WRAPPER other;'
	  . ' SELECT outbox_create_queue(\'x\', ' . settings('others') . ')'), qr/42704: server "others" does not exist/, 'a server of another wrapper');
like(sql("SELECT outbox_create_queue('x', settings => '{\"server\": 1}')"), qr/22023/, 'no name');
like(sql("GRANT USAGE ON FOREIGN SERVER jobs TO plain; SET ROLE plain; $create"), qr/^$/, 'with USAGE it is created');
is(sql('SELECT outbox_create_queue(\'s\', ' . settings('events') . ')'), '', 'a third queue');

# Each goes to its own.
put($node, $db, $_, "to $_") for sort keys %at;
audit_all(3, 'each queue has its server');
is($at{$_}->count($_), 2, "$_ is where it belongs") for sort keys %at;
eventually { server('jobs', 'state, queues, delivered') eq 'running|1|2' } 'a server is shown';
is(ask($node, $db, 'SELECT count(*) FROM outbox.server_status'), 3, 'and all others');
is(sql("GRANT pg_monitor TO plain; SET ROLE plain; SELECT address FROM outbox.server_status WHERE server = 'events'"),
	$events->url, 'who monitors may see them');

# One after the other is away, under load.
my $load = load($node, $db, writers => 3, queues => [ sort keys %at ], max_delay => 0.01);

sub others_go_on
{
	my ($queue, $how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $other (grep { $_ ne $queue } sort keys %at)
	{
		my $before = $at{$other}->count($other);
		eventually { $at{$other}->count($other) >= $before + 50 } "$other goes on while the server of $queue $how";
		eventually { queue($other) eq 'flowing' } "$other flows";
	}
	return;
}

wait_for { $jobs->count('r') > 20 };
my ($lost) = @{ ($jobs->arrived('r'))[-1] };
$jobs->kill9;
eventually { queue('r') eq 'waiting for redis' } 'its queue says that it waits';
others_go_on('r', 'is down');
like(server('jobs', 'state, last_error'), qr/^waiting for redis\|./, 'the server is shown to be away');
like(status($node, $db, 'state, summary'), qr/^running\|server jobs is away since ./, 'the relay runs, and the summary names the server');

# Staging is emptied though what its queue has is not delivered.
sub staged_before
{
	my ($seq) = @_;
	return ask($node, $db, "SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE seq <= $seq");
}
my $seq = ask($node, $db, 'SELECT last_value FROM outbox.seq');
eventually { staged_before($seq) eq '0' } 'staging is emptied while a server is away';
my $kept = ask($node, $db, "SELECT count(*) FROM outbox.deferred AS d JOIN outbox.queue AS q ON q.id = d.queue WHERE q.name = 'r'");
cmp_ok($kept, '>', 0, 'what waits for that server is kept');
is(ask($node, $db, "SELECT count(*) FROM outbox.deferred AS d JOIN outbox.queue AS q ON q.id = d.queue WHERE q.name <> 'r' AND d.reason = 'evacuated'"),
	0, 'and nothing of others');

# A relay that starts meanwhile does the same.
my $pid = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
another_relay($node, $db, $pid, 'another relay');
others_go_on('r', 'is down since before the relay began');
$seq = ask($node, $db, 'SELECT last_value FROM outbox.seq');
eventually { staged_before($seq) eq '0' } 'and staging is emptied';
$jobs->start_empty;
eventually { queue('r') eq 'flowing' } 'it comes back';
eventually { grep { $_->[0] eq $lost } $jobs->arrived('r') } '... empty, and what it had got last is sent again';
eventually { server('jobs', 'state, why') eq 'running|' } '... and is shown';

# It hangs.
$jobs->pause;
others_go_on('r', 'hangs');
eventually { queue('r') eq 'waiting for redis' } 'that it hangs is noticed';
others_go_on('r', 'hangs, and that is known');
$jobs->resume;
eventually { queue('r') eq 'flowing' } 'it goes on';

# It refuses who we are.
sql("ALTER USER MAPPING FOR PUBLIC SERVER jobs OPTIONS (SET password 'wrong$secret')");
eventually { server('jobs', 'state, why') =~ /^waiting for redis\|WRONGPASS/ } 'a wrong password is shown';
others_go_on('r', 'refuses');
like(log_of($node), qr/WARNING:  outbox is waiting for server "jobs": WRONGPASS.*\n.*DETAIL:.*\n.*HINT:  Check server "jobs" and its user mapping/,
	'the log says what to do');
sql("ALTER USER MAPPING FOR PUBLIC SERVER jobs OPTIONS (SET password '$secret')");
eventually { queue('r') eq 'flowing' } 'the right one is taken at once';

# It is somewhere else, where nobody listens.
sql("ALTER SERVER events OPTIONS (SET url 'redis://127.0.0.1:1')");
eventually { queue('s') eq 'waiting for redis' } 'a wrong address';
others_go_on('s', 'is nowhere');
sql("ALTER SERVER events OPTIONS (SET url '@{[ $events->url ]}')");
eventually { queue('s') eq 'flowing' } 'the right one';

# Another name.
sql('ALTER SERVER jobs RENAME TO tasks');
is(ask($node, $db, "SELECT server FROM outbox.queue_settings WHERE queue = 'r'"), 'tasks', 'queues keep a server that is renamed');
eventually { server('tasks', 'state') eq 'running' && server('jobs', '1') eq '' } '... and it is shown under its new name';
my $before = $jobs->count('r');
eventually { $jobs->count('r') > $before } '... and served';
like(sql('DROP SERVER tasks'), qr/2BP01: cannot drop server tasks because other objects depend on it.*view outbox_queues\.r depends on server tasks/s,
	'a server that a queue names is not dropped');

# The default server is nothing special.
$default->kill9;
others_go_on('q', 'is down');
eventually { status($node, $db, 'state, summary') =~ /^running\|outbox\.redis_url is away since/ } 'the relay runs without the default server';
$default->start_empty;
eventually { queue('q') eq 'flowing' } 'it comes back';
$load->stop;

# What had been lost with the two that came back empty is known to the tables no more.
# From here on all must be there.
settle($node, $db, $at{$_}, $_) for sort keys %at;
$at{$_}->cmd('DEL', $_) for sort keys %at;
$node->safe_psql($db, 'TRUNCATE journal');
$load = load($node, $db, writers => 3, queues => [ sort keys %at ], max_delay => 0.01);
for my $redis ($jobs, $events)
{
	$redis->pause;
	my $other = $default->count('q');
	eventually { $default->count('q') > $other + 20 } 'one hangs under load';
	$redis->resume;
	$redis->drop_clients;
}
$load->stop;
audit_all(100, 'nothing is lost, doubled or out of order');
unlike(log_of($node) . ask($node, $db, 'TABLE outbox.server_status'), qr/$secret/, 'no secret is shown');

# Without a queue a server is not connected to.
sql("SELECT outbox_drop_queue('r', force => true)");
eventually { server('tasks', '1') eq '' } 'a server without queues is not served';
is(sql('DROP SERVER tasks CASCADE'), '', '... and can be dropped');
done_testing();
