# Copyright (c) 2026, the outbox developers
#
# Promise: a task for asynq is there whole or not at all, once (I2, I3): with its
# state, its lock, its place in the schedule or its group, whatever is refused half
# way.  What asynq's own client writes is compared in test/interop.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, join ';', @_); }
sub state_of { return queue_status($node, $db, $_[0], 'state'); }
sub keys_like { return join ' ', sort @{ $redis->cmd('KEYS', $_[0]) }; }

my $id = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d';
my $other = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5e';

# asynq.
sql("SELECT outbox_create_queue('default', 'asynq', on_failure => 'retry', retry_delay => '50 ms', retry_backoff => 1, max_attempts => 1000)");
my $t = "asynq:{default}:t:";
sub tasks { return keys_like("$t*"); }
sub waiting { return join ' ', @{ $redis->cmd('LRANGE', 'asynq:{default}:pending', 0, -1) }; }
my $task = q[SELECT outbox_enqueue('default', '{"user_id":42}'::text, 'email:welcome'];

sql("$task, id => '$id')");
eventually { waiting() eq $id } 'asynq: a task is pending';
my %hash = @{ $redis->cmd('HGETALL', "$t$id") };
is(unpack('H*', $hash{msg}),
	'0a0d656d61696c3a77656c636f6d65120e7b22757365725f6964223a34327d1a24'
	  . unpack('H*', $id) . '220764656661756c74281940880e',
	'asynq: it is encoded as by its client');
is($hash{state}, 'pending', 'asynq: its state');
cmp_ok(abs($hash{pending_since} / 1e9 - time), '<', 60, 'asynq: since now, in nanoseconds');
is(join(' ', sort keys %hash), 'msg pending_since state', 'asynq: and no more');
is(keys_like('asynq:queues'), 'asynq:queues', 'asynq: its tools list the queue');
is(join(' ', @{ $redis->cmd('SMEMBERS', 'asynq:queues') }), 'default', 'asynq: by its name');

# A task whose id is there counts as delivered.
sql("$task, id => '$id')", "$task, id => '$other')");
eventually { waiting() eq "$other $id" } 'asynq: the same id again is no second task';

# Forget all tasks, not the cursors.
sub clean
{
	my @keys = @{ $redis->cmd('KEYS', 'asynq:*') };
	$redis->cmd('DEL', @keys) if @keys;
	return;
}

# The lock of a unique task.
clean();
my $lock = 'asynq:{default}:unique:email:welcome:1181f89307fa271072c095747d5813cc';
my $unique = q(options => '{"unique_ttl": "1 hour"}');
sql("$task, id => '$id', $unique)", "$task, id => '$other', $unique)", "$task, options => '{\"unique_ttl\": 60, \"unique_key\": \"k\"}')");
eventually { $redis->cmd('LLEN', 'asynq:{default}:pending') == 2 } 'asynq: a task with a key of its own goes';
is($redis->cmd('EXISTS', "$t$other"), 0, 'asynq: one whose lock is held does not');
is($redis->cmd('GET', $lock), $id, 'asynq: the lock has the id of the first');
cmp_ok($redis->cmd('TTL', $lock), '>', 3500, 'asynq: for as long as it was told');
is({ @{ $redis->cmd('HGETALL', "$t$id") } }->{unique_key}, $lock, 'asynq: the task has the name of its lock');
is($redis->cmd('EXISTS', 'asynq:{default}:unique:email:welcome:k'), 1, 'asynq: the other key too');

# For later, and in groups.
clean();
sql("$task, id => '$id', delay => '1 hour', $unique)", "$task, id => '$other', deliver_at => now() - interval '1 hour')");
eventually { waiting() eq $other } 'asynq: a time that has passed is now';
my $at = $redis->cmd('ZSCORE', 'asynq:{default}:scheduled', $id);
cmp_ok(abs($at - time - 3600), '<', 60, 'asynq: a task for later is in its own schedule');
is({ @{ $redis->cmd('HGETALL', "$t$id") } }->{state}, 'scheduled', 'asynq: with that state');
cmp_ok($redis->cmd('TTL', $lock), '>', 7100, 'asynq: its lock lives until then, and its time after that');
is(sql('SELECT count(*) FROM outbox.deferred'), 0, 'asynq: we keep nothing of it');
sql("$task, options => '{\"group\": \"g\"}')");
eventually { keys_like('asynq:{default}:g:*') eq 'asynq:{default}:g:g' } 'asynq: a group';
is(join(' ', @{ $redis->cmd('SMEMBERS', 'asynq:{default}:groups') }), 'g', 'asynq: which is known');

# Refused half way: nothing is left of it, and it comes when it can.
for my $place ('pending', 'scheduled', 'groups', 'g:g')
{
	my %options = (
		pending => $unique,
		scheduled => "$unique, delay => '1 hour'",
		'groups' => q(options => '{"unique_ttl": 60, "group": "g"}'),
		'g:g' => q(options => '{"unique_ttl": 60, "group": "g"}'));
	clean();
	$redis->cmd('SET', "asynq:{default}:$place", 'not such a key');
	my $failed = queue_status($node, $db, 'default', 'failed');
	sql("$task, id => '$id', $options{$place})");
	eventually { queue_status($node, $db, 'default', 'failed') > $failed + 1 } "asynq: refused for $place, and tried again";
	$node->safe_psql($db, "SELECT outbox_pause_queue('default')");
	eventually { state_of('default') eq 'paused' } "asynq, $place: paused";
	is(tasks(), '', "asynq, $place: there is no such task");
	is(keys_like('asynq:{default}:unique:*'), '', "asynq, $place: nor its lock");
	$redis->cmd('DEL', "asynq:{default}:$place");
	sql("SELECT outbox_resume_queue('default')");
	eventually { tasks() eq "$t$id" } "asynq, $place: mended, it comes";
	is(keys_like('asynq:{default}:unique:*'), $lock, "asynq, $place: with its lock");
}

# A task that can't be UTF-8 is refused where somebody is told: it would stop asynq's workers.  The payload is bytes.
$node->safe_psql('postgres', "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
$node->safe_psql('bytes', 'CREATE EXTENSION outbox');
$node->safe_psql('bytes', q{SELECT outbox_create_queue('t', 'asynq')});
for my $part (q{type => E'\xe9'}, q{type => 't', headers => jsonb_build_object('h', E'\xe9')}, q{type => 't', headers => jsonb_build_object(E'\xe9', 'h')},
	q{type => 't', options => jsonb_build_object('group', E'\xe9')}, q{type => 't', options => jsonb_build_object('unique_ttl', 9, 'unique_key', E'\xe9')})
{
	like(($node->psql('bytes', "SELECT outbox_enqueue('t', 'x', $part)"))[2], qr/invalid byte sequence for encoding "UTF8": 0xe9/, "asynq, not UTF-8: $part");
}
is(($node->psql('bytes', q{SELECT outbox_enqueue('t', '\xe9'::bytea, type => 't')}))[0], 0, 'asynq: a payload of bytes');

done_testing();
