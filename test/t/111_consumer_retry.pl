# Promise: a consumer that can't process an entry gives it back, and the queue's
# policy does the rest: delivered again no earlier than its delay says, with the
# attempt and the last error, once for each time it is given back; a dead letter
# with all its history after max_attempts or at once; replayed from the first
# attempt.  Whatever is in those streams, nothing stops, nothing else suffers,
# and the log doesn't have what consumers say (I8, I10).

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
sub letters
{
	my ($columns, $where) = @_;
	return sql("SELECT $columns FROM outbox.dead_letters WHERE " . ($where // 'true'));
}
sub deferred_count { return sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'delayed'}); }
sub given_up { my @w = log_of($node) =~ /WARNING:.*given up message (\S+)/g; return scalar @w; }

# All that has been given back so far has been read.
sub read_up_to
{
	my ($key, $which, $id) = @_;
	return eventually {
		sql("SELECT ${which}_id = '$id' FROM outbox.consumer_position AS p JOIN outbox.queue AS q"
			  . " ON q.id = p.queue WHERE q.redis_key = '$key'") eq 't'
	} "$key:$which is read";
}

sql(q{SELECT outbox_create_queue('q', on_failure => 'retry', max_attempts => 3,
	retry_delay => '1 second', retry_backoff => 1, consumer_retry => true)});

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
read_up_to('q', 'retry', $id);
is(deferred_count(), 1, 'it waits');
eventually { attempts($redis, 'q', 'first') eq '1 2' } 'it is delivered again';
my $took = time - $since;
cmp_ok($took, '>=', 0.9, 'not before its delay');
cmp_ok($took, '<', 1.6, 'and about then');
my ($second) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'first');
is_deeply($second->{fields},
	[ id => $first->{id}, type => 'kind', key => 'k', payload => 'first', attempt => 2,
		error => "no b\xc3\xa9b\xc3\xa9s: secret 4711", 'h:a' => 'b' ],
	'as it was, with the second attempt and what was said of the first');
is(queue_status($node, $db, 'q', 'failed, dead_lettered, last_error'),
	'1|0|a consumer has returned a message', 'which the status counts');

# Until it is given up.
my $listener = session($node, $db);
$listener->query_safe('LISTEN outbox_dead_letter');
give_back($redis, 'q:retry', $second, 'secret 4712');
eventually { attempts($redis, 'q', 'first') eq '1 2 3' } 'a third attempt';
my ($third) = grep { $_->{attempt} == 3 } deliveries($redis, 'q', 'first');
is($third->{error}, 'secret 4712', 'knows the last error');
give_back($redis, 'q:retry', $third, 'secret 4713');
eventually { letters('count(*)') eq '1' } 'after max_attempts it is a dead letter';
is(letters(q{queue, type, key, payload_text, headers, why, error, attempts,}
		  . q{ first_failed_at < last_failed_at, last_failed_at = dead_at}),
	'q|kind|k|first|{"a": "b"}|consumer|secret 4713|3|t|t', 'with all that it had');
is(letters(q{jsonb_path_query_array(history, '$[*].reason'), jsonb_path_query_array(history, '$[*].attempt'),}
		  . q{ jsonb_path_query_array(history, '$[*].queue'),}
		  . q{ history->0->>'error' = U&'no b\00e9b\00e9s: secret 4711', history->1->>'error', history->2->>'error'}),
	'["consumer", "consumer", "consumer"]|[1, 2, 3]|["q", "q", "q"]|t|secret 4712|secret 4713',
	'and its history');
is(given_up(), 1, 'it was told once in the log');
my $heard = '';
eventually { ($heard .= $listener->query_safe('SELECT 1')) =~ /outbox_dead_letter/ } 'and to who listens';
unlike(log_of($node), qr/secret 47|first/, 'neither error nor payload is in the log');
unlike($heard, qr/secret/, 'nor in the notification');
is(deferred_count(), 0, 'nothing is left of it');
eventually { queue_status($node, $db, 'q', 'failed, dead_lettered, dead_letters') eq '3|1|1' } 'counts';

# The last refusal, a second time, hours late so to say; then replayed.
my $late = give_back($redis, 'q:retry', $third, 'secret 4713');
read_up_to('q', 'retry', $late);
is(letters('count(*)') . deferred_count(), '10', 'a dead letter is one, however often it is given back');
is(sql("SELECT outbox_replay('$first->{id}')"), 't', 'replayed');
eventually { attempts($redis, 'q', 'first') eq '1 2 3 1' } 'it begins with the first attempt';
my $again = (deliveries($redis, 'q', 'first'))[-1];
ok(!exists $again->{error}, 'and no error');
give_back($redis, 'q:retry', $again, 'not yet');
eventually { attempts($redis, 'q', 'first') eq '1 2 3 1 2' } 'given back and delivered again';
give_back($redis, 'q:dead', (deliveries($redis, 'q', 'first'))[-1], 'never');
eventually { letters('count(*)') eq '1' } 'given up at once';
is(letters(q{attempts, jsonb_path_query_array(history, '$[*].reason'), jsonb_path_query_array(history, '$[*].attempt')}),
	'2|["consumer", "consumer", "consumer", "replayed", "consumer", "consumer"]|[1, 2, 3, 1, 2]',
	'with all its history');
is(sql("SELECT outbox_discard('$first->{id}')"), 't', 'discarded');

# Consumers that add twice what they give back: before it goes again and after.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '200 milliseconds', max_attempts => 5)});
sql(q{SELECT outbox_enqueue('q', 'twice')});
eventually { attempts($redis, 'q', 'twice') eq '1' } 'a message';
my ($twice) = deliveries($redis, 'q', 'twice');
give_back($redis, 'q:retry', $twice, 'e') for 1 .. 20;
read_up_to('q', 'retry', give_back($redis, 'q:retry', $twice, 'e'));
eventually { attempts($redis, 'q', 'twice') eq '1 2' } 'given back often, delivered again';
read_up_to('q', 'retry', give_back($redis, 'q:retry', $twice, 'e'));
is(deferred_count(), 0, 'once');
my ($next) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'twice');
give_back($redis, 'q:retry', $next, 'e');
eventually { attempts($redis, 'q', 'twice') eq '1 2 3' } 'the next attempt counts';

# One that doesn't copy the attempt: it counts all the same.
my @dull = (id => $twice->{id}, payload => 'twice');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second')});
give_back($redis, 'q:retry', { fields => \@dull }, 'e') for 1 .. 2;
eventually { attempts($redis, 'q', 'twice') eq '1 2 3 4' } 'without its attempt it goes on counting';
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { attempts($redis, 'q', 'twice') eq '1 2 3 4 5' } 'and is taken once while it waits';
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { letters('attempts') eq '5' } 'until it is given up';
is(letters(q{jsonb_path_query_array(history, '$[*].attempt')}), '[1, 2, 3, 4, 5]', 'with all its history');

# Another relay goes on where this one was.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '0'); SELECT outbox_enqueue('q', 'dull')});
eventually { attempts($redis, 'q', 'dull') eq '1' } 'a message';
@dull = (id => (deliveries($redis, 'q', 'dull'))[0]->{id}, payload => 'dull');
give_back($redis, 'q:retry', { fields => \@dull }, 'e');
eventually { attempts($redis, 'q', 'dull') eq '1 2' } 'given back without its attempt';
my $pid = relay_pid($node, $db);
sql("SELECT pg_terminate_backend($pid)");
eventually { relay_pid($node, $db) =~ /^(?!$pid$)\d/ } 'another relay';
read_up_to('q', 'retry', give_back($redis, 'q:retry', $twice, 'e'));
sql(q{SELECT outbox_enqueue('q', 'after dull')});
eventually { attempts($redis, 'q', 'after dull') eq '1' } 'it works';
is(attempts($redis, 'q', 'dull'), '1 2', 'and reads nothing again');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second')});

# Delays are kept without anything else happening: ten of a tenth of a second.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '100 milliseconds', max_attempts => 100);
	SELECT outbox_enqueue('q', 'soon')});
$since = time;
for my $n (1 .. 10)
{
	eventually { (deliveries($redis, 'q', 'soon')) == $n } "attempt $n";
	give_back($redis, 'q:retry', (deliveries($redis, 'q', 'soon'))[-1], 'e');
}
cmp_ok(time - $since, '<', 6, 'come soon');
sql(q{SELECT outbox_alter_queue('q', retry_delay => '1 second', max_attempts => 5)});

# Two messages of one id.
my $same = 'aaaaaaaa-0000-7000-8000-000000000000';
sql("SELECT outbox_enqueue('q', 'this', id => '$same'), outbox_enqueue('q', 'that', id => '$same')");
eventually { attempts($redis, 'q', 'that') eq '1' } 'two messages with one id';
give_back($redis, 'q:retry', $_, 'e') for map { deliveries($redis, 'q', $_) } 'this', 'that';
eventually { attempts($redis, 'q', 'this') eq '1 2' && attempts($redis, 'q', 'that') eq '1 2' } 'are two';

# Delivered again on purpose.
sql(q{SELECT outbox_enqueue('q', 'resent')});
eventually { attempts($redis, 'q', 'resent') eq '1' } 'a message';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'resent'))[0], 'e');
eventually { attempts($redis, 'q', 'resent') eq '1 2' } 'given back';
sql(q{SELECT outbox_resend('q', now() - interval '1 hour')});
eventually { attempts($redis, 'q', 'resent') eq '1 2 1 2' } 'all is delivered again';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'resent'))[2], 'e');
eventually { attempts($redis, 'q', 'resent') eq '1 2 1 2 2' } 'and can be given back as if new';
sql(q{SELECT outbox_discard(id) FROM outbox.dead_letters});

# Whatever else may be in the stream.
$pid = relay_pid($node, $db);
my $good = 'bbbbbbbb-0000-7000-8000-00000000000';
my @bad = (
	[ 'nothing of ours', [ foo => 'bar' ], 'ignored' ],
	[ 'no payload', [ id => "${good}1", attempt => 1 ], 'ignored' ],
	[ 'too large', [ id => "${good}2", payload => 'x' x (1024 * 1024 + 1) ], 'dead', 'it is too large' ],
	[ 'larger than can be', [ id => "${good}2", payload => 'x' x (64 * 1024 * 1024), type => 'p' ], 'ignored' ],
	[ 'too many headers', [ id => "${good}3", payload => 'headers', map { ("h:$_" => '') } 1 .. 1001 ], 'dead', 'it is too large' ],
	[ 'no id', [ payload => 'no id' ], 'dead', 'its id is not a UUID' ],
	[ 'an id that is none', [ id => 'x' x 36, payload => 'bad id' ], 'dead', 'its id is not a UUID' ],
	[ 'half an id', [ id => 'bbbbbbbb-0000', payload => 'half id' ], 'dead', 'its id is not a UUID' ],
	[ 'a type that is no text', [ id => "${good}4", payload => 'type', type => "\xff" ], 'dead', 'its type is not UTF-8 text' ],
	[ 'a key with a zero byte', [ id => "${good}5", payload => 'key', key => "a\0b" ], 'dead', 'its key is not UTF-8 text' ],
	[ 'a header that is no text', [ id => "${good}6", payload => 'header', "h:x" => "\xc3" ], 'dead', 'a header is not UTF-8 text' ],
	[ 'attempt abc', [ id => "${good}7", payload => 'abc', attempt => 'abc' ], 2 ],
	[ 'attempt -5', [ id => "${good}8", payload => 'minus', attempt => '-5' ], 2 ],
	[ 'attempt 0', [ id => "${good}9", payload => 'zero', attempt => 0 ], 2 ],
	[ 'attempt 4', [ id => 'cccccccc-0000-7000-8000-000000000001', payload => 'four', attempt => 4 ], 5 ],
	[ 'a huge attempt', [ id => 'cccccccc-0000-7000-8000-000000000002', payload => 'huge', attempt => '9' x 30 ], 2 ],
	[ 'attempt 32767', [ id => 'cccccccc-0000-7000-8000-000000000003', payload => 'most', attempt => 32767 ], 'dead', 'e' ],
	[ 'bytes', [ id => 'cccccccc-0000-7000-8000-000000000004', payload => "\0\xff", attempt => 1 ], 2 ],
	[ 'unknown fields', [ id => 'cccccccc-0000-7000-8000-000000000005', payload => 'more', worker => "\xff" ], 2 ],
	[ 'an error that is no text', [ id => 'cccccccc-0000-7000-8000-000000000006', payload => 'err' ], 2, "\xff\n!", '??!' ],
	[ 'a long error', [ id => 'cccccccc-0000-7000-8000-000000000007', payload => 'long' ], 2, "\xc3\xa9" x 100_000, "\xc3\xa9" x 500 ],
	[ 'an empty payload', [ id => 'cccccccc-0000-7000-8000-000000000008', payload => '' ], 2 ]);
my $before = given_up();
for my $case (@bad)
{
	my ($name, $fields, $fate, $said) = @$case;
	give_back($redis, 'q:retry', { fields => $fields }, $fate eq '2' && defined $said ? $said : 'e');
}
put($node, $db, 'other', 'flows');
for my $case (@bad)
{
	my ($name, $fields, $fate, $said, $sent) = @$case;
	my %f = @$fields;
	if ($fate eq 'ignored')
	{
		is(letters('count(*)', "type = 'p' OR payload_text = 'p'"), 0, "$name: ignored");
	}
	elsif ($fate eq 'dead')
	{
		my $which = length $f{payload} < 100 ? "payload_text = '$f{payload}'" : "id = '$f{id}'";
		eventually { letters('error', $which) =~ /\Q$said\E$/ } "$name: a dead letter that says why";
	}
	else
	{
		eventually { attempts($redis, 'q', $f{payload}) eq $fate } "$name: delivered again";
		is((deliveries($redis, 'q', $f{payload}))[0]->{error}, $sent // 'e', "$name: with the error");
	}
}
is(given_up() - $before, scalar(grep { $_->[2] eq 'dead' } @bad), 'each dead letter was told once');
my @ignored = log_of($node) =~ /WARNING:.*ignored entry \S+ of stream "q:retry": (.*)/g;
is(scalar @ignored, 3, 'so was what was ignored');
is(letters('count(DISTINCT id)', "error LIKE '%its id%'"), 3, 'who has no id gets one');
is(letters('headers IS NULL', "payload_text = 'headers'"), 't', 'of too many headers, which may be millions, none is kept');
is(relay_pid($node, $db), $pid, 'and the relay is still the same');
eventually { $redis->count('other') == 2 } 'other queues flow';
sql(q{SELECT outbox_discard(id) FROM outbox.dead_letters});

# A database that can't have all characters.
$node->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'});
sub latin { my ($rc, $out) = $node->psql('latin', "SET client_encoding = 'UTF8'; $_[0]"); return $out; }
latin(q{CREATE EXTENSION outbox; SELECT outbox_create_queue('l', on_failure => 'retry', max_attempts => 2,
	retry_delay => '0', consumer_retry => true)});
my @latin = (id => 'dddddddd-0000-7000-8000-000000000001', type => "\xc3\xa9", payload => "\xe2\x82\xac",
	'h:x' => "\xc3\xa9", attempt => 1);
give_back($redis, 'l:retry', { fields => \@latin }, "\xc3\xa9");
eventually { attempts($redis, 'l', "\xe2\x82\xac") eq '2' } 'in another encoding';
my ($l) = deliveries($redis, 'l');
is_deeply([ @$l{qw(id type payload h:x attempt error)} ],
	[ @latin[ 1, 3, 5, 7 ], 2, "\xc3\xa9" ], 'it is what it was');
give_back($redis, 'l:retry', $l, "\xe2\x82\xac");
eventually { latin('SELECT count(*) FROM outbox.dead_letters') eq '1' } 'given up';
is(latin('SELECT type, payload, payload_text IS NULL, headers, error FROM outbox.dead_letters'),
	"\xc3\xa9|\\xe282ac|t|{\"x\": \"\xc3\xa9\"}|???", 'what it cannot have is bytes, or left out of errors');
$l->{fields} = [ id => 'dddddddd-0000-7000-8000-000000000002', payload => 'p', type => "\xe2\x82\xac" ];
give_back($redis, 'l:retry', $l, 'e');
eventually { latin('SELECT error ~ $$its type is not$$ FROM outbox.dead_letters WHERE type IS NULL') eq 't' }
'a type that it cannot have is malformed';
$node->safe_psql('postgres', 'DROP DATABASE latin WITH (FORCE)');

# A stream that can't be read stops nobody else, and is told once.
sql(q{SELECT outbox_create_queue('w', on_failure => 'dead_letter', consumer_retry => true);
	SELECT outbox_enqueue('w', 'one')});
eventually { $redis->count('w') == 1 } 'a queue that gives up at once';
refuse($redis, 'w:retry');
eventually { log_of($node) =~ /WARNING:.*consumers of queue "w" return: WRONGTYPE/ } 'its stream is none';
put($node, $db, 'other', 'flows too');
sql(q{SELECT outbox_enqueue('w', 'two')});
eventually { $redis->count('other') == 3 && $redis->count('w') == 2 } 'all queues flow';
give_back($redis, 'q:retry', $second, 'late');
is(() = log_of($node) =~ /WARNING:.*consumers of queue "w"/g, 1, 'told once');
mend($redis, 'w:retry');
give_back($redis, 'w:retry', (deliveries($redis, 'w', 'two'))[0], 'gone');
eventually { letters('payload_text, attempts, why') eq 'two|1|consumer' } 'mended; a dead letter at its first attempt';

# While a queue is paused, what is given back is recorded and waits.
sql(q{SELECT outbox_alter_queue('q', retry_delay => '0'); SELECT outbox_enqueue('q', 'pause')});
eventually { attempts($redis, 'q', 'pause') eq '1' } 'a message';
sql(q{SELECT outbox_pause_queue('q')});
eventually { queue_status($node, $db, 'q', 'state') eq 'paused' } 'paused';
read_up_to('q', 'retry', give_back($redis, 'q:retry', (deliveries($redis, 'q', 'pause'))[0], 'e'));
eventually { queue_status($node, $db, 'q', 'waiting') eq '1' } 'it waits';
is(attempts($redis, 'q', 'pause'), '1', 'and is not delivered');
my ($rc, $out, $err) = $node->psql($db, q{SELECT outbox_drop_queue('q')});
like($err, qr/has messages waiting/, 'nor is the queue dropped');
sql(q{SELECT outbox_resume_queue('q')});
eventually { attempts($redis, 'q', 'pause') eq '1 2' } 'until it is resumed';

# Not read unless the queue says so; what was added meanwhile is read then.
sql(q{SELECT outbox_alter_queue('q', consumer_retry => false); SELECT outbox_enqueue('q', 'off')});
eventually { attempts($redis, 'q', 'off') eq '-' } 'without consumer_retry there are no attempts';
my $reads = $redis->calls('xread');
sql(q{SELECT outbox_alter_queue('w', consumer_retry => false)});
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'off'))[0], 'e');
my $idle;
eventually {
	my $n = $redis->calls('xread');
	my $same = defined $idle && $n == $idle->[0];
	$idle = [ $n, time ] unless $same;
	$same && time - $idle->[1] > 0.5;
} 'and nobody reads';
is(attempts($redis, 'q', 'off'), '-', 'what is given back stays');
sql(q{SELECT outbox_alter_queue('q', consumer_retry => true)});
eventually { attempts($redis, 'q', 'off') eq '- 2' } 'until somebody does';

# Read entries go when they have been kept for outbox.retention.
cmp_ok($redis->count('q:retry'), '>', 10, 'they have not gone yet');
configure($node, 'outbox.retention' => '1s');
$redis->drop_clients;
eventually { $redis->count('q:retry') == 0 && $redis->count('q:dead') == 0 } 'they go';
sql(q{SELECT outbox_enqueue('q', 'kept')});
eventually { attempts($redis, 'q', 'kept') eq '1' } 'a message';
configure($node, 'outbox.retention' => '1h');
eventually { $node->safe_psql($db, 'SHOW outbox.retention') eq '1h' } 'kept for longer';

# Redis comes back with less than was read, and its clock has been set back:
# what is added there is read, what was read before is not taken again.
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'kept'))[0], 'e');
eventually { attempts($redis, 'q', 'kept') eq '1 2' } 'given back';
$redis->remember;
my ($kept) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'kept');
my $future = (1000 * int time) + 3_600_000;
$redis->cmd('XADD', 'q:retry', "$future-0", @{ $kept->{fields} }, error => 'in an hour');
read_up_to('q', 'retry', "$future-0");
eventually { attempts($redis, 'q', 'kept') eq '1 2 3' } 'given back in the future';
$redis->come_back_as_remembered;
eventually { attempts($redis, 'q', 'kept') eq '1 2 3' } 'what Redis has lost comes again';
my ($lost) = grep { $_->{attempt} == 3 } deliveries($redis, 'q', 'kept');
give_back($redis, 'q:retry', $lost, 'now');
eventually { attempts($redis, 'q', 'kept') eq '1 2 3 4' } 'what is given back now is not overlooked';
like(log_of($node), qr/WARNING:.*Redis has lost entries of stream "q:retry"/, 'which is told');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';
is(attempts($redis, 'q', 'kept') . deferred_count(), '1 2 3 40', 'nothing is taken twice');

# A Redis that has lost all.
$redis->kill9;
$redis->start_empty;
sql(q{SELECT outbox_enqueue('q', 'new')});
eventually { attempts($redis, 'q', 'new') eq '1' } 'an empty Redis';
my ($new) = deliveries($redis, 'q', 'new');
$redis->cmd('XADD', 'q:retry', '1-1', @{ $new->{fields} }, error => 'long ago');
eventually { attempts($redis, 'q', 'new') eq '1 2' } 'begins anew';

# A dropped queue leaves nothing, and one of its name knows nothing of it.
sql(q{SELECT outbox_drop_queue('w', true); SELECT outbox_drop_queue('q', true)});
eventually { !$redis->cmd('EXISTS', 'q:retry', 'q:dead', 'w:retry', 'w:dead') } 'dropped';
is(sql('SELECT count(*) FROM outbox.deferred'), 0, 'with all it had');
sql(q{SELECT outbox_create_queue('q', on_failure => 'retry', retry_delay => '0', consumer_retry => true);
	SELECT outbox_enqueue('q', 'heir')});
eventually { attempts($redis, 'q', 'heir') eq '1' } 'another one';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'heir'))[0], 'e');
eventually { attempts($redis, 'q', 'heir') eq '1 2' } 'works';

# Dead letters that were replayed or discarded leave nothing, and what is a day
# old is forgotten, as is the dropped queue: by the relay when it starts, among
# other times.
give_back($redis, 'q:dead', (deliveries($redis, 'q', 'heir'))[1], 'e');
eventually { letters('count(*)') eq '1' } 'a dead letter';
sql(q{SELECT outbox_discard(id) FROM outbox.dead_letters});
cmp_ok(sql('SELECT count(*) FROM outbox.returned'), '>', 10, 'much is remembered');
sql(q{UPDATE outbox.returned SET due_at = now() - interval '25 hours'
	WHERE queue NOT IN (SELECT id FROM outbox.queue)});
$pid = relay_pid($node, $db);
sql("SELECT pg_terminate_backend($pid)");
eventually { sql('SELECT count(*) FROM outbox.returned') eq '1' } 'not for ever';
is(sql('SELECT count(*) FROM outbox.consumer_position'), 1, 'nor of queues that are no more');
eventually { sql('SELECT count(*) FROM outbox.dead_letter') eq '0' } 'a discarded dead letter goes';


done_testing();
