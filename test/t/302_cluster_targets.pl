# Copyright (c) 2026, the outbox developers
#
# Promise: with a Redis Cluster each target that can be on one delivers there, whole
# or not at all, also while its slot is moving (I2, I3); and a queue of which keys
# would be in several slots is refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = OutboxTest::Slots->start;
my $node = new_node('main', url => $cluster->url, conf => "outbox.retention = 5min\n");
my $db = 'postgres';
install($node, $db);

sub sql
{
	my ($text) = @_;
	my ($rc, $out, $err) = $node->psql($db, $text);
	return ($rc == 0 ? $out : '') . $err;
}

sub state_of { return ask($node, $db, "SELECT state || ': ' || coalesce(why, '') FROM outbox.queue_status WHERE queue = '$_[0]'"); }

# What is refused.
my %refused = (
	"'x', 'celery'" => qr/workers of Celery do not run on one/,
	"'x', 'sidekiq'" => qr/workers of Sidekiq do not run on one/,
	"'x', 'rq'" => qr/workers of RQ do not run on one/,
	"'x', 'dramatiq'" => qr/workers of Dramatiq do not run on one/,
	"'x', redis_key => 'a}b'" => qr/braces that make its keys be in several slots/,
	"'x', 'asynq', redis_key => '{a}'" => qr/braces that make its keys be in several slots/,
	"'x', on_failure => 'retry', consumer_retry => true" => qr/with consumer_retry its redis_key must have a hash tag/,
	q['x', 'function', options => '{"function": "redis.call(''SET'', key, id)"}'] => qr/redis_key of a function must have a hash tag/,
	q['x', 'function', redis_key => '{x}', options => '{"function": "local k = {\"bull:x:id\"}"}'] => qr/keys of BullMQ's jobs are in several slots/,
	q['x', 'commands', options => '{"commands": [["SET", "{id}", "{payload}"]]}'] => qr/argument 1 of command "SET" may be a key of another slot/,
	q['x', 'commands', options => '{"commands": [["RENAME", "{redis_key}", "other"]]}'] => qr/argument 2 of command "RENAME" may be/,
	q['x', 'commands', options => '{"commands": [["MSET", "{redis_key}", "1", "{redis_key}2", "2"]]}'] => qr/argument 3 of command "MSET" may be/);
for my $what (sort keys %refused)
{
	eventually { sql("SELECT outbox_create_queue($what)") =~ $refused{$what} } "refused: $what";
}
is(sql(q{SELECT outbox_create_queue('c', 'commands', redis_key => '{c}', options => '{"commands": [["INCR", "{redis_key}"], ["RPUSH", "{redis_key}:{id}", "{payload}"]]}')}), '', 'keys that share the tag are not');
is(sql(q{SELECT outbox_create_queue('f', 'function', redis_key => '{f}', options => '{"function": "redis.call(''INCR'', key) redis.call(''RPUSH'', key .. '':'' .. id, payload)"}')}), '', 'nor are those of a function');
is(sql(q{SELECT outbox_create_queue('l', 'list', settings => '{"payload_type": "text"}')}), '', 'nor is a list');
is(sql(q{SELECT outbox_create_queue('p', 'publish')}), '', 'nor is a channel');
is(sql(q{SELECT outbox_create_queue('w', 'watermill')}), '', 'nor is watermill');
is(sql(q{SELECT outbox_create_queue('r', redis_key => '{r}', on_failure => 'retry', consumer_retry => true, settings => '{"payload_type": "text"}')}), '', 'nor is a stream that consumers return messages of');
is(sql(qq{SELECT outbox_create_queue('asynq$_', 'asynq')}), '', 'nor are queues of asynq') for 1 .. 5;
like(sql(q{SELECT outbox_alter_queue('l', settings => '{"target": "celery"}')}), qr/workers of Celery/, 'a queue cannot become what is refused');
like(sql(q{SELECT outbox_alter_queue('c', options => '{"commands": [["SET", "{id}", ""]]}')}), qr/may be a key of another slot/, 'nor by other options');

# asynq's set of queues is in a slot of its own.
sub asynq_queues { return join ' ', sort @{ $cluster->cmd('SMEMBERS', 'asynq:queues') }; }
eventually { asynq_queues() eq 'asynq1 asynq2 asynq3 asynq4 asynq5' } 'the tools of asynq list its queues';
my %nodes = map { $cluster->node_of("{asynq$_}") => 1 } 1 .. 5;
is(keys %nodes, 3, 'which are on all nodes');
sql(qq{SELECT outbox_enqueue('asynq$_', 'x'::text, 'task')}) for 1 .. 5;
eventually { $cluster->cmd('LLEN', "asynq:{asynq$_}:pending") == 1 } "asynq$_: a task" for 1 .. 5;
my ($to) = grep { $_ != $cluster->node_of('asynq:queues') } @{ $cluster->{nodes} };
$cluster->cmd('DEL', 'asynq:queues');
$cluster->move_slot($cluster->slot('asynq:queues'), $to);
sql(q{SELECT outbox_create_queue('asynq6', 'asynq')});
eventually { asynq_queues() eq join ' ', map { "asynq$_" } 1 .. 6 } 'and do so where the set is now';

# The others.
sql(qq{SELECT outbox_enqueue('$_', 'first'::text)}) for qw(c f l);
sql(q{SELECT outbox_enqueue('r', 'returned'::text)});
sql(q{SELECT outbox_enqueue('w', 'x'::bytea)});
eventually { $cluster->cmd('LLEN', 'l') == 1 } 'a list';
eventually { $cluster->cmd('XLEN', 'w') == 1 } 'watermill';
eventually { ($cluster->cmd('GET', "{$_}") // 0) == 1 } "$_: commands of its own" for qw(c f);
my $subscriber = $cluster->{nodes}[0]->client;
$subscriber->send('SUBSCRIBE', 'p');
$subscriber->reply;
sql(q{SELECT outbox_enqueue('p', '"hello"'::jsonb)});
like($subscriber->reply->[2], qr/"payload":"hello"/, 'a channel, at whichever node one listens');
eventually { $cluster->count('{r}') == 1 } 'a stream of which consumers return messages';
my %entry = @{ ($cluster->entries('{r}'))[0][1] };
$cluster->cmd('XADD', '{r}:dead', '*', %entry, error => 'no');
eventually { ask($node, $db, q{SELECT count(*) FROM outbox.dead_letters WHERE queue = 'r'}) == 1 } 'and one does';

# While a slot is moving, a message is not applied in part: the counter is there, the
# message's own key would be new.
for my $queue (qw(c f asynq1))
{
	my $key = $queue =~ /asynq/ ? "asynq:{$queue}:pending" : "{$queue}";
	my $slot = $cluster->slot($key);
	my $others = $cluster->node_of($key);
	my ($there) = grep { $_ != $others } @{ $cluster->{nodes} };

	$cluster->begin_move($slot, $there);
	sql($queue =~ /asynq/ ? qq{SELECT outbox_enqueue('$queue', 'y'::text, 'task')} : qq{SELECT outbox_enqueue('$queue', 'second'::text)});
	eventually { state_of($queue) =~ /^waiting for redis: slot $slot is moving: / } "$queue waits";
	$queue =~ /asynq/ ? is($cluster->cmd('LLEN', $key), 1, "$queue: nothing was applied")
	  : is($cluster->cmd('GET', $key), 1, "$queue: nothing was applied");
	$cluster->end_move($slot, $there);
	eventually { ($queue =~ /asynq/ ? $cluster->cmd('LLEN', $key) : $cluster->cmd('GET', $key)) == 2 } "$queue: it was, once, when the slot had moved";
}
is(ask($node, $db, q{SELECT sum(failed) FILTER (WHERE queue <> 'r') || ' ' || sum(dead_lettered) FILTER (WHERE queue <> 'r') || ' ' || sum(retrying) FROM outbox.queue_status}),
	'0 0 0', 'no attempt is counted');
done_testing();
