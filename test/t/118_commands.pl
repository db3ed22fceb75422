# Copyright (c) 2026, the outbox developers
#
# Promise: the commands of a message are done all or none, once (I2, I3): tried
# again from the first when the last is refused, filled in with the message and
# with nothing that is in it, and altered from then on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.max_message_size = 64MB');
my $db = 'postgres';
install($node, $db);

sub restart_relay
{
	my ($node, $db) = @_;
	my $pid = relay_pid($node, $db);
	$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
	eventually { my $new = relay_pid($node, $db); $new && $new != $pid } 'another relay';
	return;
}

sub sql { return $node->safe_psql($db, join ';', @_); }

my $id = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d';

# Commands.
sql(q[SELECT outbox_create_queue('c', 'commands', 'jobs', on_failure => 'retry', retry_delay => '50 ms', retry_backoff => 1, max_attempts => 1000,
	options => '{"commands": [["SADD", "c:queues", "{redis_key}"], ["HSET", "c:{id}", "attempt", "{attempt}", "x", "{header.x}", "y", "{header.y}"],
		["LPUSH", "c:{redis_key}", "{payload}"]]}', settings => '{"payload_type": "bytea"}')]);
$redis->cmd('SET', 'c:jobs', 'no list');
sql(qq[SELECT outbox_enqueue('c', decode('00', 'hex') || convert_to(E'"{id}" \\r\\n', 'UTF8'), id => '$id', headers => '{"x": "{payload}"}')]);
eventually { ($redis->cmd('HGET', "c:$id", 'attempt') // 0) > 2 } 'commands: refused at the last, it is tried again from the first';
is($redis->cmd('GET', 'c:jobs'), 'no list', 'commands: the last has done nothing');
$redis->cmd('DEL', 'c:jobs');
eventually { $redis->cmd('EXISTS', 'c:jobs') } 'commands: mended';
is_deeply($redis->cmd('LRANGE', 'c:jobs', 0, -1), [ "\0\"{id}\" \r\n" ], 'commands: the payload, once, and nothing in it is filled in');
is_deeply([ @{ $redis->cmd('HMGET', "c:$id", 'x', 'y') } ], [ '{payload}', '' ], 'commands: nor in a header; one that is missing is empty');

# ... altered while it flows: from then on.
sql(q[SELECT outbox_alter_queue('c', options => '{"commands": [["RPUSH", "c:other", "{payload}"]]}')], q[SELECT outbox_enqueue('c', 'altered')]);
eventually { $redis->cmd('LLEN', 'c:other') == 1 } 'commands: altered';
is($redis->cmd('LLEN', 'c:jobs'), 1, 'commands: the old ones are not used any more');

# ... in which a message is too often to be sent: refused like any other.
my $ten = '{payload}' x 10;
sql(qq[SELECT outbox_create_queue('much', 'commands', on_failure => 'dead_letter', options => '{"commands": [["RPUSH", "c:much", "{payload}"], ["RPUSH", "c:much", "$ten", "$ten", "$ten"]]}')],
	"SELECT outbox_enqueue('much', 'first')", "SELECT outbox_enqueue('much', repeat('x', 40000000))", "SELECT outbox_enqueue('much', 'last')");
eventually { $redis->cmd('LLEN', 'c:much') == 8 } 'commands: those of small messages are no burden';
eventually { sql("SELECT last_error FROM outbox.dead_letters WHERE queue = 'much'") eq 'ERR its commands have more than 512 MB' } 'commands: too large together';

# What the Redis at hand does not have, or does not let scripts call, is refused
# when it is given; what is new there is not.
sub refused { return ($node->psql($db, 'SELECT outbox_alter_queue(\'c\', options => jsonb_build_object(\'commands\', ' . "'$_[0]'::jsonb))"))[2]; }
eventually { refused('[["INCR", "k", "k"]]') =~ /wrong number of arguments for command "INCR"/ } 'commands: too many arguments';
like(refused('[["rpush", "k"]]'), qr/wrong number of arguments for command "rpush"/, 'commands: too few');
like(refused('[["INCR", "k"], ["SETT", "k", 1]]'), qr/unknown command "SETT"\nDETAIL:  The Redis that the queue is delivered to does not have it/, 'commands: an unknown one');
like(refused("[[\"$_\", 1, 2, 3]]"), qr/command "$_" cannot be one of a queue's commands/, "commands: $_") for qw(EVAL FCALL MULTI SUBSCRIBE WATCH SELECT AUTH);
my %has = map { split / /, $_, 2 } @{ $redis->cmd('EVAL', "local r = {} for i, c in ipairs(redis.call('COMMAND')) do r[i] = c[1] .. ' ' .. c[2] end return r", 0) };
for my $new (qw(hexpire hsetex vadd xackdel json.set get))
{
	my $arguments = join ', ', ('"k"') x (abs($has{$new} // 3) - 1);
	my $said = refused("[[\"$new\", $arguments]]");
	$has{$new} ? is($said, '', "commands: $new, as the server has it") : like($said, qr/unknown command "$new"/, "commands: $new, as the server does not have it");
}

# An ACL that forbids COMMAND or EVAL: only the shape is looked at, and the first
# message decides.
for my $command ('command', 'eval')
{
	$redis->cmd('ACL', 'SETUSER', 'default', "-$command");
	restart_relay($node, $db);
	sql(qq[SELECT outbox_create_queue('not_$command', 'commands', on_failure => 'dead_letter', options => '{"commands": [["SETT", "k", "v"]]}')],
		"SELECT outbox_enqueue('not_$command', 'x')");
	eventually { sql("SELECT last_error FROM outbox.dead_letters WHERE queue = 'not_$command'") =~ /^ERR .*unknown/i } "commands: without $command, the first message decides";
	like(refused('[["FLUSHALL"]]'), qr/cannot be one of/, "commands: without $command, what is forbidden is");
	$redis->cmd('ACL', 'SETUSER', 'default', "+$command");
}

# While Redis is away, what it had counts.
restart_relay($node, $db);
eventually { refused('[["SETT", "k", "v"]]') =~ /unknown command/ } 'commands: asked again';
$redis->stop;
like(refused('[["SETT", "k", "v"]]'), qr/unknown command/, 'commands: known while Redis is away');
is(refused('[["SET", "k", "v"]]'), '', 'commands: and those that it has');

done_testing();
