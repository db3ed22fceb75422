# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that fails all the time takes a tenth of the relay's time and
# leaves the rest to others (I8): recording a failure is followed by a pause nine times
# as long, of a second at most.
#
# Recording is made to take long, so that what follows can be told from it on any
# machine: a slow one only lengthens the pauses.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'good');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(<<'EOC');
SELECT outbox_create_queue('bad', on_failure => 'retry', max_attempts => 1000, retry_delay => '0');
ALTER TABLE outbox.deferred ADD CONSTRAINT slow CHECK (pg_catalog.pg_sleep(0.05) IS NOT NULL) NOT VALID;
EOC
$redis->cmd('SET', 'bad', 'of another type');
sql(q{SELECT outbox_enqueue('bad', 'x')});

my $attempts = q{SELECT coalesce(max(attempts), 0) FROM outbox.deferred};
eventually { sql($attempts) >= 6 } 'a message is refused again and again';
my $gap = sql(q{SELECT min(gap) FROM (
	SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at)) AS gap
	FROM (SELECT (event ->> 'at')::timestamptz AS at FROM outbox.deferred, jsonb_array_elements(history) AS event) AS e) AS g});
note("the shortest time from one attempt to the next: $gap s");
cmp_ok($gap, '>', 0.4, 'with a pause after each attempt');

$redis->cmd('DEL', 'bad');
eventually { $redis->count('bad') == 1 } 'mended, it arrives';

done_testing();
