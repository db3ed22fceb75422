# Copyright (c) 2026, the outbox developers
#
# Promise: whatever ends the launcher or a relay, both come back, no relay is lost
# sight of, and none fails at the same pace for ever.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
# Workers of autovacuum would look like a relay that starts.
my $node = new_node('main', redis => $redis, conf => 'autovacuum = off');
my $db = 'postgres';
install($node, $db, 'q');
my $admin = session($node, $db);

sub launcher { return ask($node, $db, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox launcher'"); }

sub another_launcher
{
	my ($old) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually { my $new = launcher(); $new && $new ne $old } 'another launcher';
}

# The launcher is cancelled, which is nothing, and ended.
my ($launcher, $relay) = (launcher(), wait_relay($node, $db));
$node->safe_psql($db, "SELECT pg_cancel_backend($launcher)");
$node->safe_psql($db, 'CREATE DATABASE seen');
install($node, 'seen', 'q2');
is(launcher(), $launcher, 'a launcher that is cancelled goes on');
unlike(log_of($node), qr/canceling statement/, 'and says nothing');
$node->safe_psql($db, "SELECT pg_terminate_backend($launcher)");
another_launcher($launcher);
put($node, $db, 'q', 'relays go on');
settle($node, $db, $redis, 'q');
is(relay_pid($node, $db), $relay, 'a launcher that is ended takes no relay with it');
$node->safe_psql($db, "SELECT pg_terminate_backend($relay)");
another_relay($node, $db, $relay, 'the new launcher knows the relays');

# It is ended while a relay is starting.
$relay = relay_pid($node, $db);
$launcher = launcher();
$admin->query_safe('SET client_min_messages = error');    # a relay may be gone already
$admin->query_safe('ALTER SYSTEM SET post_auth_delay = 3');
$admin->query_safe('SELECT pg_reload_conf()');
ok((wait_for {
	$admin->query_safe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datname = '$db'");
	$admin->query_safe(q{SELECT count(*) FROM pg_locks AS l WHERE classid = 1262 AND granted
		AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = l.pid)}) > 0
}), 'a relay is starting');
$admin->query_safe("SELECT pg_terminate_backend($launcher)");
$admin->query_safe('ALTER SYSTEM RESET post_auth_delay');
$admin->query_safe('SELECT pg_reload_conf()');
another_launcher($launcher);
another_relay($node, $db, $relay, 'a relay comes');
my $since = $node->safe_psql($db, 'SELECT now()');
put($node, $db, 'q', 'x');
settle($node, $db, $redis, 'q');
is($node->safe_psql($db, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datname = '$db'"), 1, 'and it is the only one');
is(status($node, $db, 'state'), 'running', 'which the status shows');

# Killed, either of them: the server begins anew.
$admin->quit;
for my $find (\&launcher, sub { relay_pid($node, $db) })
{
	my $victim = $find->();
	kill 'KILL', $victim;
	eventually { ask($node, $db, "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('outbox launcher', 'outbox relay') AND pid <> $victim") eq '3' } 'all come back';
	put($node, $db, 'q', "after $victim");
	settle($node, $db, $redis, 'q');
}
audit($node, $db, $redis, ['q'], 5, 'each message once, in order');

# A relay that can't connect is started less and less often.
my $broken = $node->data_dir . '/base/' . $node->safe_psql($db, "SELECT oid FROM pg_database WHERE datname = 'seen'") . '/PG_VERSION';
put($node, 'seen', 'q2', 'later');
settle($node, 'seen', $redis, 'q2');
rename $broken, "$broken.away" or die;
$node->safe_psql($db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datname = 'seen'");
my @at;
ok((wait_for {
	@at = map { $_->[0] * 3600 + $_->[1] * 60 + $_->[2] } map { [ /^\S+ (\d+):(\d+):([\d.]+)/ ] } grep { /FATAL.*base\/\d+.*is not a valid/ } split /\n/, log_of($node);
	@at >= 4;
}), 'four attempts');
my $gap = $at[3] - $at[2];
$gap += 86400 if $gap < 0;
cmp_ok($gap, '>', 3.5, 'the fourth one a while after the third');
rename "$broken.away", $broken or die;
put($node, 'seen', 'q2', 'as soon as it can');
wait_relay($node, 'seen');
audit($node, 'seen', $redis, ['q2'], 4, 'mended, it delivers');

done_testing();
