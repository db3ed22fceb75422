# Copyright (c) 2026, the outbox developers
#
# Promise: payloads and secrets appear in no log, no pg_stat_activity, no error
# text and no status (I10).  Everything that can go wrong is made to go wrong
# with a marker in it, and then all those places are searched.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $payload = 'PayloadMarkerZQX';
my $password = 'PasswordMarkerZQX';
my $redis = OutboxTest::Redis->start(requirepass => $password);
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $at = '127.0.0.1:' . $proxy->port;
my $node = new_node('main', url => "redis://:$password\@$at/0", conf => <<'EOC');
log_min_messages = debug5
log_error_verbosity = verbose
log_min_error_statement = panic
EOC
my $db = 'postgres';
install($node, $db, 'q', 'list');
$node->safe_psql($db, q{SELECT create_queue('json', 'list'), outbox_create_queue('documents'); CREATE ROLE nosy; GRANT pg_monitor TO nosy});
my $watched = '';

# A look at all that others can see of the relay; not at this test's own sessions, which
# show the statement of a caller for a moment longer than psql is there.
sub look
{
	my ($out) = $node->safe_psql($db, q{SET ROLE nosy; SELECT * FROM outbox.status;
		SELECT * FROM pg_stat_activity WHERE application_name IS DISTINCT FROM current_setting('application_name')});
	$watched .= $node->safe_psql($db, "SELECT * FROM pg_stat_activity WHERE backend_type LIKE 'outbox%'") . $out;
	return 1;
}

sub enqueue
{
	for my $queue ('q', 'json')
	{
		$node->safe_psql($db, "SELECT outbox_enqueue('$queue', '$payload', type => '$payload', key => '$payload', headers => '{\"$payload\":\"$payload\"}')");
	}
	return;
}

# All is well.
enqueue();
eventually { look() && $redis->count('q') == 1 } 'delivered with a password';

# A connection cut in the middle of a message, both ways.
$proxy->plan([ 'c2s', 300 ], [ 's2c', 3 ]);
enqueue();
eventually { look() && $redis->count('q') == 2 } 'delivered over cuts';

# Redis refuses: the type, a command that it does not know, no memory.
$redis->cmd('RENAME', 'q', 'aside');
$redis->cmd('SET', 'q', 'of another type');
enqueue();
eventually { look() && status($node, $db, 'last_error') =~ /WRONGTYPE/ } 'WRONGTYPE';
$redis->cmd('DEL', 'q');
$redis->cmd('RENAME', 'aside', 'q');
eventually { $redis->count('q') == 3 } 'mended';
$redis->cmd('CONFIG', 'SET', 'maxmemory', '1');
enqueue();
eventually { look() && status($node, $db, 'last_error') =~ /OOM/ } 'OOM';
$redis->cmd('CONFIG', 'SET', 'maxmemory', '0');
eventually { $redis->count('q') == 4 } 'mended';
$redis->cmd('ACL', 'SETUSER', 'default', '-xadd', '-rpush');
enqueue();
eventually { look() && status($node, $db, 'last_error') =~ /NOPERM|can't run this command|no permissions to run/ } 'no permission for the command';
$redis->cmd('ACL', 'SETUSER', 'default', '+@all');
eventually { $redis->count('q') == 5 } 'mended';

# The password is wrong, for the operator to mend.
$redis->cmd('CONFIG', 'SET', 'requirepass', 'changed');
$redis->drop_clients;
enqueue();
eventually { look() && status($node, $db, 'last_error') =~ /WRONGPASS|password/i } 'a wrong password is told of';
$redis->cmd('CONFIG', 'SET', 'requirepass', $password);
eventually { $redis->count('q') == 6 } 'mended';

# A server that has no AUTH repeats what it was given.
my $stranger = OutboxTest::Redis->start('rename-command' => [ 'AUTH', 'SOMETHING-ELSE' ]);
my $there = OutboxTest::Proxy->start($stranger->socket);
is(ref $stranger->client->try('AUTH', $password), 'OutboxTest::Redis::Error', 'a server without AUTH');
$node->append_conf('postgresql.conf', "outbox.redis_url = 'redis://:$password\@127.0.0.1:" . $there->port . "/0'");
$node->reload;
enqueue();
eventually { look() && status($node, $db, 'last_error') =~ /unknown command/i } 'AUTH is not known';
$node->append_conf('postgresql.conf', "outbox.redis_url = 'redis://:$password\@$at/0'");
$node->reload;
eventually { $redis->count('q') == 7 } 'mended';

# URLs that make no sense.
for my $bad ("redis://:$password\@host:port", "redis://$password\@host", "http://:$password\@host/", "redis://:$password%zz\@host")
{
	my $log = length log_of($node);
	my ($rc, undef, $err) = $node->psql($db, "ALTER SYSTEM SET outbox.redis_url = '$bad'");
	isnt($rc, 0, 'a bad URL is refused');
	$watched .= $err;
	$node->append_conf('postgresql.conf', "outbox.redis_url = '$bad'");
	$node->reload;
	eventually { substr(log_of($node), $log) =~ /LOG.*outbox\.redis_url/ } 'and the log says so';
}
$node->append_conf('postgresql.conf', "outbox.redis_url = 'redis://:$password\@$at/0'");

# Callers' mistakes.  The statement itself is psql's to repeat, not ours.
for my $call (
	"'unknown', '$payload'",
	"'q', '$payload', headers => '[\"$payload\"]'",
	"'q', '$payload', headers => '{\"$payload\":1}'",
	"'q', repeat('$payload', 200000)",
	"'documents', '$payload'", "'documents', '{\"$payload\": }'", "'documents', '{\"a\": \"$payload'::bytea",
	"'documents', '\\x$payload'", "'q', '$payload'::bytea", "'q', convert_to('$payload', 'UTF8')::text")
{
	my ($rc, undef, $err) = $node->psql($db, "SELECT outbox_enqueue($call)");
	isnt($rc, 0, 'a mistake is refused');
	$watched .= $err;
}

# Who may see the URL.
my ($rc, $out, $err) = $node->psql($db, 'SET ROLE nosy; RESET ROLE; CREATE ROLE anyone; SET ROLE anyone; SHOW outbox.redis_url');
isnt($rc, 0, 'the URL is for superusers');
$watched .= $node->safe_psql($db, "SET ROLE anyone; SELECT * FROM pg_settings WHERE name LIKE 'outbox.%'");

# Dead and restarted relays talk too.
$node->safe_psql($db, 'SELECT pg_terminate_backend(' . relay_pid($node, $db) . ')');
$node->restart;
wait_relay($node, $db);
look();

like($watched, qr/outbox relay/, 'something was looked at');
unlike($watched, qr/\Q$payload/, 'no payload in errors, status or pg_stat_activity');
unlike($watched, qr/\Q$password/, 'no password there');
my $log = log_of($node);
like($log, qr/WRONGTYPE/, 'the log has errors');
is(join("\n", grep { /\Q$payload/ } split /\n/, $log), '', 'no payload in the log');
is(join("\n", grep { /\Q$password/ } split /\n/, $log), '', 'no password in the log');

done_testing();
