# Copyright (c) 2026, the outbox developers
#
# Promise: a request that reaches Redis when its relay has given up on it, has come
# back and has sent the same again does nothing (I3): in every form in which messages
# are sent.  Otherwise they would come twice, and the cursor would go back.
#
# 032 has plain batches, by chance; 101 has messages that are tried again.

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
install($node, $db, 'plain');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('held', target => 'function', redis_key => 'held',
	on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour',
	options => jsonb_build_object('function', $$
		if payload == 'bad' then return {err = 'ERR bad'} end
		redis.call('XADD', key, '*', 'id', id, 'payload', payload)
	$$));
EOC

# While a key is held, all of its queue is sent with care.
$node->safe_psql($db, q{SELECT outbox_enqueue('held', 'bad', key => 'k')});
eventually { $node->safe_psql($db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'retry'}) == 1 } 'a message is refused';

for my $queue ('plain', 'held')
{
	put($node, $db, $queue, 'first');
	eventually { $redis->count($queue) == 1 } "$queue: flows";

	my $cuts = $proxy->stat->{cuts};
	$proxy->plan([ 'late', 0 ]);
	put($node, $db, $queue, 'second');
	eventually { $proxy->stat->{cuts} > $cuts } "$queue: a request is on its way";
	put($node, $db, $queue, 'third');
	eventually { $redis->count($queue) == 3 } "$queue: it is made again, and more";

	my $calls = $redis->calls('evalsha');
	$proxy->release;
	eventually { $redis->calls('evalsha') > $calls } "$queue: the first one arrives";
	is(join(' ', map { $_->[1] } $redis->arrived($queue)), 'first second third', "$queue: it does nothing");
	put($node, $db, $queue, 'fourth');
	eventually { $redis->count($queue) == 4 } "$queue: goes on";
}

done_testing();
