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
install($node, $db, 'q', 'other');
$node->safe_psql($db, q{SELECT create_queue('bad', on_failure => 'retry', max_attempts => 1000, retry_delay => '1 ms', retry_backoff => 1)});
$redis->cmd('SET', 'bad', 'no stream');
put($node, $db, 'bad', 'refused');
eventually { $node->safe_psql($db, 'SELECT max(attempts) > 1 FROM outbox.deferred') eq 't' } 'a message is refused again and again';
my $relay = relay_pid($node, $db);

# Returns what a command says while the relay is in a step that writes rows.
sub within_a_step
{
	my ($command) = @_;
	set_gate($node, 'wait', 'INSERT INTO outbox.deferred');
	gate_is_reached($node, 'the relay is in a step');
	my ($rc, $out, $err) = $node->psql($db, "SET deadlock_timeout = '10s'; $command");
	open_gate($node);
	return $err;
}

for my $name ('bad', 'other')
{
	for my $command ("outbox_drop_queue('$name', true)", "outbox_alter_queue('$name', settings => '{\"redis_key\": \"$name:2\"}')", "outbox_purge_queue('$name')")
	{
		like(within_a_step("SELECT $command"), qr/canceling statement due to lock timeout/, "$command waits for the relay's step");
	}
}
is($node->safe_psql($db, q{SELECT count(*) FROM outbox.queue WHERE name IN ('bad', 'other') AND redis_key = name}), 2, 'nothing has been done');
$node->safe_psql($db, q{SELECT outbox_drop_queue('bad', true); SELECT outbox_drop_queue('other')});
pass('between two steps both are dropped');
put($node, $db, 'q', 'goes on');
eventually { $redis->count('q') == 1 } 'the queues flow';
is(relay_pid($node, $db), $relay, 'the relay is the same');

done_testing();
