# Copyright (c) 2026, the outbox developers
#
# Promise: what a queue with policy retry is refused is tried again, later and
# later, no earlier than its delay says, its attempts counted, until it goes
# through or is given up with all its history; then the next of its key goes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'wal_level = logical');
my $db = 'postgres';
install_keyed($node, $db);

sub bodies { return join ' ', map { $_->[2] } arrivals($redis, $_[0]); }

# Growing delays.  The relay sets due_at when it writes an attempt down, so the
# two are apart by just the delay; the log has all of them.
create_retrying($node, $db, 'clock', 'stream', max_attempts => 6,
	retry_delay => 200, retry_backoff => 2, retry_max_delay => 500);
$node->safe_psql($db, q{SELECT pg_create_logical_replication_slot('tries', 'test_decoding')});
refuse($redis, 'clock');
put_keyed($node, $db, 'clock', undef, map { "alone $_" } 1 .. 14);
eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters') == 14 } 'all are given up';
run_sql($node, $db, '090_tries.sql');
is( $node->safe_psql($db, 'TABLE delays'),
	join("\n", map { "$_|14|t|t" } 1 .. 5),
	'delays grow up to the maximum, each a tenth longer or shorter');
is($node->safe_psql($db, 'SELECT count(*) FROM early'), 0, 'and nothing is tried before its time');
$node->safe_psql($db, q{SELECT pg_drop_replication_slot('tries'); DELETE FROM journal});
$node->safe_psql($db, 'SELECT outbox_discard(id) FROM outbox.dead_letters');

# From the first attempt to the last, each when the test says so.
create_retrying($node, $db, 'slow', 'stream', max_attempts => 6);
refuse($redis, 'slow');
put_keyed($node, $db, 'slow', 'a', 'first of a');
put_keyed($node, $db, 'slow', 'a', 'second of a');
put_keyed($node, $db, 'slow', 'b', 'first of b');
put_keyed($node, $db, 'slow', undef, map { "alone $_" } 1 .. 12);
eventually { held($node, $db, 'slow') == 15 } 'all are held';
is(deferred($node, $db, 'slow', "count(*) FILTER (WHERE d.reason = 'behind')"), 1,
	'of them one waits behind another');
is(deferred($node, $db, 'slow', q{string_agg(d.attempts::text, '') FILTER (WHERE d.reason = 'behind')}), 0,
	'which costs it no attempt');
eventually { queue_status($node, $db, 'slow', 'retrying') == 15 } 'the view counts them';
is(queue_status($node, $db, 'slow', 'state'), 'flowing', 'the queue does not stand still');
like(queue_status($node, $db, 'slow', 'last_error'), qr/^WRONGTYPE/, 'and the view has the error');
for my $attempt (2 .. 5)
{
	let_due($node, $db, $redis);
	eventually { deferred($node, $db, 'slow', "min(d.attempts) FILTER (WHERE d.reason = 'retry')") == $attempt }
	"attempt $attempt";
}
let_due($node, $db, $redis);
eventually
{
	ask($node, $db, q{SELECT count(*) FROM outbox.dead_letters WHERE payload #>> '{}' <> 'second of a'}) == 14;
}
'after the last attempt they are dead letters';
is( run_sql($node, $db, '090_history.sql'),
	'refused|6|' . join(', ', map { "$_ refused slow WRONGTYPE" } 1 .. 6),
	'all attempts are in the history');
eventually { deferred($node, $db, 'slow', 'max(d.attempts)') > 0 } 'then the next of its key goes';
mend($redis, 'slow');
let_due($node, $db, $redis);
eventually { bodies('slow') eq 'second of a' } 'and arrives when it can';
eventually { queue_status($node, $db, 'slow', 'retrying, dead_letters, dead_lettered') eq '0|14|14' }
'the view counts dead letters';
my @said = log_of($node) =~ /outbox has given up message \S+ of queue "slow"/g;
is(scalar @said, 14, 'the log has each once');

done_testing();
