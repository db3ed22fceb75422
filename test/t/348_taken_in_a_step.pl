# Copyright (c) 2026, the outbox developers
#
# Promise: who drops or alters a queue takes it between two steps of the relay, never
# within one (I5).  A step that has found the queue free writes its rows; if these were
# being deleted meanwhile, the relay would wait for the end of somebody's transaction.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Gate;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => gate_conf());
my $db = 'postgres';
install($node, $db, 'q', 'dropped', 'altered', 'purged');
$node->safe_psql($db, q{SELECT create_queue('bad', on_failure => 'retry', max_attempts => 1000, retry_delay => '1 ms', retry_backoff => 1)});
$redis->cmd('SET', 'bad', 'no stream');
put($node, $db, 'bad', 'refused');
eventually { $node->safe_psql($db, 'SELECT max(attempts) > 1 FROM outbox.deferred') eq 't' } 'a message is refused again and again';
my $relay = relay_pid($node, $db);

# The transaction does not end, and nobody is kept for good by that.
for my $command (q{outbox_drop_queue('dropped')}, q{outbox_alter_queue('altered', settings => '{"redis_key": "altered:2"}')}, q{outbox_purge_queue('purged')})
{
	set_gate($node, 'wait', 'INSERT INTO outbox.deferred');
	gate_is_reached($node, 'the relay is in a step');
	is($node->safe_psql($db, "SELECT clock_timestamp() - statement_timestamp() >= '0.3 s' FROM (SELECT $command OFFSET 0) AS done"), 't', "$command waits for its end");
	open_gate($node);
}
is($node->safe_psql($db, q{SELECT string_agg(redis_key, ' ' ORDER BY redis_key) FROM outbox.queue}), 'altered:2 bad purged q', 'all has been done');
put($node, $db, 'q', 'goes on');
eventually { $redis->count('q') == 1 } 'the queues flow';
is(relay_pid($node, $db), $relay, 'the relay is the same');

done_testing();
