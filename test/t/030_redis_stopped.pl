# Copyright (c) 2026, the outbox developers
#
# Promise: Redis being down never fails or slows the caller (I7), loses nothing
# (I2) and burns nothing (I9); when it is back all arrives in order.  A Redis
# that comes back empty gets again what is retained, and nothing older.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'q', 'r');

my $commits = 'CALL commits(500)';
$node->safe_psql($db, $commits);    # warm up
my $up = seconds { $node->safe_psql($db, $commits) };
my $wait = 0;    # how many commits wait
sub commit_all { $wait += 500; $node->safe_psql($db, $commits); return; }
settle($node, $db, $redis, 'q', 'r');
eventually { status($node, $db, 'state') eq 'running' } 'the state is "running"';
is(status($node, $db, 'last_success IS NOT NULL'), 't', 'status knows of a success');

$redis->stop_saved;
at_best { seconds { commit_all() } } 3 * $up + 0.5, "500 commits are as fast without Redis ($up s)";
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'the state is "waiting for redis"';
eventually { status($node, $db, 'waiting') == $wait } 'status counts what waits';
is(status($node, $db, q{why <> '' AND last_error <> '' AND oldest > '0'}), 't',
	'status says why, the error, and how old the oldest is');
ok(relay_pid($node, $db), 'the relay is alive');

# The relay restarts in the meantime, and so does the server.
$node->safe_psql($db, 'SELECT pg_terminate_backend(' . relay_pid($node, $db) . ')');
commit_all();
$node->restart;
commit_all();

$redis->start_again;
audit($node, $db, $redis, [ 'q', 'r' ], 2500, 'after the outage nothing lost, nothing twice, all in order');
is($redis->calls('xadd'), $wait + 2, 'and only what waited was sent');
eventually { status($node, $db, 'state') eq 'running' } 'the state is "running" again';
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';
eventually { status($node, $db, 'delivered') eq $wait + 1004 } 'delivered counts over restarts of relay and server';
unlike(log_of($node), qr/WARNING/, 'nothing to warn of');

# Now let the retention pass and the tables be emptied.
configure($node, 'outbox.retention' => '1s');
eventually {
	put($node, $db, 'q', 'passing by');
	ask($node, $db, "SELECT count(*) FROM outbox.staging_1 s JOIN journal j USING (id) WHERE j.body LIKE 'commit%'") eq '0'
	  && ask($node, $db, "SELECT count(*) FROM outbox.staging_2 s JOIN journal j USING (id) WHERE j.body LIKE 'commit%'") eq '0'
} 'rows older than the retention go';
configure($node, 'outbox.retention' => '1h');
put($node, $db, 'r', map { "retained $_" } 1 .. 20);
settle($node, $db, $redis, 'q', 'r');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';

$redis->stop;
my %retained = map { ($_ => 1) } split /\n/,
  $node->safe_psql($db, 'SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2');
cmp_ok(scalar keys %retained, '>=', 20, 'there are retained messages');
$redis->start_empty;
settle($node, $db, $redis, 'q', 'r');
my %again = map { ($_->[0] => 1) } map { $redis->arrived($_) } 'q', 'r';
my %mark = map { ($_ => 1) } split /\n/,
  $node->safe_psql($db, 'SELECT id FROM journal ORDER BY n DESC LIMIT 2');
delete @again{ keys %mark };
is_deeply(\%again, \%retained, 'an empty Redis gets the retained messages again, and no others');
my %detail = log_of($node) =~ /WARNING:.*queue "(\w)"\n.*DETAIL:\s+(\d+) are retained/g;
is(($detail{q} // 0) + ($detail{r} // 0), scalar keys %retained, 'warnings say how many');
is($redis->count('q') + $redis->count('r'), 2 + keys %retained, 'each of them once');

done_testing();
