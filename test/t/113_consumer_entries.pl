# Copyright (c) 2026, the outbox developers
#
# Promise: whatever is in the streams in which consumers answer, nothing stops and
# nothing else suffers (I8): what can't be delivered again is a dead letter that
# says why, or ignored with a warning if there is nothing to keep; all else is
# what it was, in every encoding.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'other');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 5, retry_delay => '1 second',
	retry_backoff => 1, consumer_retry => true)});

my $pid = relay_pid($node, $db);
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
my $before = given_up($node);
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
		is(letters($node, $db, 'count(*)', "type = 'p' OR payload #>> '{}' = 'p'"), 0, "$name: ignored");
	}
	elsif ($fate eq 'dead')
	{
		my $which = length $f{payload} < 100 ? "payload #>> '{}' = '$f{payload}'" : "id = '$f{id}'";
		eventually { letters($node, $db, 'last_error', $which) =~ /\Q$said\E$/ } "$name: a dead letter that says why";
	}
	else
	{
		eventually { attempts($redis, 'q', $f{payload}) eq $fate } "$name: delivered again";
		is((deliveries($redis, 'q', $f{payload}))[0]->{error}, $sent // 'e', "$name: with the error");
	}
}
is(given_up($node) - $before, scalar(grep { $_->[2] eq 'dead' } @bad), 'each dead letter was told once');
my @ignored = log_of($node) =~ /WARNING:.*ignored entry \S+ of stream "q:retry": (.*)/g;
is(scalar @ignored, 3, 'so was what was ignored');
is(letters($node, $db, 'count(DISTINCT id)', "last_error LIKE '%its id%'"), 3, 'who has no id gets one');
is(letters($node, $db, 'headers IS NULL', "payload #>> '{}' = 'headers'"), 't', 'of too many headers, which may be millions, none is kept');
is(relay_pid($node, $db), $pid, 'and the relay is still the same');
eventually { $redis->count('other') == 1 } 'other queues flow';

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
is(latin('SELECT type, payload, payload_type, headers, last_error FROM outbox.dead_letters'),
	"\xc3\xa9|\"\\\\xe282ac\"|bytea|{\"x\": \"\xc3\xa9\"}|???", 'what it cannot have is bytes, or left out of errors');
$l->{fields} = [ id => 'dddddddd-0000-7000-8000-000000000002', payload => 'p', type => "\xe2\x82\xac" ];
give_back($redis, 'l:retry', $l, 'e');
eventually { latin('SELECT last_error ~ $$its type is not$$ FROM outbox.dead_letters WHERE type IS NULL') eq 't' }
'a type that it cannot have is malformed';
$node->safe_psql('postgres', 'DROP DATABASE latin WITH (FORCE)');

done_testing();
