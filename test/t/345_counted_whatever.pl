# Copyright (c) 2026, the outbox developers
#
# Promise: what waits is counted right where a short cut would miss it: behind the tick
# that a cursor stands in, in a table that is emptied by hand.  And a queue that gets
# nowhere does not make counting dearer all the time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $slow = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = '1s'\n");
my $db = 'postgres';
install($node, $db, 'q', 'r', 'far');

sub sql { return $node->safe_psql($db, $_[0]); }
sub waiting { return ask($node, $db, "SELECT waiting FROM outbox.queue_status WHERE queue = '$_[0]'"); }
sub state { return ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = '$_[0]'"); }
sub enqueue { my ($queue, $n) = @_; return "SELECT count(outbox_enqueue('$queue', i::text)) FROM generate_series(1, $n) AS i"; }

# Paused in the middle of a tick, and all that was left, and what came later, was copied.
# Resumed, it finds a Redis that applies nothing.
my ($n, $later) = (20_000, 5_000);
sql(q{SELECT outbox_pause_queue('q')});
sql(enqueue('q', $n));
sql(q{SELECT outbox_resume_queue('q')});
wait_for { $redis->count('q') > 0 };
sql(q{SELECT outbox_pause_queue('q')});
eventually { state('q') eq 'paused' } 'paused';
my $left = $n - $redis->count('q');
cmp_ok($left, '>', 0, 'in the middle of a tick');
sql(enqueue('q', $later));
eventually
{
	put($node, $db, 'r', 'x');
	sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) == $left + $later &&
		sql(q{SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
			WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'q')}) == 0
} 'all is copied';
eventually { waiting('q') == $left + $later } 'and counted';
$redis->cmd('CLIENT', 'PAUSE', 600_000, 'WRITE');
sql(q{SELECT outbox_resume_queue('q')});
eventually { state('q') ne 'paused' } 'resumed';
sql(enqueue('q', 1));
eventually { waiting('q') == $left + $later + 1 } 'counted once more, all of it is there';
$redis->cmd('CLIENT', 'UNPAUSE');
eventually { waiting('q') == 0 } 'all is delivered';
is($redis->count('q'), $n + $later + 1, 'each once');

# TRUNCATE by hand.  There are so many that they are not counted again for a change of
# nothing.
sql(q{SELECT count(outbox_enqueue('far', 'x', delay => '30 days')) FROM generate_series(1, 2500) AS i});
my $delayed = sub { ask($node, $db, q{SELECT delayed FROM outbox.queue_status WHERE queue = 'far'}) };
eventually { $delayed->() == 2500 } 'delayed messages are counted';
sql('TRUNCATE outbox.deferred');
eventually { $delayed->() == 0 } 'TRUNCATE is noticed';

# A queue has a plan and gets nowhere, as its server hangs; another one is delivered.
# What a count has looked at is reported after it.
sub entries_read
{
	return sql(q{SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
		WHERE schemaname = 'outbox' AND relname IN ('staging_1', 'staging_2')});
}
configure($node, 'outbox.retention' => '10min');
sql("CREATE SERVER s FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $slow->url ]}')");
sql(q(SELECT outbox_create_queue('stuck', settings => '{"payload_type": "text", "server": "s"}')));
put($node, $db, 'stuck', 'one');
eventually { $slow->count('stuck') == 1 } 'a queue of another server flows';
$slow->pause;
sql(enqueue('stuck', 7000));
my @read;
for my $round (1 .. 6)
{
	my ($had, $read) = ($redis->count('r'), entries_read());
	sql(enqueue('r', 4000));
	eventually { $redis->count('r') == $had + 4000 } "round $round: delivered";
	eventually { entries_read() - $read >= 4000 } "round $round: counted";
	push @read, entries_read() - $read;
}
note("entries read in each round: @read");
cmp_ok($read[-1], '<', 16_000, 'no count goes through all since the plan');
$slow->resume;
eventually { waiting('stuck') == 0 } 'that is delivered, too';
done_testing();
