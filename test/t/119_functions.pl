# Copyright (c) 2026, the outbox developers
#
# Promise: a function has all of its message, and does it whole, once (I2, I3); an
# error in it is a refusal of that message and of no other, whatever it raises or
# returns; what doesn't compile blocks its queue only (I8).

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
install($node, $db, 'plain');

sub sql { return $node->safe_psql($db, join ';', @_); }
sub state_of { return queue_status($node, $db, $_[0], 'state'); }

# A function.
my $push = q[if payload == 'raise' then error('raised') end
if payload == 'refuse' then return {err = 'NO thanks'} end
if payload == 'wrong' then redis.call('LPUSH', key, payload) end
redis.call('XADD', key, '*', 'id', id, 'type', msgtype, 'key', msgkey, 'payload', payload, 'headers', headers, 'attempt', attempt, 'now', now_ms)];
$push =~ s/'/''/g;
sql(qq[SELECT create_queue('f', 'function', 'fk', on_failure => 'dead_letter', options => jsonb_build_object('function', 'no Lua'))],
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
is_deeply([ split /\n/, sql("SELECT payload #>> '{}' || ': ' || last_error FROM outbox.dead_letters WHERE queue = 'f' ORDER BY dead_at, enqueued_at") =~ s/user_script:\d+:/@/gr ],
	[ 'raise: ERR script: @ raised', 'refuse: ERR function: NO thanks',
		sql("SELECT 'wrong: ' || last_error FROM outbox.dead_letters WHERE payload #>> '{}' = 'wrong'") ], 'function: an error is a refusal, with its words')
  or diag(sql("SELECT payload #>> '{}', last_error FROM outbox.dead_letters"));
like(sql("SELECT last_error FROM outbox.dead_letters WHERE payload #>> '{}' = 'wrong'"), qr/WRONGTYPE/, 'function: one of Redis too');

# ... may raise and return anything: that is its message's error, not an outage,
# it is short, and no other message is lost with it.
my $odd = q[local odd = {a = {err = {}}, b = {err = true}, c = {err = setmetatable({}, {__tostring = function() return {} end})},
	d = {err = 'a -OOM or -READONLY to see'}, e = {err = string.rep('x', 100000)},
	h = {err = 'ERR max number of clients reached'}}
if payload == 'f' then error(setmetatable({}, {__index = function() error('index') end})) end
if payload == 'g' then error() end
if odd[payload] then return odd[payload] end
redis.call('RPUSH', 'f:odd', payload)] =~ s/'/''/gr;
sql(qq[SELECT create_queue('o', 'function', on_failure => 'dead_letter', options => jsonb_build_object('function', '$odd'))],
	q[SELECT outbox_enqueue('o', x || y) FROM unnest('{a,b,c,d,e,f,g,h}'::text[]) AS x, unnest('{"",1,2}'::text[]) AS y ORDER BY y, x]);
eventually { $redis->cmd('LLEN', 'f:odd') == 16 } 'function: odd errors are those of their messages only';
is(sql("SELECT string_agg(payload #>> '{}', '' ORDER BY payload #>> '{}') FROM outbox.dead_letters WHERE queue = 'o' AND length(last_error) < 1100"),
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

# ... cannot leave its database, nor take the cursor with it: the message is
# refused, and all others arrive.
sql(q[SELECT create_queue('s', 'function', options => '{"function": "redis.call(''SELECT'', 3) redis.call(''RPUSH'', key, payload)"}')],
	"SELECT outbox_enqueue('s', 'm' || g) FROM generate_series(1, 5) AS g");
eventually { queue_status($node, $db, 's', 'why') =~ /a function must not call SELECT$/ } 'function: SELECT is refused';
sql(q[SELECT outbox_alter_queue('s', options => '{"function": "if payload == ''m3'' then redis.call(''SELECT'', 3) end redis.call(''RPUSH'', key, payload)"}',
	on_failure => 'dead_letter')]);
eventually { $redis->cmd('LLEN', 's') == 4 } 'function: of one message, too';
is(join(' ', @{ $redis->cmd('LRANGE', 's', 0, -1) }), 'm1 m2 m4 m5', 'function: all others are there');
is(sql("SELECT payload #>> '{}' FROM outbox.dead_letters WHERE queue = 's'"), 'm3', 'function: and it is a dead letter');
$redis->cmd('SELECT', 3);
is($redis->cmd('DBSIZE'), 0, 'function: nothing is in the other database');
$redis->cmd('SELECT', 0);

# ... that was edited by hand and ends what is around it blocks its queue.
sql(q[UPDATE outbox.queue SET options = '{"function": "end redis.call(''SELECT'', 3) local function f()"}' WHERE name = 's'],
	"SELECT outbox_enqueue('s', 'm6')");
eventually { queue_status($node, $db, 's', 'why') =~ /has an "end" too many in line 1/ } 'function: an end too many';
sql(q[SELECT outbox_alter_queue('s', options => '{"function": "redis.call(''RPUSH'', key, payload)"}')]);
eventually { $redis->cmd('LLEN', 's') == 5 } 'function: mended';

# A function's source that can't be UTF-8 is refused where somebody is told.
$node->safe_psql('postgres', "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
$node->safe_psql('bytes', 'CREATE EXTENSION outbox');
like(($node->psql('bytes', q{SELECT outbox_create_queue('f', 'function', options => jsonb_build_object('function', E'-- \\xe9'))}))[2],
	qr/invalid byte sequence for encoding "UTF8": 0xe9/, 'function: not UTF-8');

done_testing();
