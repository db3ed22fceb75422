# Copyright (c) 2026, the outbox developers
#
# Promise: a consumer that can't process an entry gives it back, and the queue's
# policy does the rest: delivered again no earlier than its delay says, with the
# attempt and the last error; a dead letter with all its history after
# max_attempts or at once; replayed from the first attempt.  Others pass (I8),
# and the log doesn't have what consumers say (I10).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "log_min_messages = debug1\n");
my $db = 'postgres';
install($node, $db, 'other');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 3, retry_delay => '1 hour', retry_max_delay => '1 hour',
	retry_backoff => 1, consumer_retry => true)});

# What a consumer gets, and what one of another queue gets.
put($node, $db, 'other', 'plain');
sql(q{SELECT outbox_enqueue('q', 'first', type => 'kind', key => 'k', headers => '{"a": "b"}')});
eventually { $redis->count('q') == 1 && $redis->count('other') == 1 } 'messages arrive';
my ($first) = deliveries($redis, 'q');
is_deeply([ @{ $first->{fields} }[ 2 .. $#{ $first->{fields} } ] ],
	[ type => 'kind', key => 'k', payload => 'first', attempt => 1, 'h:a' => 'b' ],
	'the first attempt says that it is');
ok(!exists +(deliveries($redis, 'other'))[0]->{attempt}, 'other queues have no attempts');

# Given back: delivered again after its delay, those behind it at once.
my $since = time;
my $id = give_back($redis, 'q:retry', $first, "no b\xc3\xa9b\xc3\xa9s: secret 4711");
sql(q{SELECT outbox_enqueue('q', 'second', key => 'k')});
eventually { attempts($redis, 'q', 'second') eq '1' } 'others pass, of the same key too';
is(attempts($redis, 'q', 'first'), '1', 'which it does not overtake');
read_up_to($node, $db, 'q:retry', $id);
is(waiting($node, $db), 1, 'it waits');
my $due = sql("SELECT extract(epoch FROM due_at) - $since FROM outbox.deferred WHERE reason = 'delayed'");
cmp_ok($due, '>=', 0.9 * 3600, 'not before its delay');
cmp_ok($due, '<', 1.1 * 3600 + time - $since, 'and about then');
let_waiting_go($node, $db);
eventually { attempts($redis, 'q', 'first') eq '1 2' } 'it is delivered again';
my ($second) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'first');
is_deeply($second->{fields},
	[ id => $first->{id}, type => 'kind', key => 'k', payload => 'first', attempt => 2,
		error => "no b\xc3\xa9b\xc3\xa9s: secret 4711", 'h:a' => 'b' ],
	'as it was, with the second attempt and what was said of the first');
eventually { queue_status($node, $db, 'q', 'failed, dead_lettered, last_error') eq '1|0|a consumer has returned a message' }
'which the status counts';

# Until it is given up.
my $listener = session($node, $db);
$listener->query_safe('LISTEN outbox_dead_letter');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second')});
$since = time;
give_back($redis, 'q:retry', $second, 'secret 4712');
eventually { attempts($redis, 'q', 'first') eq '1 2 3' } 'a third attempt';
cmp_ok(time - $since, '>=', 0.9, 'nor earlier, without being told to');
my ($third) = grep { $_->{attempt} == 3 } deliveries($redis, 'q', 'first');
is($third->{error}, 'secret 4712', 'knows the last error');
give_back($redis, 'q:retry', $third, 'secret 4713');
eventually { letters($node, $db, 'count(*)') eq '1' } 'after max_attempts it is a dead letter';
is(letters($node, $db, q{queue, type, key, payload #>> '{}', headers, reason, last_error, attempts,}
		  . q{ first_failed_at < last_failed_at, last_failed_at = dead_at}),
	'q|kind|k|first|{"a": "b"}|consumer|secret 4713|3|t|t', 'with all that it had');
is(letters($node, $db, q{jsonb_path_query_array(history, '$[*].reason'), jsonb_path_query_array(history, '$[*].attempt'),}
		  . q{ jsonb_path_query_array(history, '$[*].queue'),}
		  . q{ history->0->>'error' = U&'no b\00e9b\00e9s: secret 4711', history->1->>'error', history->2->>'error'}),
	'["consumer", "consumer", "consumer"]|[1, 2, 3]|["q", "q", "q"]|t|secret 4712|secret 4713',
	'and its history');
is(given_up($node), 1, 'it was told once in the log');
my $heard = '';
eventually { ($heard .= $listener->query_safe('SELECT 1')) =~ /outbox_dead_letter/ } 'and to who listens';
unlike(log_of($node), qr/secret 47|first/, 'neither error nor payload is in the log');
unlike($heard, qr/secret/, 'nor in the notification');
is(waiting($node, $db), 0, 'nothing is left of it');
eventually { queue_status($node, $db, 'q', 'failed, dead_lettered, dead_letters') eq '3|1|1' } 'counts';

# The last refusal, a second time, hours late so to say; then replayed.
my $late = give_back($redis, 'q:retry', $third, 'secret 4713');
read_up_to($node, $db, 'q:retry', $late);
is(letters($node, $db, 'count(*)') . waiting($node, $db), '10', 'a dead letter is one, however often it is given back');
is(sql("SELECT outbox_replay('$first->{id}')"), 't', 'replayed');
eventually { attempts($redis, 'q', 'first') eq '1 2 3 1' } 'it begins with the first attempt';
my $again = (deliveries($redis, 'q', 'first'))[-1];
ok(!exists $again->{error}, 'and no error');
give_back($redis, 'q:retry', $again, 'not yet');
eventually { attempts($redis, 'q', 'first') eq '1 2 3 1 2' } 'given back and delivered again';
give_back($redis, 'q:dead', (deliveries($redis, 'q', 'first'))[-1], 'never');
eventually { letters($node, $db, 'count(*)') eq '1' } 'given up at once';
is(letters($node, $db, q{attempts, jsonb_path_query_array(history, '$[*].reason'), jsonb_path_query_array(history, '$[*].attempt')}),
	'2|["consumer", "consumer", "consumer", "replayed", "consumer", "consumer"]|[1, 2, 3, 1, 2]',
	'with all its history');
is(sql("SELECT outbox_discard('$first->{id}')"), 't', 'discarded');

done_testing();
