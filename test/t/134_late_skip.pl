# Copyright (c) 2026, the outbox developers
#
# Promise: nothing that a connection has sent, and that arrives when the next one has
# read the cursor, is taken for the next one's own work (I2, I3).  Here it is a
# batch in which messages may be skipped: the next connection sends the same messages
# as a plain batch, which would end at the same position.
#
# 036 has requests that arrive when all of it has been sent again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port . '/0');
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, <<'EOC');
SELECT create_queue('f', target => 'function', redis_key => 'f',
	on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour',
	options => jsonb_build_object('function', $$
		if payload == 'bad' and redis.call('EXISTS', 'mended') == 0 then return {err = 'ERR bad'} end
		redis.call('RPUSH', key, payload)
	$$));
SELECT outbox_enqueue('f', 'first');
EOC
eventually { $redis->cmd('LLEN', 'f') == 1 } 'the queue flows';

# The plain batch is stopped by "bad"; the batch that skips it is kept on its way,
# and arrives when the next connection has read the cursor.
$proxy->plan([ 'at', 'skip' ]);
$proxy->release_at('HGETALL');
$node->safe_psql($db, q{BEGIN; SELECT outbox_enqueue('f', 'm1'); SELECT outbox_enqueue('f', 'bad'); SELECT outbox_enqueue('f', 'm3'); COMMIT});
eventually { $proxy->stat->{cuts} > 0 } 'a batch that skips what is refused is on its way';
eventually { $redis->cmd('LLEN', 'f') == 3 } 'the others have come';
$redis->cmd('SET', 'mended', 1);
let_due($node, $db, $redis);
eventually { grep { $_ eq 'bad' } @{ $redis->cmd('LRANGE', 'f', 0, -1) } } 'the refused one comes when it is tried again';
is(join(' ', sort @{ $redis->cmd('LRANGE', 'f', 0, -1) }), 'bad first m1 m3', 'each once');

done_testing();
