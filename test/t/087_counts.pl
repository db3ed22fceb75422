# Copyright (c) 2026, the outbox developers
#
# Promise: what status counts as waiting is what Redis has not got, also where
# a batch was stopped in its middle or a cursor was moved behind the relay's
# back.  A relay that
# is held for an operator's decision idles meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }
sub waiting { return ask($node, $db, "SELECT waiting FROM outbox.queue_status WHERE queue = '$_[0]'"); }

# Ten messages are applied before the one that stops the batch.
my $function = q[if payload == 'bad' then return {err = 'ERR bad'} end return redis.call('RPUSH', key, payload)];
sql("SELECT create_queue('f', 'function', on_failure => 'dead_letter',"
	  . " options => jsonb_build_object('function', \$\$$function\$\$))");
sql("SELECT outbox_pause_queue('f')");
sql("SELECT outbox_enqueue('f', CASE i WHEN 11 THEN 'bad' ELSE 'good' END) FROM generate_series(1, 16) AS i");
eventually { waiting('f') eq '16' } 'they wait while the queue is paused';
sql("SELECT outbox_resume_queue('f')");
eventually { $redis->cmd('LLEN', 'f') eq '15' } 'all but the bad one are delivered';
eventually { waiting('f') eq '0' } 'and none waits';
eventually { status($node, $db, 'waiting') eq '0' } 'of no queue';

# Messages of a queue that the relay can't know yet, as somebody has outbox.queue
# locked since its commit: a count meets them, and later they are counted all the same.
sub counted_later
{
	my ($queue, $name) = @_;
	my ($maker, $locker) = map { session($node, $db) } 1 .. 2;
	sql("SELECT outbox_enqueue('f', 'good')");
	eventually { waiting('f') eq '1' } "$name: one message waits";
	$maker->query_safe("BEGIN; SELECT outbox_create_queue('$queue');"
		  . " SELECT outbox_enqueue(q, '1') FROM unnest(ARRAY['f', '$queue']) AS q");
	wait_for_lock($node, $db, $locker, 'outbox.queue', 'ACCESS EXCLUSIVE');
	$maker->query_safe('COMMIT');
	eventually { status($node, $db, 'waiting') eq '2' } 'the message of the queue that is known is counted';
	$locker->query_safe('ROLLBACK');
	eventually { status($node, $db, 'waiting') eq '3' && waiting($queue) eq '1' } 'that of the other one, too';
	return;
}
sql('SELECT outbox_enable(false)');
eventually { status($node, $db, 'state') eq 'disabled' } 'nothing is delivered';
counted_later('made_off', 'disabled');
sql('SELECT outbox_enable(true)');
eventually { status($node, $db, 'waiting') eq '0' } 'all is delivered';
$redis->stop_saved;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'Redis is away';
counted_later('made_away', 'Redis is away');
$redis->start_again;
eventually { status($node, $db, 'waiting') eq '0' } 'all is delivered';

# A queue gets another name while somebody has its totals locked: they go on later.
my ($maker, $locker) = map { session($node, $db) } 1 .. 2;
put($node, $db, 'q', map { "before $_" } 1 .. 5);
settle($node, $db, $redis, 'q');
my $delivered = $redis->count('q');
eventually { sql(q{SELECT delivered FROM outbox.queue_status WHERE queue = 'q'}) == $delivered } 'all are counted as delivered';
sql(q{SELECT outbox_purge_queue('q', force => true)});
$maker->query_safe(q{BEGIN; SELECT outbox_alter_queue('q', settings => '{"name": "renamed"}'); SELECT outbox_enqueue('renamed', '"later"')});
wait_for_lock($node, $db, $locker, 'outbox.queue_total', 'ACCESS EXCLUSIVE');
$maker->query_safe('COMMIT');
eventually { $redis->count('q') == $delivered + 1 } 'a renamed queue is delivered';
$locker->query_safe('ROLLBACK');
eventually { sql(q{SELECT delivered FROM outbox.queue_status WHERE queue = 'renamed'}) == $delivered + 1 } 'and its totals go on';
$_->quit for $maker, $locker;

# CPU seconds that a process has used.
sub cpu
{
	my ($pid) = @_;
	my @stat = split / /, (slurp_file("/proc/$pid/stat") =~ s/.*\) //sr);
	return ($stat[11] + $stat[12]) / 100;
}

# A copy, held.  Its relay uses next to nothing for two seconds on end.
$node->safe_psql('postgres', 'CREATE DATABASE held');
install($node, 'held', 'h');
wait_relay($node, 'held');
$node->safe_psql('held', 'UPDATE outbox.relay_state SET database = 1; SELECT outbox_pause_queue($$h$$)');
eventually { status($node, 'held', 'state') eq 'held' } 'a copy is held';
my ($pid, $since, $used) = (0, 0, 0);
eventually
{
	my $relay = relay_pid($node, 'held') or return 0;
	return 0 if $relay == $pid && time - $since < 2;
	my $idle = $relay == $pid && cpu($pid) - $used < 0.2;
	($pid, $since, $used) = ($relay, time, cpu($relay));
	return $idle;
}
'its relay idles';

done_testing();
