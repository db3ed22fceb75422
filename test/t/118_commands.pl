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

sub sql { return $node->safe_psql($db, join ';', @_); }

my $id = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d';

# Commands.
sql(q[SELECT outbox_create_queue('c', 'commands', 'jobs', on_failure => 'retry', retry_delay => '50 ms', retry_backoff => 1, max_attempts => 1000,
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

done_testing();
