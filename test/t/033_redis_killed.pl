# Copyright (c) 2026, the outbox developers
#
# Promise: once, as long as Redis keeps what it acknowledged (I2, I3).  Redis is
# killed with -9 at random moments under load; its append-only file keeps what
# it acknowledged, and of what it did not, some and some not.  At last the file
# is cut in the middle of a script and mended as docs/guarantees.md says: what was in there
# comes again, and nothing else.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'always');
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'q', 'r');

my $load = load($node, $db, writers => 4, queues => [ 'q', 'r' ], max_delay => 0.002);
for my $round (1 .. 6)
{
	my $before = $redis->count('q');
	my $enough = $before + 50 + int rand 150;
	eventually { $redis->count('q') > $enough } "round $round: messages flow";
	$redis->kill9;
	my $n = $node->safe_psql($db, 'SELECT last_value FROM journal_n_seq');
	eventually { ask($node, $db, 'SELECT last_value FROM journal_n_seq') > $n + 50 } "round $round: writers go on";
	$redis->start_again;
	cmp_ok($redis->count('q'), '>=', $before, "round $round: Redis has kept what it had");
}
$load->stop;
audit($node, $db, $redis, [ 'q', 'r' ], 1000, 'nothing lost, nothing twice, all in order');

# A kilobyte is within the last batch, whose cursor comes first.
$node->safe_psql($db, "SELECT put('q', 'cut ' || i) FROM generate_series(1, 100) i");
settle($node, $db, $redis, 'q', 'r');
my $count = $redis->count('q');
$redis->kill9;
like($redis->cut_aof(1000), qr/truncated/, 'the append-only file ended within a script');
$redis->start_again;
eventually { $redis->count('q') == $count } 'what was cut off has come again';
$redis->kill9;
$redis->start_again;
audit($node, $db, $redis, [ 'q', 'r' ], 1000, 'nothing lost and nothing twice after another start');

done_testing();
