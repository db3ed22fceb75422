# Copyright (c) 2026, the outbox developers
#
# Promise: the relay waits for nobody's lock (I5, I8): what it can't have now it looks at
# later, and goes on with the rest.  A session holds one of its tables after the other,
# as ALTER TABLE, VACUUM FULL or a restore do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'q');

# Whoever holds a table, nothing waits for it that long: a few turns of the relay's
# chores, which are a second apart.
my $relay = relay_pid($node, $db);
sub waits_for_nobody
{
	my ($name, $seconds) = @_;
	my $began = time;
	my $waits = 0;
	eventually {
		$waits += $node->safe_psql('template1', "SELECT count(*) FROM pg_locks WHERE pid = $relay AND NOT granted");
		time > $began + ($seconds // 2.5);
	} "$name is held for a while";
	return is($waits, 0, "the relay does not wait for $name");
}

my $session = session($node, $db);
for my $table (qw(deferred dead_letter queue_total relay_state delivery resend_request returned consumer_position))
{
	$session->query_safe("BEGIN; LOCK TABLE outbox.$table IN ACCESS EXCLUSIVE MODE");
	my $arrived = $redis->count('q');
	put($node, $db, 'q', "$table is held");
	eventually { $redis->count('q') == $arrived + 1 } "$table is held: a message is delivered";
	waits_for_nobody($table);
	$session->query_safe('COMMIT');
}

# Those which it can't deliver without.
$session->query_safe(q{BEGIN; SELECT put('q', 'enqueued by the holder')});
$session->query_safe('LOCK TABLE outbox.staging_1, outbox.staging_2 IN ACCESS EXCLUSIVE MODE');
waits_for_nobody('staging');
$session->query_safe('COMMIT');

# Totals are written about every ten seconds, for queues that still exist.
$session->query_safe(q{BEGIN; SELECT put('q', 'enqueued before the queues are held')});
$session->query_safe('LOCK TABLE outbox.queue IN ACCESS EXCLUSIVE MODE');
waits_for_nobody('queue', 12);
$session->query_safe('COMMIT');
$session->quit;
audit($node, $db, $redis, ['q'], 10, 'let go, it goes on');
is(relay_pid($node, $db), $relay, 'the relay is the same');

done_testing();
