# Copyright (c) 2026, the outbox developers
#
# Corners that random schedules have led into, one by one: messages that are
# refused, and then something dies, is cut or lost (I2, I3, I4).  What becomes of
# them is decided once, by the queue's policy, and nothing waits for ever.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'no');
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main',
	url => 'redis://127.0.0.1:' . $proxy->port . '/0',
	conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db, 'still');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('letters', on_failure => 'dead_letter');
SELECT create_queue('once', on_failure => 'retry', max_attempts => 1);
SELECT create_queue('retry', on_failure => 'retry', max_attempts => 1000, retry_delay => '50 ms', retry_backoff => 1);
SELECT create_queue('again', on_failure => 'retry', max_attempts => 1000, retry_delay => '1 s', retry_backoff => 1);
EOC
my $relay = relay_pid($node, $db);

sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }
sub spoil { my ($key) = @_; $redis->cmd('SET', $key, 'of another type'); return; }
sub mend { my ($key) = @_; $redis->cmd('DEL', $key); return; }

sub put_keyed
{
	my ($queue, $n, $key) = @_;
	return sql("SELECT outbox_enqueue('$queue', i::text, key => $key) FROM generate_series(1, $n) i");
}

# Given up at the first failure: who waits behind it goes, and not only when
# the cursor is read again.
spoil('once');
put_keyed('once', 5, q{'k'});
eventually { sql(q{SELECT count(*) FROM outbox.dead_letters WHERE queue = 'once'}) == 5 } 'behind a message given up at once the next one of its key goes';
is(sql(q{SELECT string_agg(attempts::text, ' ') FROM outbox.dead_letters WHERE queue = 'once'}), '1 1 1 1 1', 'each was tried once');
mend('once');

# The answer that tells of a refusal is lost: it is given up all the same, and
# not tried again after others.
spoil('letters');
sql(q{SELECT outbox_enqueue('letters', 'first')});
eventually { sql('SELECT count(*) FROM outbox.dead_letters') == 6 } 'a dead letter';
my $tried = $redis->calls('xadd');
my $cuts = $proxy->stat->{cuts};
$proxy->plan([ 's2c', 0 ]);
put_keyed('letters', 3, 'NULL');
eventually { $proxy->stat->{cuts} > $cuts } 'the answer is lost';
eventually { sql(q{SELECT count(*) FROM outbox.dead_letters WHERE queue = 'letters'}) == 4 } 'the messages are dead letters';
is(sql(q{SELECT string_agg(DISTINCT attempts::text, ' ') FROM outbox.dead_letters WHERE queue = 'letters'}), '1', 'and were tried once');
is($redis->calls('xadd'), $tried + 3, 'as Redis says');
is(sql(q{SELECT count(*) FROM outbox.dead_letters WHERE queue = 'letters' AND jsonb_array_length(history) = 1 AND last_error ~ 'WRONGTYPE'}), 4, 'as their histories say');
mend('letters');

# Redis forgets that it was ever asked for messages that have been refused
# several times: their rows have been updated, and there is one message each.
sql(q{SELECT outbox_enqueue('retry', 'before')});
eventually { $redis->count('retry') == 1 } 'a queue flows';
my $before = $redis->written;
$redis->cmd('MULTI');
$redis->cmd('RENAME', 'retry', 'aside');
spoil('retry');
$redis->cmd('EXEC');
put_keyed('retry', 60, 'CASE WHEN i % 3 > 0 THEN (i % 7)::text END');
eventually { sql(q{SELECT count(*) = 60 AND max(attempts) > 3 FROM outbox.deferred WHERE reason IN ('retry', 'behind')}) eq 't' } 'messages are refused, some of them often';
$redis->come_back_as_of($before);
eventually { $redis->count('retry') >= 61 } 'Redis has lost all of it: each is delivered';
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')}) == 0 } 'none is tried again';
is($redis->count('retry'), 61, 'and none came twice');

# The same with one that had gone through: it comes before what was refused
# after it.
mend('retry');
$before = $redis->written;
put_keyed('retry', 5, q{'k'});
eventually { $redis->count('retry') == 5 } 'messages are delivered';
spoil('retry');
sql(q{SELECT outbox_enqueue('retry', i::text, key => 'k') FROM generate_series(6, 10) i});
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')}) == 5 } 'later ones with their key are refused';
$redis->come_back_as_of($before);
eventually { $redis->count('retry') == 10 } 'Redis has lost all of it: each is delivered';
is(join(' ', map { $_->[1] } $redis->arrived('retry')), '1 2 3 4 5 6 7 8 9 10', 'in order');

# A message that is refused, and may go at its next attempt, in a second.  The
# relay stands still while that is made so.
sub refused_once (&)
{
	my ($then) = @_;
	spoil('again');
	sql(q{SELECT outbox_enqueue('again', 'message ' || nextval('journal_n_seq'))});
	eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'retry'}) == 1 } 'a message is refused';
	frozen { mend('again'); $then->() } $relay;
	return;
}
my $applied = q{SELECT count(*) FROM outbox.deferred WHERE reason = 'applied' AND queue = (SELECT id FROM outbox.queue WHERE name = 'again')};

# It has gone through, and the answer is lost.
$cuts = $proxy->stat->{cuts};
refused_once { $proxy->plan([ 's2c', 0 ]) };
eventually { $proxy->stat->{cuts} > $cuts } 'the answer to the second attempt is lost';
eventually { sql($applied) == 1 } 'the message is known to have gone through';
is($redis->count('again'), 1, 'it came once');

# Redis loses that attempt, and only that.
refused_once { $before = $redis->written };
eventually { $redis->count('again') == 1 } 'the second attempt succeeds';
$redis->come_back_as_of($before);
eventually { $redis->count('again') == 1 } 'Redis has lost it: it is made again';

# The request reaches Redis when the relay has given up on it, come back, and
# sent it again.  The cursor hasn't moved.
$cuts = $proxy->stat->{cuts};
refused_once { $proxy->plan([ 'late', 0 ]) };
eventually { $proxy->stat->{cuts} > $cuts } 'the second attempt is on its way';
eventually { $redis->count('again') == 1 } 'it is made again';
my $calls = $redis->calls('evalsha');
$proxy->release;
eventually { $redis->calls('evalsha') > $calls } 'the first one arrives';
is($redis->count('again'), 1, 'the message came once');

# Dead letters are forgotten with staging, several at a time.
configure($node, 'outbox.retention' => '1s');
eventually { sql('SELECT count(*) FROM outbox.dead_letter WHERE skipped') == 0 } 'dead letters leave the skip list';
eventually { !grep { grep { /^s\d/ } @{ $redis->cmd('HKEYS', $_) } } @{ $redis->cmd('KEYS', '*:outbox:*') } } 'nothing is skipped any more';
is(relay_pid($node, $db), $relay, 'it was one relay all the time');

# A queue that is resumed with nothing to deliver doesn't stand still.
my $state = q{SELECT state FROM outbox.queue_stats(false) AS s JOIN outbox.queue AS q ON q.id = s.queue WHERE name = 'still'};
sql(q{SELECT outbox_pause_queue('still')});
eventually { sql($state) eq 'paused' } 'a paused queue';
sql(q{SELECT outbox_resume_queue('still')});
eventually { sql($state) eq 'flowing' } 'resumed, it flows, though there is nothing to deliver';

done_testing();
