# Copyright (c) 2026, the outbox developers
#
# Promise: a standby refuses to enqueue, clearly; it has no relay; after its
# promotion the relay starts, takes over the cursor, and delivers what is not
# there yet, once (I2, I3).  The old primary, started again, is fenced: it
# sends nothing more, and says so (I3, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
my $db = 'postgres';
install($primary, $db, 'q', 'r');
put($primary, $db, 'q', map { "before the backup $_" } 1 .. 10);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->start;
my $load = load($primary, $db, writers => 3, queues => [ 'q', 'r' ], max_delay => 0.005);
eventually { $redis->count('q') > 200 } 'messages flow';

# What a standby does.
my ($rc, $out, $err) = $standby->psql($db, "SELECT outbox_enqueue('q', 'x')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
isnt($rc, 0, 'a standby refuses to enqueue');
like($err, qr/ERROR:  25006: .*outbox_enqueue/, 'with the usual SQLSTATE, naming the function');
is(relay_pid($standby, $db), '', 'a standby has no relay');
is(status($standby, $db, 'state'), 'not running', 'and its status says so');
($rc, $out, $err) = $primary->psql($db, "BEGIN READ ONLY; SELECT outbox_enqueue('q', 'x'); COMMIT", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/ERROR:  25006: /, 'so does a read-only transaction');

# An orderly switch: Redis away, some wait, all of it reaches the standby.
$load->stop;
settle($primary, $db, $redis, 'q', 'r');
$redis->stop_saved;
put($primary, $db, 'q', map { "waits during the switch $_" } 1 .. 10);
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
$redis->start_again;
wait_relay($standby, $db);
eventually {
	!grep { $redis->cmd('HGET', $_, 'line') !~ /,2,[^ ]*$/ } @{ $redis->cmd('KEYS', '*:outbox:*') }
} 'every cursor is taken over, also of a queue to which nothing is sent';
put($standby, $db, 'r', 'on the new primary');
audit($standby, $db, $redis, [ 'q', 'r' ], 400, 'after the promotion nothing lost, nothing twice, all in order');
is($redis->calls('xadd'), 13, 'only what waited was sent');

# The old primary comes back, as if nothing had happened.
my $count = $redis->count('q');
$primary->start;
put($primary, $db, 'q', 'from the old primary');
eventually { status($primary, $db, 'state') eq 'fenced' } 'the old primary is fenced';
isnt(status($primary, $db, 'why'), '', 'and says why');
like(log_of($primary), qr/WARNING:.*outbox.*timeline 2 has taken over/, 'loudly');
is($primary->safe_psql($db, "SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) s JOIN journal j USING (id) WHERE body = 'from the old primary'"),
	1, 'what is enqueued there is kept there');
put($standby, $db, 'q', 'from the new primary');
settle($standby, $db, $redis, 'q', 'r');
is($redis->count('q'), $count + 2, 'nothing was sent by it, the new one goes on');
is(status($standby, $db, 'state'), 'running', 'undisturbed');

done_testing();
