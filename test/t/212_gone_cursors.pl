# Copyright (c) 2026, the outbox developers
#
# Promise: cursors of databases that are gone are found by a look at some keys at a
# time, and removed by name only: if they are marked as this server's, their
# database does not exist, and they were not in use for a day.  What is in use, of
# another server, unmarked, or no cursor at all, is never removed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'max_worker_processes = 20');
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql('postgres', 'CREATE DATABASE other');
install($node, 'other', 'r');
$node->safe_psql('postgres', 'CREATE DATABASE dropped');
install($node, 'dropped', 'gone', 'gone too');
$node->safe_psql('dropped', "SELECT outbox_create_queue('of list', 'list')");

sub cursor { my ($key) = @_; return $redis->cmd('KEYS', "{$key}:outbox:*")->[0]; }
sub mark { my ($name) = @_; return $redis->cmd('HGET', $name, 'owner') // ''; }
sub listed { return join "\n", sort split /\n/, $node->safe_psql($db, 'SELECT name, removable FROM outbox_gone_cursors()'); }

my $system = $node->safe_psql($db, 'SELECT system_identifier FROM pg_control_system()');
my %oid = map { split /\|/ } split /\n/, $node->safe_psql($db, 'SELECT datname, oid FROM pg_database');
my %database = (q => $db, r => 'other', gone => 'dropped', 'gone too' => 'dropped', 'of list' => 'dropped');
for my $key (sort keys %database)
{
	eventually { my $name = cursor($key); $name && mark($name) =~ /^$system $oid{$database{$key}} \d{10}$/ } "the cursor of \"$key\" is marked";
}
my %name = map { $_ => cursor($_) } keys %database;
is(listed(), '', 'nothing is gone');

# A mark that is lost comes again with the cursor, by another connection.
$redis->cmd('HDEL', $name{q}, 'owner');
$redis->drop_clients;
eventually { mark($name{q}) =~ /^$system / } 'a mark that is lost comes again';
put($node, $db, 'q', 'hello');
audit($node, $db, $redis, ['q'], 1, 'marks are nothing to delivery');

# Dropped: found, whatever lies around them, and not removable yet.
$node->safe_psql('postgres', 'DROP DATABASE dropped WITH (FORCE)');
is(listed(), join("\n", sort map { "$name{$_}|f" } 'gone', 'gone too', 'of list'), 'the cursors of a database that is gone');
$redis->cmd('EVAL', 'for i = 1, 20000 do redis.call("SET", "key " .. i, i) end', 0);
for my $i (1 .. 1000)
{
	my $source = sprintf '%08x-0000-4000-8000-000000000000', $i;
	$redis->cmd('HSET', "{many $i}:outbox:$source:1", 'pos', 'x', 'owner', "$system 99999 1");
}
my ($calls, $keys) = map { $redis->calls($_) } 'eval', 'keys';
is($node->safe_psql($db, q[SELECT count(*), count(DISTINCT name), bool_and(removable = (name LIKE '{many%')) FROM outbox_gone_cursors()]), '1003|1003|t', 'a thousand more, each once');
cmp_ok($redis->calls('eval') - $calls, '>=', 20, 'in many pieces');
is($redis->calls('keys'), $keys, 'and never by KEYS');

# What may not be removed.
my ($rc, $out, $err);
sub remove
{
	my ($name) = @_;
	(my $quoted = $name) =~ s/'/''/g;
	($rc, $out, $err) = $node->psql($db, "SELECT outbox_remove_cursor('$quoted')");
	return $err;
}
my $old = $redis->cmd('TIME')->[0] - 86401;
my $uuid = '01234567-89ab-4cde-8f01-23456789abcd';
my %refused = (
	$name{q} => qr/not removed: its database exists/,
	$name{r} => qr/not removed: its database exists/,
	$name{gone} => qr/not removed: it was in use within the last day/,
	"{none}:outbox:$uuid:1" => qr/not removed: it is not there, or has no mark/,
	"{unmarked}:outbox:$uuid:1" => qr/not removed: it is not there, or has no mark/,
	"{foreign}:outbox:$uuid:1" => qr/not removed: it is another server's/,
	"{younger}:outbox:$uuid:1" => qr/not removed: it was in use within the last day/,
	"{strange}:outbox:$uuid:1" => qr/not removed: its mark cannot be read/,
	"{string}:outbox:$uuid:1" => qr/the relay cannot ask Redis: WRONGTYPE/,
	'key 1' => qr/this is not the name of a cursor/,
	"{x}:outbox:$uuid:1:dead" => qr/this is not the name of a cursor/,
	"{x}:outbox:$uuid:" => qr/this is not the name of a cursor/,
	"$uuid:1" => qr/this is not the name of a cursor/,
	'' => qr/this is not the name of a cursor/,
	'x' x 600 . ":outbox:$uuid:1" => qr/this is not the name of a cursor/);
$redis->cmd('HSET', "{unmarked}:outbox:$uuid:1", 'pos', 'x');
$redis->cmd('HSET', "{foreign}:outbox:$uuid:1", 'owner', "1 1 $old");
$redis->cmd('HSET', "{younger}:outbox:$uuid:1", 'owner', "$system 99999 " . ($old + 100));
$redis->cmd('HSET', "{strange}:outbox:$uuid:1", 'owner', 'something else');
$redis->cmd('SET', "{string}:outbox:$uuid:1", "$system 99999 $old");
my $before = $redis->cmd('DBSIZE');
for my $name (sort keys %refused)
{
	like(remove($name), $refused{$name}, 'refused: ' . substr($name, 0, 60));
}
is($redis->cmd('DBSIZE'), $before, 'nothing is removed');
$redis->cmd('DEL', "{string}:outbox:$uuid:1");

# What may be: the one that is named.
for my $key ('gone', 'gone too')
{
	$redis->cmd('HSET', $name{$key}, 'owner', "$system $oid{dropped} $old");
}
is($node->safe_psql($db, "SELECT removable, database = $oid{dropped}, last_used FROM outbox_gone_cursors() WHERE name = '$name{gone}'"),
	't|t|' . $node->safe_psql($db, "SELECT to_timestamp($old)"), 'it was in use more than a day ago');
is(remove($name{gone}), '', 'it is removed');
is($redis->cmd('EXISTS', $name{gone}), 0, 'and gone');
is($redis->cmd('EXISTS', $name{'gone too'}), 1, 'the other one is there');
like(remove($name{gone}), qr/it is not there/, 'a second time');
put($node, $db, 'q', 'still the same');
audit($node, $db, $redis, ['q'], 2, 'cursors that are in use are not concerned');

# One that is used between the look at its mark and its removal stays.
my $key = $name{'gone too'};
my $proxy = OutboxTest::Impostor->start($redis->socket, qr/\r\n\Q$key\E\r\n\$\d+\r\n$system /s, sub {
	system('redis-cli', '-s', $redis->socket, 'HSET', $key, 'owner', "$system $oid{dropped} " . ($old + 86401));
	return;
});
configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $proxy->port . '/0');
eventually { remove($key) =~ /not removed: it has just been used/ } 'used in between, it stays';
is($redis->cmd('EXISTS', $key), 1, 'it is there');
configure($node, 'outbox.redis_url' => $redis->url);

# Two at once, one of whom is cancelled; Redis away; no relay.
eventually { status($node, $db, 'state') eq 'running' } 'connected';
my $session = session($node, $db);
$redis->pause;
$session->query_until(qr/asked/, "\\echo asked\nSELECT count(*) FROM outbox_gone_cursors();\n");
eventually { ask($node, 'other', "SELECT wait_event FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM outbox_gone%' AND state = 'active'") ne '' } 'somebody waits for Redis';
my ($code) = $node->psql($db, "SET statement_timeout = '100ms'; SELECT * FROM outbox_gone_cursors()");
isnt($code, 0, 'another one waits for the first, and is cancelled');
$node->safe_psql('other', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM outbox_gone%' AND state = 'active'");
$redis->resume;
eventually { my $n = ask($node, $db, 'SELECT count(*) FROM outbox_gone_cursors()'); $n eq '1003' } 'after that it answers';
$session->quit;

# Another server that is away keeps nobody from what this one has.
my $found = ask($node, $db, 'SELECT name FROM outbox_gone_cursors() WHERE removable LIMIT 1');
$node->safe_psql($db, "CREATE SERVER nowhere FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://127.0.0.1:1')");
$node->safe_psql($db, q{SELECT outbox_create_queue('far', settings => '{"server": "nowhere"}')});
eventually { ask($node, $db, "SELECT state FROM outbox.server_status WHERE server = 'nowhere'") eq 'waiting for redis' } 'a server is away';
($code, undef, $err) = $node->psql($db, "SELECT outbox_remove_cursor('$found')");
is($code, 0, 'a cursor is removed from the other one') or diag $err;
like($err, qr/WARNING:  the relay cannot ask server "nowhere"/, 'and it is said which was not asked');
is(ask($node, $db, "SELECT count(*) FROM outbox_gone_cursors() WHERE name = '$found'"), '0', 'it is gone');
$node->safe_psql($db, "SELECT outbox_drop_queue('far'); DROP SERVER nowhere");
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.server_status') eq '1' } 'one server again';
$redis->stop_saved;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'Redis is away';
(undef, undef, $err) = $node->psql($db, 'SELECT * FROM outbox_gone_cursors()');
like($err, qr/the relay cannot ask Redis: it is not connected to Redis/, 'it says that Redis is away');
$redis->start_again;
$node->safe_psql($db, 'SELECT outbox_enable(false)');
eventually { status($node, $db, 'state') eq 'disabled' } 'off';
(undef, undef, $err) = $node->psql($db, 'SELECT * FROM outbox_gone_cursors()');
like($err, qr/the relay cannot ask Redis: outbox_enable\(false\)/, 'it says that delivery is off');

# Neither is for everybody.
for my $call ('outbox_gone_cursors()', "outbox_remove_cursor('x')")
{
	(undef, undef, $err) = $node->psql($db, "SET ROLE pg_monitor; SELECT * FROM $call");
	like($err, qr/permission denied for function/, "$call is not for everybody");
}

done_testing();
