# Copyright (c) 2026, the outbox developers
#
# Promise: what the server can't do now is no message's fault (I9).  Whatever
# the queue's policy, messages wait, no attempt is counted, nothing is set
# aside, and all arrives once, in order, when it is over (I2, I3, I4).  Each
# error is brought about for real.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start('repl-diskless-sync-delay' => 0);
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
my @queues = qw(block retry dead_letter);
install($node, $db);
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => '$_', max_attempts => 1)") for @queues;

sub enqueue
{
	my ($what, $n) = @_;
	$node->safe_psql($db, "SELECT put('$_', '$what ' || i || ' ' || repeat('x', 200)) FROM generate_series(1, $n) AS i")
	  for @queues;
	return;
}

my $total = 0;

# An outage: how it begins, what Redis says then, how it ends.
sub outage
{
	my ($what, $says, $begin, $end) = @_;
	$begin->();
	enqueue($what, 300);
	eventually { status($node, $db, 'state') eq 'waiting for redis' && status($node, $db, 'last_error') =~ $says }
	"$what: the relay waits, and says why";
	like(status($node, $db, 'summary'), qr/^waiting for redis since \d.*: \S/, "$what: in one line");
	$end->();
	audit($node, $db, $redis, \@queues, $total += 900, "$what: nothing lost, nothing twice, all in order");
	eventually {
		ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}) eq '0 0 0'
	} "$what: no attempt counts, nothing is set aside";
	is($node->safe_psql($db, q{SELECT (SELECT count(*) FROM outbox.deferred) + (SELECT count(*) FROM outbox.dead_letter)}),
		0, "$what: nothing was recorded of it");
	return;
}

enqueue('before', 1);
audit($node, $db, $redis, \@queues, $total += 3, 'before');

# Memory runs out in the middle of a backlog: that is between two batches, as
# Redis doesn't refuse for memory what a script writes after its first command.
my $oom_at = 0;
outage('OOM', qr/OOM/,
	sub {
		my ($used) = $redis->cmd('INFO', 'memory') =~ /^used_memory:(\d+)/m;
		$redis->cmd('CONFIG', 'SET', 'maxmemory', $used + 64 * 1024);
		enqueue('until memory is full', 500);
		$total += 1500;
		eventually { status($node, $db, 'last_error') =~ /OOM/ } 'memory is full';
		$oom_at = $redis->count('block') + $redis->count('retry') + $redis->count('dead_letter');
	},
	sub { $redis->cmd('CONFIG', 'SET', 'maxmemory', 0) });
cmp_ok($oom_at, '<', 1500, 'memory was full before the end');

outage('READONLY', qr/READONLY/,
	sub { $redis->cmd('REPLICAOF', '127.0.0.1', 1) },
	sub { $redis->cmd('REPLICAOF', 'NO', 'ONE') });

outage('NOREPLICAS', qr/NOREPLICAS/,
	sub { $redis->cmd('CONFIG', 'SET', 'min-replicas-to-write', 1) },
	sub { $redis->cmd('CONFIG', 'SET', 'min-replicas-to-write', 0) });

# A save that fails: its directory can't be written to.
sub save_fails
{
	my ($mode, $status) = @_;
	chmod $mode, $redis->dir;
	eventually {
		$redis->{own}->try('BGSAVE');
		$redis->cmd('INFO', 'persistence') =~ /^rdb_last_bgsave_status:$status/m
	} "a save: $status";
	return;
}
outage('MISCONF', qr/MISCONF/,
	sub { $redis->cmd('CONFIG', 'SET', 'save', '3600 1000000'); save_fails(0500, 'err') },
	sub { save_fails(0700, 'ok'); $redis->cmd('CONFIG', 'SET', 'save', '') });

# A script that doesn't end.
my $busy = $redis->client;
outage('BUSY', qr/BUSY/,
	sub {
		$redis->cmd('CONFIG', 'SET', 'lua-time-limit', 20);
		$busy->send('EVAL', 'while true do end', 0);
	},
	sub { eventually { $redis->{own}->try('SCRIPT', 'KILL') =~ /OK|NOTBUSY/ } 'the script is killed' });

# The server says why and closes; what it has not read then resets a unix socket.
outage('max clients', qr/max number of clients|reset by peer|Broken pipe/,
	sub { $redis->cmd('CONFIG', 'SET', 'maxclients', 1); $redis->drop_clients },
	sub { $redis->cmd('CONFIG', 'SET', 'maxclients', 1000) });

outage('NOAUTH', qr/NOAUTH/,
	sub { $redis->cmd('CONFIG', 'SET', 'requirepass', 'secret'); $redis->drop_clients },
	sub { $redis->cmd('CONFIG', 'SET', 'requirepass', '') });

# A large data set is loaded, for minutes unless that is ended; the server
# answers meanwhile.
outage('LOADING', qr/LOADING/,
	sub {
		$redis->cmd('EVAL', q{for i = 1, 20000 do redis.call('SET', 'other ' .. i, i) end}, 0);
		$redis->stop_saved;
		$redis->start_loading;
	},
	sub { $redis->load_quickly });

done_testing();
