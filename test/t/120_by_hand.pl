# Copyright (c) 2026, the outbox developers
#
# Promise: what a superuser writes into our tables by hand stops no relay and loses
# no message (I2): it goes as far as it makes sense, or its queue stands still and
# says why.

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
install($node, $db);

sub sql { return $node->safe_psql($db, join ';', @_); }
sub state_of { return queue_status($node, $db, $_[0], 'state'); }

my $id = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5d';
my $other = '0190f3a2-7c1e-7b3a-9d55-3f0c2a1b4c5e';

# A task's row in staging.
sql("SELECT outbox_create_queue('default', 'asynq')");
my $task = q[SELECT outbox_enqueue('default', '{"user_id":42}'::text, 'email:welcome'];
sub waiting { return join ' ', @{ $redis->cmd('LRANGE', 'asynq:{default}:pending', 0, -1) }; }
sql("SELECT outbox_pause_queue('default')", "$task, id => '$id', options => '{\"group\": \"g\"}')", "$task, id => '$other')");
run_sql($node, $db, '120_by_hand.sql', id => $id, other => $other);
sql("SELECT outbox_resume_queue('default')");
eventually { waiting() eq "$other $id" } 'asynq: what was written into our tables by hand goes as far as it makes sense';

# What a superuser writes into outbox.queue by hand fails no relay and loses
# no message: the queue stands still and says why.
sql("SELECT create_queue('hand', 'list')", "SELECT outbox_enqueue('hand', 'before')");
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

done_testing();
