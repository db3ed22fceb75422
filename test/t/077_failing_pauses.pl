# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that fails all the time takes a tenth of the relay's time and
# leaves the rest to others that are at work (I8): recording a failure is followed by
# a pause nine times as long, of a second at most.  Who is alone doesn't pause: 171.
#
# Recording is made to take long, so that what follows can be told from it.  A machine
# that is so busy that the other queue stops for a moment shortens a pause; so the
# test looks until there are some in a row.

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
install($node, $db, 'good');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('bad', on_failure => 'retry', max_attempts => 1000, retry_delay => '0')});
$redis->cmd('SET', 'bad', 'of another type');
set_gate($node, 'sleep 50', 'INSERT INTO outbox.deferred AS d');
my $load = load($node, $db, writers => 2, queues => ['good'], max_delay => 0.01, rounds => 500);
sql(q{SELECT outbox_enqueue('bad', 'x')});

# The shortest time between two of the last six attempts.
my $gap = 0;
my $min_gap = q{SELECT min(gap) FROM (
	SELECT extract(epoch FROM at - lag(at) OVER (ORDER BY at)) AS gap
	FROM (SELECT (event ->> 'at')::timestamptz AS at FROM outbox.deferred, jsonb_array_elements(history) AS event
		WHERE attempts >= 6 ORDER BY at DESC LIMIT 6) AS e) AS g};
eventually { ($gap = sql($min_gap) || 0) > 0.4 } 'with others at work there is a pause after each attempt';
note("the shortest time from one attempt to the next: $gap s");
$load->stop;

$redis->cmd('DEL', 'bad');
eventually { $redis->count('bad') == 1 } 'mended, it arrives';

done_testing();
