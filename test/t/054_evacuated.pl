# Copyright (c) 2026, the outbox developers
#
# Promise: a staging table is emptied while a queue stands still, and nothing is lost
# or comes twice by that (I2, I3), wherever the queue stood still: in the middle of a
# tick, with transactions open, or with its messages in two tables; nor if somebody
# edits what was moved aside.

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
install($node, $db, 'q', 'p');

sub sql { return $node->safe_psql($db, $_[0]); }

# Tables take new rows for the retention: nothing moves from one to the other
# while messages are put, and all is emptied soon when that is done.
sub keep { configure($node, 'outbox.retention' => '10min'); return; }
sub emptied
{
	my ($name) = @_;
	configure($node, 'outbox.retention' => '1s');
	return eventually {
		sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0'
	} "$name: staging is emptied";
}

sub pause { my ($queue) = @_; sql("SELECT outbox_pause_queue('$queue')"); return is_paused($queue); }
sub is_paused
{
	my ($queue) = @_;
	return eventually {
		ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = '$queue'") eq 'paused'
	} "\"$queue\" is paused";
}
sub resume { my ($queue) = @_; return sql("SELECT outbox_resume_queue('$queue')"); }
sub evacuated { return sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}); }

# A new relay may have its first messages in one table and the next ones in the other.
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'q');
emptied('at first');
keep();

# Somebody reads staging, so it can't be emptied; what waits has been
# copied already.  Resumed, each message is there twice.
pause('p');
put($node, $db, 'p', map { "in both tables $_" } 1 .. 300);
my $reader = session($node, $db);
$reader->query_safe('BEGIN; LOCK TABLE outbox.staging_1, outbox.staging_2 IN ACCESS SHARE MODE');
configure($node, 'outbox.retention' => '1s');
eventually { evacuated() == 300 } 'what waits is copied';
is(sql(q{SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
	WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'p')}), 300, 'and is staged still');
resume('p');
audit($node, $db, $redis, [ 'p', 'q' ], 300, 'in both tables: each comes once');
$reader->query_safe('COMMIT');
emptied('in both tables');
eventually { evacuated() == 0 } 'the copies go';

# Rows are copied in pieces, in the order of transaction ids.  A slow writer with a
# small id commits behind the copying.
keep();
pause('p');
my $slow = session($node, $db);
$slow->query_safe("BEGIN; SELECT put('p', 'slow')");
sql(q{SELECT put('p', 'quick ' || i) FROM generate_series(1, 1500) AS i});
configure($node, 'outbox.retention' => '1s');
eventually { evacuated() == 1500 } 'a slow writer: what others have written is copied';
$slow->query_safe('COMMIT');
emptied('a slow writer');
is(evacuated(), 1501, 'a slow writer: its message is copied, too');
resume('p');
audit($node, $db, $redis, [ 'p', 'q' ], 1801, 'a slow writer: nothing is lost');
emptied('a slow writer, resumed');

# The queue has got all that there was, but for a transaction that was open, and
# ended when the queue was paused.
keep();
$slow->query_safe("BEGIN; SELECT put('p', 'late')");
put($node, $db, 'p', 'meanwhile');
settle($node, $db, $redis, 'p');
eventually { status($node, $db, 'waiting') eq '0' } 'a late committer: Redis has the rest';
pause('p');
$slow->query_safe('COMMIT');
$slow->quit;
emptied('a late committer');
resume('p');
audit($node, $db, $redis, [ 'p', 'q' ], 1803, 'a late committer: its message comes');

# Paused in the middle of a large transaction.  Redis is made to take its time.
sql(<<'EOC');
SELECT create_queue('slow', target => 'function', redis_key => 'slow', options => jsonb_build_object('function', $$
	if redis.call('EXISTS', 'hurry') == 0 then for i = 1, 100000 do end end
	redis.call('XADD', key, '*', 'id', id, 'payload', payload)
$$));
EOC
put($node, $db, 'slow', 'first');
settle($node, $db, $redis, 'slow');
emptied('before a large transaction');
keep();
sql(q{SELECT put('slow', 'large ' || i) FROM generate_series(1, 5000) AS i});
eventually { $redis->count('slow') > 300 } 'a large transaction: it has begun to arrive';
$redis->pause;
sql(q{SELECT outbox_pause_queue('slow')});
$redis->resume;
is_paused('slow');
cmp_ok($redis->count('slow'), '<', 5002, 'and not all of it has');
emptied('a large transaction');

# Somebody edits the copies in the middle of their delivery: planned rows lie elsewhere.
my $had = $redis->count('slow');
resume('slow');
eventually { $redis->count('slow') > $had + 300 } 'a large transaction: resumed, more of it arrives';
$redis->pause;
sql(q{UPDATE outbox.deferred SET due_at = now() WHERE reason = 'evacuated'});
$redis->resume;
cmp_ok($redis->count('slow'), '<', 5002, 'and not yet all of it');
$redis->cmd('SET', 'hurry', 1);
audit($node, $db, $redis, [ 'p', 'q', 'slow' ], 6800, 'a large transaction: the rest comes');

done_testing();
