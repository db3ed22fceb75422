# Copyright (c) 2026, the outbox developers
#
# Promise: settings are applied by a reload; a URL that makes no sense is
# refused with the old one kept; and the relay can be watched.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $other = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'q');

# A reload with nonsense.
for my $bad ('http://localhost', 'redis://', 'redis://host:port', 'redis://host:99999', 'unix://relative', 'redis://u@host', 'redis://host/x')
{
	my $log = length log_of($node);
	# ALTER SYSTEM checks the value itself, a file doesn't.
	my ($rc) = $node->psql($db, "ALTER SYSTEM SET outbox.redis_url = '$bad'");
	isnt($rc, 0, "ALTER SYSTEM refuses \"$bad\"");
	$node->append_conf('postgresql.conf', "outbox.redis_url = '$bad'");
	$node->reload;
	eventually { substr(log_of($node), $log) =~ /outbox\.redis_url/ } "the log tells of \"$bad\"";
	is($node->safe_psql($db, 'SHOW outbox.redis_url'), $redis->url, 'the old URL is kept');
}
my $pid = relay_pid($node, $db);
put($node, $db, 'q', 'second');
settle($node, $db, $redis, 'q');
is(relay_pid($node, $db), $pid, 'the relay has not noticed');

# A reload with another server: what is retained and not there goes there.
$node->append_conf('postgresql.conf', "outbox.redis_url = '" . $other->url(3) . "'");
$node->reload;
put($node, $db, 'q', 'third');
$other->cmd('SELECT', 3);
settle($node, $db, $other, 'q');
is($redis->count('q'), 4, 'the old server gets nothing more');
audit($node, $db, $other, ['q'], 6, 'the new server has all, in the database that was named');
is(relay_pid($node, $db), $pid, 'the relay is the same');

# Watching it.
like(ask($node, $db, "SELECT state FROM pg_stat_activity WHERE pid = $pid"), qr/./, 'it has a state in pg_stat_activity');
eventually { ask($node, $db, "SELECT wait_event_type || wait_event FROM pg_stat_activity WHERE pid = $pid") ne '' } 'and a wait event when it waits';
eventually { ask($node, $db, "SELECT backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE pid = $pid") eq 't' } 'and no transaction then';
is($node->safe_psql($db, 'SELECT count(*) FROM outbox.status'), 1, 'status has one row');
is(status($node, $db, q{pid = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox relay') AND since <= now() AND last_success <= now()}), 't', 'with its pid and times');

# No network wait inside a transaction: while Redis hangs with a batch, the
# relay holds neither snapshot nor lock.
$other->pause;
put($node, $db, 'q', map { "hanging $_" } 1 .. 100);
eventually {
	ask($node, $db, "SELECT backend_xmin IS NULL AND xact_start IS NULL AND wait_event IS NOT NULL FROM pg_stat_activity WHERE pid = $pid") eq 't'
	  && ask($node, $db, "SELECT count(*) FROM pg_locks WHERE pid = $pid") eq '0'
} 'no snapshot, transaction or lock while Redis hangs';
$other->resume;

# The size limit.
configure($node, 'outbox.max_message_size' => '1kB');
my ($rc, undef, $err);
eventually {
	($rc, undef, $err) = $node->psql($db, q{SELECT outbox_enqueue('q', repeat('x', 1025))}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	$rc != 0
} 'a message above the limit is refused after a reload';
like($err, qr/ERROR:  54000: /, 'with its SQLSTATE');
is(scalar $node->psql($db, q{SELECT outbox_enqueue('q', repeat('x', 1024))}), 0, 'one at the limit is not');

# Whether the synchronous standby is waited for is the server's, too (137).
is($node->safe_psql($db, 'SHOW outbox.wait_for_standby'), 'on', 'the standby is waited for by default');
isnt(scalar $node->psql($db, 'SET outbox.wait_for_standby = off'), 0, 'no session can change that');
configure($node, 'outbox.wait_for_standby' => 'off');
eventually { ask($node, $db, 'SHOW outbox.wait_for_standby') eq 'off' } 'a reload can';

# No URL is not a way to say "localhost": messages would go where nobody meant
# them to.
isnt(scalar $node->psql($db, "ALTER SYSTEM SET outbox.redis_url = ''"), 0, 'an empty URL is refused');

done_testing();
