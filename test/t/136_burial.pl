# Copyright (c) 2026, the outbox developers
#
# Promise: a message that was given up stays given up when its record might be lost
# by a crash: else it would be tried again, behind the next one of its key that has
# been sent since (I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "wal_writer_delay = 10s\ncheckpoint_timeout = 1h");
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, <<'EOC');
SELECT create_queue('f', target => 'function', redis_key => 'f', on_failure => 'retry', max_attempts => 2,
	retry_delay => '1 hour', retry_max_delay => '1 hour',
	options => jsonb_build_object('function', $$
		if payload == 'bad' and redis.call('EXISTS', 'mended') == 0 then return {err = 'ERR bad'} end
		redis.call('RPUSH', key, payload)
	$$));
SELECT outbox_enqueue('f', 'first');
EOC
eventually { $redis->cmd('LLEN', 'f') == 1 } 'the queue flows';

$node->safe_psql($db, q{BEGIN; SELECT outbox_enqueue('f', 'bad', key => 'k'); SELECT outbox_enqueue('f', 'good', key => 'k'); COMMIT});
eventually { $node->safe_psql($db, q{SELECT string_agg(reason, ' ' ORDER BY seq) FROM outbox.deferred}) eq 'retry behind' } 'a message is refused';

# Its second attempt is the last one.  Nobody but the relay writes WAL to the disk.
my ($writer) = $node->safe_psql($db, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
kill 'STOP', $writer;
let_due($node, $db, $redis);
wait_for { $redis->cmd('LLEN', 'f') == 2 };
kill_hard($node);
is(join(' ', @{ $redis->cmd('LRANGE', 'f', 0, -1) }), 'first good', 'a message is given up, the next one of its key has come');

$redis->cmd('SET', 'mended', 1);
$node->start;
eventually { status($node, $db, 'state') eq 'running' } 'after the crash';
$node->safe_psql($db, q{SELECT outbox_enqueue('f', 'last', key => 'k')});
eventually { $redis->cmd('LLEN', 'f') == 3 } 'it goes on';
is(join(' ', @{ $redis->cmd('LRANGE', 'f', 0, -1) }), 'first good last', 'the one that was given up has not come behind');
is($node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters'), 1, 'it is a dead letter');

done_testing();
