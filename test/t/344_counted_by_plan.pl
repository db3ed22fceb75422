# Copyright (c) 2026, the outbox developers
#
# Promise: what waits is counted from what is planned and acknowledged, so the rows of
# queues that are delivered are not visited once more; and the figures are right
# whatever becomes of the plan.

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
install($node, $db, 'q', 'r');

sub sql { return $node->safe_psql($db, $_[0]); }
sub waiting { return ask($node, $db, "SELECT waiting FROM outbox.queue_status WHERE queue = '$_[0]'"); }
sub enqueue { my ($queue, $n) = @_; return "SELECT count(outbox_enqueue('$queue', i::text)) FROM generate_series(1, $n) AS i"; }

# Entries of staging's indexes that were read, by all scans.
sub entries_read
{
	return sql(q{SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
		WHERE schemaname = 'outbox' AND relname IN ('staging_1', 'staging_2')});
}

# Few enough for a near scan, which finds all of them at once.  What was read is reported
# after a count, once a second.
my ($n, $times) = (7000, 4);
my $begin = entries_read();
for (1 .. $times)
{
	my ($had, $read) = ($redis->count('q'), entries_read());
	sql(enqueue('q', $n));
	eventually { $redis->count('q') == $had + $n } "$n messages are delivered";
	eventually { entries_read() - $read >= $n } 'which is reported';
	is(waiting('q'), 0, 'none waits');
}
my $each = (entries_read() - $begin) / ($n * $times);
note("$each entries were read for each message");
cmp_ok($each, '<', 1.5, 'they were planned, and not visited again to be counted');

# Redis takes none: what is planned and what is sent waits.  Of what was rolled back
# the plan has rows, and they are not shown once the plan is gone.
$redis->pause;
sql('BEGIN; ' . enqueue('q', 3000) . '; SAVEPOINT s; ' . enqueue('q', 500) . '; ROLLBACK TO s; COMMIT');
eventually { waiting('q') >= 3000 } 'they are counted while Redis answers nothing';
my $since = sql(q{SELECT extract(epoch FROM oldest) FROM outbox.queue_status WHERE queue = 'q'});
ok($since > 0 && $since < 120, 'since when they wait is known') or diag($since);
sql(enqueue('q', 10));
eventually { waiting('q') == 3510 } 'and those behind them, with what was rolled back';
sql(q{SELECT outbox_pause_queue('q')});
$redis->resume;
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'q'}) eq 'paused' } 'the queue is paused';
my $left = sub { return $n * $times + 3010 - $redis->count('q') };
eventually { waiting('q') == $left->() } 'what is left of it is counted again';
cmp_ok($left->(), '>', 0, 'there is some');

# A queue that flows beside one that is paused, and one that the relay doesn't know yet.
put($node, $db, 'r', 'one');
eventually { $redis->count('r') == 1 } 'another queue is delivered';
my $paused = $left->();
for my $i (1 .. 5)
{
	sql("BEGIN; SELECT outbox_create_queue('new$i'); SELECT outbox_pause_queue('new$i'); " . enqueue("new$i", $i) . '; ' . enqueue('r', 20) . '; ' . enqueue('q', 1) . '; COMMIT');
	eventually { waiting("new$i") == $i } "a queue that begins with $i messages has them";
	eventually { waiting('q') == $paused + $i } 'that which is paused has one more';
	eventually { waiting('r') == 0 } 'and that which is delivered has none';
}
sql("SELECT outbox_resume_queue(queue) FROM outbox.queue_status");
eventually { status($node, $db, 'waiting') eq '0' } 'all are delivered';
is($redis->count('q'), $n * $times + 3010 + 5, 'each once');
done_testing();
