# Copyright (c) 2026, the outbox developers
#
# Promise: pg_upgrade keeps the relay's state.  What was delivered before does not come
# again, and what waited comes once, in order: staged, paused and copied, delayed, refused,
# given up (I2, I3, I4).  The new server has another system identifier, so it first waits
# for longer than the old one would take to show that it is still at work.
#
# Both servers are of this version, unless OUTBOX_TEST_UPGRADE_FROM says where an older
# one is installed (its lib/postgresql/NN, with an outbox of its own).  It takes a minute,
# so without that it runs with OUTBOX_TEST_ALL only (.ci/long upgrade).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $from = $ENV{OUTBOX_TEST_UPGRADE_FROM};
plan skip_all => 'it takes a minute: .ci/long upgrade' unless $from || $ENV{OUTBOX_TEST_ALL};
my $redis = OutboxTest::Redis->start;
my $db = 'postgres';
my $conf = 'outbox.retention = 1h';
my $old = new_node('old', redis => $redis, conf => $conf, install_path => $from);
install($old, $db, 'q', 'paused');
$old->safe_psql($db, <<'EOC');
SELECT create_queue('refused', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour');
SELECT create_queue('dead', on_failure => 'dead_letter');
EOC

# Delivered, and kept; then some of each kind that is not.
put($old, $db, $_, map { "delivered $_" } 1 .. 50) for 'q', 'paused';
settle($old, $db, $redis, 'q', 'paused');
$redis->cmd('SET', $_, 'no stream') for 'refused', 'dead';
put($old, $db, $_, map { "$_ $_" } 1 .. 10) for 'refused', 'dead';
eventually {
	ask($old, $db, q{SELECT (SELECT count(*) FROM outbox.deferred), (SELECT count(*) FROM outbox.dead_letter)}) eq '10|10'
} 'messages are refused, and given up';
$old->safe_psql($db, q{SELECT outbox_pause_queue('paused')});
configure($old, 'outbox.retention' => '1s');
eventually {
	put($old, $db, 'paused', 'copied');
	put($old, $db, 'q', 'passing by');
	ask($old, $db, q{SELECT count(*) > 9 FROM outbox.deferred WHERE reason = 'evacuated'}) eq 't';
} 'messages of a paused queue are copied';
configure($old, 'outbox.retention' => '1h');
$old->safe_psql($db, q{SELECT outbox_enqueue('q', 'delayed ' || i, delay => '1 hour') FROM generate_series(1, 5) AS i});
settle($old, $db, $redis, 'q');
$redis->pause;
put($old, $db, $_, map { "staged $_" } 1 .. 20) for 'q', 'paused';
my %was = map { $_ => $old->safe_psql($db, "SELECT count(*) FROM outbox.$_") } qw(deferred dead_letter run queue_total);
$old->stop;
$redis->resume;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$new->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'outbox'
outbox.redis_url = '${\$redis->url}'
$conf
EOC
my $bin = (run_command([ $ENV{PG_CONFIG} // 'pg_config', '--bindir' ]))[0];
chdir $new->basedir or die "could not change the directory: $!";
command_ok([ 'pg_upgrade', '--no-sync', '--old-datadir' => $old->data_dir, '--new-datadir' => $new->data_dir,
	'--old-bindir' => $from ? "$from/bin" : $bin, '--new-bindir' => $bin,
	'--socketdir' => $new->host, '--old-port' => $old->port, '--new-port' => $new->port ], 'pg_upgrade');
chdir $FindBin::RealBin;
$new->start;
is($new->safe_psql($db, "SELECT count(*) FROM outbox.$_"), $was{$_}, "$_ is there") for qw(deferred dead_letter queue_total);
wait_relay($new, $db);
settle($new, $db, $redis, 'q');
is(status($new, $db, 'state, why'), 'running|', 'it goes on');
is($new->safe_psql($db, 'SELECT count(*) FROM outbox.run'), $was{run} + 1, 'with a run of its own');
is($redis->count('q'), scalar @{ journal($new, $db) } - ask($new, $db, q{SELECT count(*) FROM journal WHERE queue <> 'q'}), 'what was staged comes, and nothing again');

$redis->cmd('DEL', $_) for 'refused', 'dead';
$new->safe_psql($db, q{SELECT outbox_resume_queue('paused'), outbox_replay_queue('dead')});
let_due($new, $db, $redis);
audit($new, $db, $redis, [ 'q', 'paused', 'refused', 'dead' ], 200, 'all comes once, in order');
$new->safe_psql($db, q{UPDATE outbox.deferred SET due_at = now() WHERE reason = 'delayed'});
eventually { scalar(grep { $_->[1] =~ /^delayed/ } $redis->arrived('q')) == 5 } 'delayed messages, too';

done_testing();
