# Copyright (c) 2026, the outbox developers
#
# Promise: what Redis has got stays in staging for outbox.retention, in case Redis
# loses it (I2); also while no queue's cursor can be looked at, as all are blocked.
#
# 051 has queues that flow.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 6s');
my $db = 'postgres';
install($node, $db, 'q');

# Messages are delivered until one lies in the other table: the first one takes no more.
my $n = 0;
eventually
{
	put($node, $db, 'q', 'delivered ' . ++$n);
	wait_for { $redis->count('q') == $n };
	ask($node, $db, 'SELECT count(*) FROM outbox.staging_2') > 0;
}
'the tables are changed';

# It has messages that are as young, and nothing is waited for in it.
$redis->cmd('RENAME', 'q', 'aside');
$redis->cmd('SET', 'q', 'of another type');
put($node, $db, 'q', 'refused');
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'q'}) eq 'blocked' } 'the only queue is blocked';

# At each look all that is younger must be there.  How old a message is, is asked
# when staging has been read.
my ($young, $missing) = (0, 0);
eventually
{
	my ($there, $gone, $left) = split /\|/, $node->safe_psql($db, <<'EOC');
WITH seen AS MATERIALIZED (
	SELECT array_agg(id) AS ids, clock_timestamp() AS at
	FROM (SELECT id FROM outbox.staging_1 UNION ALL SELECT id FROM outbox.staging_2) AS s)
SELECT count(*) FILTER (WHERE j.id = ANY (seen.ids)), count(*) FILTER (WHERE j.id <> ALL (coalesce(seen.ids, '{}'))),
	(SELECT count(*) FROM outbox.staging_1)
FROM journal AS j, seen WHERE j.body LIKE 'delivered%' AND j.at > seen.at - interval '6 s'
EOC
	$young += $there;
	$missing += $gone;
	$left == 0;
}
'in the end the first table is emptied';
cmp_ok($young, '>', 0, 'some were looked at that were younger');
is($missing, 0, 'and all of these were there');

$redis->cmd('RENAME', 'aside', 'q');
audit($node, $db, $redis, ['q'], $n, 'nothing lost, nothing twice, in order');

done_testing();
