# Copyright (c) 2026, the outbox developers
#
# Promise: no ALTER DATABASE and no ALTER ROLE keeps the relay from its work, or changes it.
# Every setting that a session may have is set to what is farthest from its value, at each of
# the places where it can be set, and a relay is started under that.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
outbox.retention = 1
log_line_prefix = '%b: '
shared_preload_libraries = 'outbox, auto_explain'
EOC
my $db = 'postgres';
install($node, $db, 'q', 'paused', 'later');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('bad', on_failure => 'retry', max_attempts => 2, retry_delay => '1 ms');
SELECT create_queue('dead', on_failure => 'dead_letter');
SELECT outbox_pause_queue('paused');
CREATE ROLE app;
EOC
$redis->cmd('SET', $_, 'no stream') for 'bad', 'dead';
my ($dead, $later) = (0, 0);

# All that a relay does, and that it did.
sub works
{
	my ($name) = @_;
	$dead += 2;
	$later++;
	put($node, $db, 'paused', $name);
	$node->safe_psql($db, <<'EOC');
SELECT outbox_enqueue('bad', 'x', key => 'k');
SELECT outbox_enqueue('dead', 'x', key => 'k');
SELECT outbox_enqueue('q', 'resent');
SELECT outbox_enqueue('later', repeat(md5(random()::text), 1000), delay => '1 ms');
EOC
	eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters') == $dead } "$name: dead letters";
	eventually { $redis->count('later') == $later } "$name: a delayed message";
	settle($node, $db, $redis, 'q');
	my $arrived = $redis->count('q');
	$node->safe_psql($db, "SELECT outbox_resend('q', now() - interval '1 hour')");
	eventually { $redis->count('q') > $arrived } "$name: delivered again";
	eventually { $node->safe_psql($db, q{SELECT bool_or(pg_relation_size(oid) = 0) FROM pg_class WHERE relname ~ '^staging_.$'}) eq 't' } "$name: staging is emptied";
	eventually { status($node, $db, 'state, why') eq 'running|' } "$name: status has no reason";
	return;
}

# Settings are in effect while a relay connects, and not for anybody else.
my $admin = session($node, 'template1');
my %places = (
	'ALTER DATABASE postgres' => 'ALTER DATABASE postgres RESET ALL',
	'ALTER ROLE CURRENT_USER IN DATABASE postgres' => 'ALTER ROLE CURRENT_USER IN DATABASE postgres RESET ALL',
	'ALTER ROLE CURRENT_USER' => 'ALTER ROLE CURRENT_USER RESET ALL',
	'ALTER ROLE ALL' => 'ALTER ROLE ALL RESET ALL');
my $n = 0;
for my $place (sort keys %places)
{
	my $commands = run_sql($node, $db, '151_settings.sql', what => $place, n => $n++);
	my $relay = relay_pid($node, $db);
	frozen {
		# psql goes on after a value that is refused
		$node->psql('template1', $commands . "$place SET role = 'app';", on_error_stop => 0);
		my $set = $admin->query_safe('SELECT sum(cardinality(setconfig)) FROM pg_db_role_setting');
		cmp_ok($set, '>', 150, "$place: $set settings");
		$admin->query_safe("SELECT pg_terminate_backend($relay)");
	} $relay;
	my $new;
	eventually {
		$new = $admin->query_safe(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox relay'});
		$new && $new ne $relay && $admin->query_safe("SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $new") eq 't';
	} "$place: another relay";
	my $log = length log_of($node);
	$admin->query_safe($places{$place});
	is($admin->query_safe('SELECT count(*) FROM pg_db_role_setting'), 0, "$place: is undone");
	works($place);
	is(relay_pid($node, $db), $new, "$place: it is the same relay");
	is(join("\n", grep { /^outbox relay: (?!WARNING:  outbox has given up|HINT|LOG:  outbox)/ } split /\n/, substr(log_of($node), $log)), '', "$place: the relay logs nothing else");
}
$node->safe_psql($db, q{SELECT outbox_resume_queue('paused')});
$admin->quit;

# What the relay depends on, in the server's own configuration.
my %server = (
	lock_timeout => 1, statement_timeout => 1, idle_in_transaction_session_timeout => 1, temp_file_limit => 0,
	default_transaction_isolation => 'serializable', default_transaction_read_only => 'on',
	default_transaction_deferrable => 'on', session_replication_role => 'replica', row_security => 'on',
	search_path => 'nowhere', debug_print_parse => 'on', debug_print_rewritten => 'on', debug_print_plan => 'on',
	'auto_explain.log_min_duration' => 0, 'auto_explain.log_verbose' => 'on', 'auto_explain.log_nested_statements' => 'on');
my $relay = relay_pid($node, $db);
my $log = length log_of($node);
{
	local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c default_transaction_read_only=off -c default_transaction_deferrable=off -c search_path=public';
	configure($node, %server);
	$node->safe_psql($db, "SELECT pg_terminate_backend($relay)");
	another_relay($node, $db, $relay, 'a relay with hostile settings of the server');
	eventually { status($node, $db, 'state') eq 'running' } 'runs';
	my ($count) = $redis->count('q');
	$node->safe_psql($db, "SELECT outbox_enqueue('q', 'x', delay => '1 ms')");
	$node->safe_psql($db, "SELECT outbox_enqueue('dead', 'x')");
	eventually { $redis->count('q') > $count } 'and delivers';
	eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters') == $dead + 1 } 'records a dead letter';
}
# one that is told to end in the middle of a query says in which
(my $said = substr(log_of($node), $log)) =~ s/^(outbox relay: FATAL:  terminating.*\n)outbox relay: CONTEXT:  SQL statement.*\n/$1/mg;
is(join("\n", grep { /^outbox relay: (?!WARNING:  outbox has given up|HINT|FATAL:  terminating|LOG:  (outbox|parameter|received))/ } split /\n/, $said), '', 'and logs no plan');

done_testing();
