# Copyright (c) 2026, the outbox developers
#
# Promise: a database in which outbox_enable(false) was called stages messages and
# delivers none, says so with what waits, and delivers them, once and in order, when
# it is enabled (I2, I3, I4).  A copy of it is turned off from its first moment, a
# dump's copy is not; restarts, crashes and promotions change nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, streaming => 1, conf => 'max_worker_processes = 20');
my $db = 'postgres';
install($node, $db, 'q', 'r', 's');
put($node, $db, 'q', map { "before $_" } 1 .. 5);
settle($node, $db, $redis, 'q');

sub is_off
{
	my ($server, $database, $waiting, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually { status($server, $database, 'state, waiting') eq "disabled|$waiting" } "$name: it is off, and says that $waiting wait";
}

# What has arrived in all, and how many clients Redis has: a relay that is off has no connection.
sub connections
{
	return scalar grep { /name=outbox/ } split /\n/, $redis->cmd('CLIENT', 'LIST');
}

# Off.
my $arrived = $redis->count('q');
$node->safe_psql($db, 'SELECT outbox_enable(false)');
eventually { status($node, $db, 'state') eq 'disabled' } 'turned off';
put($node, $db, 'q', map { "while it is off $_" } 1 .. 7);
$node->safe_psql($db, q{SELECT outbox_enqueue('s', 'due', delay => '1 ms')});
is_off($node, $db, 7, 'turned off');
like(status($node, $db, 'why'), qr/^outbox_enable\(false\) since \d{4}-.*; outbox_enable\(true\) delivers what waits/, 'why says what to do');
eventually { status($node, $db, 'summary') =~ /^disabled since .*; 7 messages wait$/ } 'the summary tells how many wait';
is($redis->count('q'), $arrived, 'nothing is delivered');
eventually { connections() == 0 } 'the relay has no connection';
like(log_of($node), qr/LOG:  outbox delivers nothing, as outbox_enable\(false\) has been called/, 'the log says it');

# It stays so, whatever happens to the relay or the server.
my $relay = relay_pid($node, $db);
$node->safe_psql($db, "SELECT pg_terminate_backend($relay)");
another_relay($node, $db, $relay, 'another relay');
is_off($node, $db, 7, 'another relay');
$node->stop('immediate');
$node->start;
is_off($node, $db, 7, 'after a crash');
put($node, $db, 'q', 'after the crash');
is_off($node, $db, 8, 'and a message more');
is(connections(), 0, 'nobody has connected');

# What was rolled back has no effect, and the same again none either.
$node->safe_psql($db, 'BEGIN; SELECT outbox_enable(true); ROLLBACK; SELECT outbox_enable(false)');
is_off($node, $db, 8, 'enabled and rolled back');

# A copy is off, too, and is held beside that; a restored dump is held and not off.
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
eventually { ($node->psql('elsewhere', "CREATE DATABASE copy TEMPLATE $db"))[0] == 0 } 'a copy';
is_off($node, 'copy', 14, 'the copy');
eventually { status($node, 'copy', 'why') =~ /^outbox_enable\(false\) since .*; then copy: this database was copied/ } 'and says that it is held beside that';
$node->safe_psql('copy', "SELECT outbox_release('copy')");
is_off($node, 'copy', 14, 'the copy when it is released');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), '--exit-on-error', $dump ], 'pg_restore');
eventually { status($node, 'restored', 'state') eq 'held' } 'a restored dump is held';
is($node->safe_psql('restored', 'SELECT count(*) FROM outbox.delivery'), 0, 'and not turned off');
is($redis->count('q'), $arrived, 'still nothing is delivered');

# The recipe for test servers.
$node->safe_psql('template1', 'CREATE EXTENSION outbox; SELECT outbox_enable(false)');
$node->safe_psql('postgres', 'CREATE DATABASE test_1');
$node->safe_psql('test_1', q{SELECT outbox_create_queue('t'); SELECT outbox_enqueue('t', '"x"')});
is_off($node, 'test_1', 1, 'a database made from a template that is off');
is($redis->count('t'), 0, 'nothing is delivered');
$node->safe_psql('test_1', 'SELECT outbox_enable(true)');
eventually { $redis->count('t') == 1 } 'until it is enabled';
$node->safe_psql('test_1', 'SELECT outbox_enable(false)');

# A standby that is promoted is off as the primary was.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my (undef, undef, $err) = $standby->psql($db, 'SELECT outbox_enable(true)');
like($err, qr/cannot execute outbox_enable\(\) (in a read-only transaction|during recovery)/, 'a standby refuses');
$node->stop('immediate');
$standby->promote;
is_off($standby, $db, 8, 'the promoted standby');
is($redis->count('q'), $arrived, 'it delivers nothing');

# On: all of it, once, in order, at once.
my $log = length log_of($standby);
$standby->safe_psql($db, 'SELECT outbox_enable(true)');
put($standby, $db, 'q', 'enabled');
audit($standby, $db, $redis, ['q'], 14, 'enabled: all is delivered, once, in order');
eventually { $redis->count('s') == 1 } 'also what was due meanwhile';
eventually { status($standby, $db, 'state') eq 'running' } 'it is running';
like(substr(log_of($standby), $log), qr/LOG:  outbox delivers, as outbox_enable\(true\) has been called/, 'the log says it');

# Turned off under load and on again.
my $load = load($standby, $db, writers => 2, queues => [ 'q', 'r' ], max_delay => 0.002);
for (1 .. 5)
{
	my $n = $redis->count('q');
	eventually { $redis->count('q') > $n + 10 } 'messages flow';
	$standby->safe_psql($db, 'SELECT outbox_enable(false)');
	eventually { status($standby, $db, 'state') eq 'disabled' && connections() == 0 } 'off';
	$n = $redis->count('q');
	eventually { status($standby, $db, 'waiting') > 20 } 'messages wait';
	is($redis->count('q'), $n, 'and none arrives');
	$standby->safe_psql($db, 'SELECT outbox_enable(true)');
}
$load->stop;
audit($standby, $db, $redis, [ 'q', 'r' ], 100, 'off and on under load: nothing lost, nothing twice, in order');

# By hand.
$standby->safe_psql($db, q{UPDATE outbox.delivery SET enabled = false; SELECT outbox_pause_queue('s')});
eventually { status($standby, $db, 'state') eq 'disabled' } 'the row changed by hand';
$standby->safe_psql($db, 'SELECT outbox_enable(true)');
eventually { status($standby, $db, 'state') eq 'running' } 'and again by the function';

done_testing();
