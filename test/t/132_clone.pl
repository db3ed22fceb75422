# Copyright (c) 2026, the outbox developers
#
# Promise: a copy of a server's disk that is started with the same settings does not
# deliver in the original's place, nor stop the original (I2, I3): of an idle
# production, of a busy one, of one with a paused queue.  If the original is gone,
# the copy goes on with nothing lost and nothing twice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Copies;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('production', redis => $redis, conf => "outbox.retention = 12s\nautovacuum = off");
my $db = 'postgres';
install($node, $db, 'q', 'paused');
put($node, $db, $_, map { "before $_" } 1 .. 5) for 'q', 'paused';
settle($node, $db, $redis, 'q', 'paused');
$node->safe_psql($db, q{SELECT outbox_pause_queue('paused')});

# Nothing happens in production but the relay's looks at its cursors: its totals are
# written, and in two rounds of looks there is no more WAL than a record for each.
eventually
{
	ask($node, $db, 'SELECT (SELECT sum(delivered) FROM outbox.queue_total) = (SELECT delivered FROM outbox.status)') eq 't'
}
'the totals are written';
eventually
{
	my ($looks, $lsn) = ($redis->calls('evalsha'), $node->lsn('insert'));
	wait_for { $redis->calls('evalsha') >= $looks + 4 };
	$node->safe_psql($db, "SELECT pg_current_wal_insert_lsn() - '$lsn' < 200") eq 't';
}
'production is idle';
volume($node, 'idle');
my $idle = clone($node, 'idle', 'idle');
$idle->start;
like(status($idle, $db, q{coalesce(why, '')}), qr/^$|another place|foreign|set back/, 'the clone of an idle server waits');
eventually { status($idle, $db, 'state') =~ /held|fenced|running/ } 'and decides';
isnt(held_why($idle, $db), '', 'that it is held');
put($idle, $db, 'q', 'of the clone');
put($node, $db, 'q', map { "after $_" } 1 .. 5);
settle($node, $db, $redis, 'q');
is(status($node, $db, 'state'), 'running', 'production goes on');
$idle->restart;
eventually { held_why($idle, $db) ne '' } 'the clone is held after a restart';
$idle->stop;

# While production is busy.
my $load = load($node, $db, writers => 2, queues => ['q']);
volume($node, 'busy');
my $busy = clone($node, 'busy', 'busy');
$busy->start;
eventually { held_why($busy, $db) ne '' } 'the clone of a busy server is held';
put($busy, $db, 'q', 'of the clone');
is(status($node, $db, 'state'), 'running', 'production goes on');
$load->stop;
$busy->stop;
$node->safe_psql($db, q{SELECT outbox_resume_queue('paused')});
audit($node, $db, $redis, [ 'q', 'paused' ], 20, 'of production nothing lost, nothing twice, all in order');
is(scalar(grep { $_->[1] eq 'of the clone' } $redis->arrived('q')), 0, 'nothing came from a clone');

# Production is gone, with what Redis had not got.
$redis->stop_saved;
put($node, $db, 'q', map { "waits $_" } 1 .. 10);
volume($node, 'last');
$node->stop('immediate');
my $last = clone($node, 'last', 'last');
$last->start;
$redis->start_again;
eventually { status($last, $db, 'state') eq 'starting' || status($last, $db, 'state') eq 'running' } 'a clone of one that is gone';
audit($last, $db, $redis, [ 'q', 'paused' ], 30, 'goes on after a while: nothing lost, nothing twice, all in order');

done_testing();
