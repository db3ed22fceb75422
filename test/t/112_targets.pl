# Promise: a task, a set of commands, a function is done whole or not at all,
# once and in order (I2, I3, I4), whatever the queue's policy.  What asynq's and
# Watermill's own clients write is compared in test/interop; here is what
# happens when something fails.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.max_message_size = 64MB');
my $db = 'postgres';
install($node, $db, 'plain');

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

# A row that nobody has checked stops no relay.
clean();
sql("SELECT outbox_pause_queue('default')", "$task, id => '$id', options => '{\"group\": \"g\"}')", "$task, id => '$other')");
sql("UPDATE outbox.staging_1 SET options = '{\"deadline\": 1e30, \"timeout\": -5, \"max_retry\": [1], \"group\": 7, \"what\": {}}' WHERE id = '$id'",
	"UPDATE outbox.staging_2 SET options = '{\"deadline\": 1e30, \"timeout\": -5, \"max_retry\": [1], \"group\": 7, \"what\": {}}' WHERE id = '$id'",
	"UPDATE outbox.staging_1 SET type = NULL, options = '[]' WHERE id = '$other'", "UPDATE outbox.staging_2 SET type = NULL, options = '[]' WHERE id = '$other'");
sql("SELECT outbox_resume_queue('default')");
eventually { waiting() eq "$other $id" } 'asynq: what was written into our tables by hand goes as far as it makes sense';

# Commands.
sql(q[SELECT outbox_create_queue('c', 'commands', 'jobs', on_failure => 'retry', retry_delay => '50 ms', retry_backoff => 1,
	options => '{"commands": [["SADD", "c:queues", "{redis_key}"], ["HSET", "c:{id}", "attempt", "{attempt}", "x", "{header.x}", "y", "{header.y}"],
		["LPUSH", "c:{redis_key}", "{payload}"]]}')]);
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
eventually { sql("SELECT error FROM outbox.dead_letters WHERE queue = 'much'") eq 'ERR its commands have more than 512 MB' } 'commands: too large together';

# A function.
my $push = q[if payload == 'raise' then error('raised') end
if payload == 'refuse' then return {err = 'NO thanks'} end
if payload == 'wrong' then redis.call('LPUSH', key, payload) end
redis.call('XADD', key, '*', 'id', id, 'type', msgtype, 'key', msgkey, 'payload', payload, 'headers', headers, 'attempt', attempt, 'now', now_ms)];
$push =~ s/'/''/g;
sql(qq[SELECT outbox_create_queue('f', 'function', 'fk', on_failure => 'dead_letter', options => jsonb_build_object('function', 'no Lua'))],
	q[SELECT outbox_enqueue('f', 'first', 'a type', 'a key', '{"a": "b"}', id => '01234567-89ab-7cde-8f01-23456789abcd')]);
eventually { state_of('f') eq 'blocked' } 'function: what does not compile blocks its queue';
like(queue_status($node, $db, 'f', 'why'), qr/^ERR Error compiling script/, 'function: and status says so');
put($node, $db, 'plain', 'beside it');
eventually { $redis->count('plain') == 1 } 'function: no other queue is bothered';
sql(qq[SELECT outbox_alter_queue('f', options => jsonb_build_object('function', '$push'))]);
eventually { $redis->count('fk') == 1 } 'function: mended, it goes on at once';
my %entry = @{ ($redis->entries('fk'))[0][1] };
cmp_ok(abs($entry{now} / 1000 - time), '<', 60, 'function: now is now');
delete $entry{now};
is_deeply(\%entry, { id => '01234567-89ab-7cde-8f01-23456789abcd', type => 'a type', key => 'a key', payload => 'first',
		headers => '{"a": "b"}', attempt => 1 }, 'function: has all of the message');
sql(map { "SELECT outbox_enqueue('f', '$_', 'x', 'x')" } qw(raise refuse wrong second));
eventually { $redis->count('fk') == 2 } 'function: others go on';
is_deeply([ split /\n/, sql("SELECT payload_text || ': ' || error FROM outbox.dead_letters WHERE queue = 'f' ORDER BY dead_at, enqueued_at") =~ s/user_script:\d+:/@/gr ],
	[ 'raise: ERR script: @ raised', 'refuse: ERR function: NO thanks',
		sql("SELECT 'wrong: ' || error FROM outbox.dead_letters WHERE payload_text = 'wrong'") ], 'function: an error is a refusal, with its words')
  or diag(sql("SELECT payload_text, error FROM outbox.dead_letters"));
like(sql("SELECT error FROM outbox.dead_letters WHERE payload_text = 'wrong'"), qr/WRONGTYPE/, 'function: one of Redis too');

# ... may raise and return anything: that is its message's error, not an outage,
# it is short, and no other message is lost with it.
my $odd = q[local odd = {a = {err = {}}, b = {err = true}, c = {err = setmetatable({}, {__tostring = function() return {} end})},
	d = {err = 'a -OOM or -READONLY to see'}, e = {err = string.rep('x', 100000)},
	h = {err = 'ERR max number of clients reached'}}
if payload == 'f' then error(setmetatable({}, {__index = function() error('index') end})) end
if payload == 'g' then error() end
if odd[payload] then return odd[payload] end
redis.call('RPUSH', 'f:odd', payload)] =~ s/'/''/gr;
sql(qq[SELECT outbox_create_queue('o', 'function', on_failure => 'dead_letter', options => jsonb_build_object('function', '$odd'))],
	q[SELECT outbox_enqueue('o', x || y) FROM unnest('{a,b,c,d,e,f,g,h}'::text[]) AS x, unnest('{"",1,2}'::text[]) AS y ORDER BY y, x]);
eventually { $redis->cmd('LLEN', 'f:odd') == 16 } 'function: odd errors are those of their messages only';
is(sql("SELECT string_agg(payload_text, '' ORDER BY payload_text) FROM outbox.dead_letters WHERE queue = 'o' AND length(error) < 1100"),
	'abcdefgh', 'function: which are dead letters');
is($redis->cmd('LLEN', 'f:odd'), 16, 'function: and no other is there twice');

# ... is another one from the moment that it is altered.
sql(q[SELECT outbox_alter_queue('f', options => '{"function": "redis.call(''RPUSH'', ''f:other'', payload)"}')], "SELECT outbox_enqueue('f', 'altered')");
eventually { $redis->cmd('LLEN', 'f:other') == 1 } 'function: altered while it flows';
sql(qq[SELECT outbox_alter_queue('f', options => jsonb_build_object('function', '$push'))]);

# ... is loaded again when Redis has forgotten it.
$redis->cmd('SCRIPT', 'FLUSH');
sql("SELECT outbox_enqueue('f', 'third', 'x', 'x')");
eventually { $redis->count('fk') == 3 } 'function: loaded again';

# What a superuser writes into outbox.queue by hand fails no relay and loses
# no message: the queue stands still and says why.
sql("SELECT outbox_create_queue('hand', 'list')", "SELECT outbox_enqueue('hand', 'before')");
eventually { $redis->cmd('LLEN', 'hand') == 1 } 'by hand: a list flows';
my $pid = relay_pid($node, $db);
for my $target ('commands', 'function')
{
	sql("UPDATE outbox.queue SET target = '$target' WHERE name = 'hand'", "SELECT outbox_enqueue('hand', '$target')");
	eventually { state_of('hand') eq 'blocked' && queue_status($node, $db, 'hand', 'why') =~ /has no $target/ } "by hand: target $target without options";
}
sql(q[UPDATE outbox.queue SET options = '{"function": "redis.call(''RPUSH'', key, ''f '' .. payload)"}' WHERE name = 'hand']);
eventually { $redis->cmd('LLEN', 'hand') == 3 } 'by hand: with options';
is_deeply([ map { s/^\{.*"payload":"(.*?)".*/$1/r } @{ $redis->cmd('LRANGE', 'hand', 0, -1) } ], [ 'before', 'f commands', 'f function' ], 'by hand: all are there');
is(relay_pid($node, $db), $pid, 'by hand: the relay is the same');

# A function's source that can't be UTF-8 is refused where somebody is told.
$node->safe_psql('postgres', "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
$node->safe_psql('bytes', 'CREATE EXTENSION outbox');
like(($node->psql('bytes', q{SELECT outbox_create_queue('f', 'function', options => jsonb_build_object('function', E'-- \\xe9'))}))[2],
	qr/invalid byte sequence for encoding "UTF8": 0xe9/, 'function: not UTF-8');

# Nor may a task have any: it would stop asynq's workers.  The payload is bytes.
$node->safe_psql('bytes', q{SELECT outbox_create_queue('t', 'asynq')});
for my $part (q{type => E'\xe9'}, q{type => 't', headers => jsonb_build_object('h', E'\xe9')}, q{type => 't', headers => jsonb_build_object(E'\xe9', 'h')},
	q{type => 't', options => jsonb_build_object('group', E'\xe9')}, q{type => 't', options => jsonb_build_object('unique_ttl', 9, 'unique_key', E'\xe9')})
{
	like(($node->psql('bytes', "SELECT outbox_enqueue('t', 'x', $part)"))[2], qr/invalid byte sequence for encoding "UTF8": 0xe9/, "asynq, not UTF-8: $part");
}
is(($node->psql('bytes', q{SELECT outbox_enqueue('t', '\xe9'::bytea, type => 't')}))[0], 0, 'asynq: a payload of bytes');

# Under load, with the relay's connection cut all the time and one poison
# message among them.
my $xadd = '["XADD", "{redis_key}", "*", "id", "{id}", "payload", "{payload}"]';
sql(qq[SELECT outbox_create_queue('lc', 'commands', options => '{"commands": [$xadd]}')],
	q[SELECT outbox_create_queue('lf', 'function', options => jsonb_build_object('function',
		'redis.call("XADD", key, "*", "id", id, "payload", payload)'))],
	q[SELECT outbox_create_queue('lr', 'function', on_failure => 'retry', retry_delay => '20 ms', options => jsonb_build_object('function',
		'if attempt == "1" and string.byte(id, -1) % 5 == 0 then error("try again") end redis.call("XADD", key, "*", "id", id, "payload", payload)'))]);
my $load = load($node, $db, writers => 4, queues => [ 'lc', 'lf', 'lr' ], max_delay => 0.002);
for my $round (1 .. 8)
{
	my $enough = $redis->count('lf') + 50 + int rand 100;
	eventually { $redis->count('lf') > $enough } "round $round: messages flow";
	$redis->drop_clients;
	$redis->cmd('SCRIPT', 'FLUSH') if $round % 3 == 0;
}
$load->stop;
settle($node, $db, $redis, 'lc', 'lf');
my @journal = @{ journal($node, $db) };
my @whole = grep { $_->{queue} =~ /^l[cf]$/ } @journal;
is_deeply([ OutboxTest::Checker::faults(\@whole, { map { $_ => [ $redis->arrived($_) ] } 'lc', 'lf' }) ],
	[], 'nothing lost, nothing twice, all in order');
cmp_ok(scalar @whole, '>', 500, 'of enough messages');
@journal = grep { $_->{queue} eq 'lr' } @journal;
eventually { $redis->count('lr') == @journal } 'what failed at first has come';
my %seen;
is(scalar(grep { $seen{ $_->[0] }++ } $redis->arrived('lr')), 0, 'once');
cmp_ok(queue_status($node, $db, 'lr', 'failed'), '>', 0, 'and some had failed');

done_testing();
