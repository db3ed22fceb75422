# Promise: what status counts as waiting is what Redis has not got, also where
# a batch was stopped in its middle or a cursor was moved behind the relay's
# back.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }
sub waiting { return ask($node, $db, "SELECT waiting FROM outbox.queue_status WHERE queue = '$_[0]'"); }

# Ten messages are applied before the one that stops the batch.
my $function = q[if payload == 'bad' then return {err = 'ERR bad'} end return redis.call('RPUSH', key, payload)];
sql("SELECT outbox_create_queue('f', 'function', on_failure => 'dead_letter',"
	  . " options => jsonb_build_object('function', \$\$$function\$\$))");
sql("SELECT outbox_pause_queue('f')");
sql("SELECT outbox_enqueue('f', CASE i WHEN 11 THEN 'bad' ELSE 'good' END) FROM generate_series(1, 16) AS i");
eventually { waiting('f') eq '16' } 'they wait while the queue is paused';
sql("SELECT outbox_resume_queue('f')");
eventually { $redis->cmd('LLEN', 'f') eq '15' } 'all but the bad one are delivered';
eventually { waiting('f') eq '0' } 'and none waits';
is(status($node, $db, 'waiting'), '0', 'of no queue');

done_testing();
