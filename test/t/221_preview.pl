# Copyright (c) 2026, the outbox developers
#
# Promise: outbox_preview() says what Redis gets, byte by byte, for every target;
# but for the time of delivery, for which now() stands.  What Redis was asked to do
# is seen by MONITOR; the cursor's part of it and questions are no part of a preview.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use Encode ();
use IO::Select;
use JSON::PP ();
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'other');
put($node, $db, 'other', 'the relay delivers');
settle($node, $db, $redis, 'other');

# What a preview shows, as bytes; in the transaction that enqueues.
sub preview
{
	my ($message) = @_;
	my $json = $node->safe_psql($db, <<"EOC");
BEGIN;
WITH m AS MATERIALIZED (SELECT outbox_enqueue($message) AS id)
SELECT json_agg(p) FROM m, outbox_preview(m.id) AS p;
COMMIT;
EOC
	return map { [ map { /^\\x/ ? pack 'H*', substr $_, 2 : Encode::encode('UTF-8', $_) } @$_ ] }
	  @{ JSON::PP->new->decode(Encode::decode('UTF-8', $json)) };
}

# What MONITOR has told since, of what scripts did; strings are as Redis prints them.
my $monitor = $redis->client;
$monitor->cmd('MONITOR');
my @seen;

sub unquote
{
	my ($text) = @_;
	my %escape = (n => "\n", r => "\r", t => "\t", a => "\a", b => "\b");
	$text =~ s/\\(?:x([0-9a-f]{2})|(.))/defined $1 ? chr hex $1 : $escape{$2} \/\/ $2/ge;
	return $text;
}

sub look
{
	while ($monitor->{pos} < length $monitor->{buf} || IO::Select->new($monitor->{socket})->can_read(0))
	{
		my $line = $monitor->reply;
		next unless $line =~ s/^[\d.]+ \[\d+ lua\] //;
		my @args = map { unquote($_) } $line =~ /"((?:[^"\\]|\\.)*)"/g;
		push @seen, \@args
		  unless $args[0] =~ /^(EXISTS|HEXISTS|HMGET|COMMAND|TIME)$/i || ($args[1] // '') =~ /:outbox:[-0-9a-f]{36}:\d+$/;
	}
	return scalar @seen;
}

# Times of delivery differ.  Lower digits go, too; how long a lock lives is in
# seconds from then.
sub without_times
{
	return map {
		my @args = @$_;
		$args[-1] = 'SECONDS' if $args[0] eq 'SET' && @args > 3 && $args[-2] eq 'EX';
		s/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+/TIME/g, s/(?<!\d)1\d{9}(?:\d{3}|\d{6}|\d{9}|\.\d+)?(?!\d)/TIME/g for @args;
		\@args
	} @_;
}

sub same
{
	my ($name, $message, $n) = @_;
	@seen = ();
	my @preview = preview($message);
	is(scalar @preview, $n, "$name: commands") if $n;
	eventually { look() >= @preview } "$name: it is delivered";
	# the test's function pushes its arguments
	$preview[0][0] = 'RPUSH' if $preview[0][0] eq 'function';
	is_deeply([ without_times(@seen) ], [ without_times(@preview) ], "$name: as it was shown");
	return;
}

sub queue { $node->safe_psql($db, "SELECT outbox_create_queue($_[0])"); return; }

# Whatever can be in a message.
my @shapes = (
	q('{"a": [1, "\u00e9 \"x\""]}'),
	q('"naïve 😀"', type => 'é t', key => E'k\n\\x{tag}'),
	q('{}', headers => '{"ü": "ß", "a": ""}'),
	q('[1]', type => '', key => '', headers => '{}'));
my %streams = (
	stream => q('s1'),
	maxlen => q('s2', maxlen => 100),
	attempts => q('s3', on_failure => 'retry', consumer_retry => true),
	fields => q('s4', settings => '{"fields": ["enqueued_at", "queue"]}'),
	list => q('l1', 'list'),
	'list with fields' => q('l2', 'list', redis_key => '{é}', settings => '{"fields": ["queue"]}'),
	publish => q('p1', 'publish'));
for my $kind (sort keys %streams)
{
	queue($streams{$kind});
	my ($name) = $streams{$kind} =~ /^'(\w+)'/;
	same("$kind $_", "'$name', $shapes[$_]") for 0 .. $#shapes;
}

# Bytes.
my $bytes = q('\x000d0aff5c7800'::bytea);
queue(q('raw', 'list', format => 'raw'));
queue(q('wm', 'watermill'));
queue(q('wm2', 'watermill', maxlen => 10));
same('raw', "'raw', $bytes");
same('raw, text that looks like hexadecimal', q('raw', convert_to('\x41', 'UTF8')));
same('raw, nothing', q('raw', ''::bytea));
same('raw, long', q('raw', decode(repeat('0d0a00ff', 4000), 'hex')));
for my $q ('wm', 'wm2')
{
	same("$q", "'$q', $bytes");
	same("$q, metadata", "'$q', $bytes, headers => '{\"a\": \"b\"}'");
	same("$q, an id of its own", "'$q', $bytes, options => '{\"message_id\": \"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}'");
}

# Tasks of asynq: each state, with and without lock.
queue(q('tasks', 'asynq', redis_key => 'critical'));
my %states = (pending => [ '', '' ], scheduled => [ '', q(, delay => '1 hour') ], aggregating => [ '"group": "g"', '' ],
	'scheduled in a group' => [ '"group": "g"', q(, delay => '1 hour') ]);
my $n = 0;
for my $state (sort keys %states)
{
	my ($option, $later) = @{ $states{$state} };
	for my $lock ('', '"unique_ttl": 60, "retention": 5, "max_retry": 3')
	{
		my $options = join ', ', grep { $_ } $option, $lock;
		my $commands = ($lock ? ($state eq 'aggregating' ? 1 : 2) : 0) + ($state eq 'aggregating' ? 3 : 2);
		$n++;
		same("asynq $state" . ($lock && ', unique'), "'tasks', '\\x00ff$n$n', type => 'email', options => '{$options}'$later", $commands);
	}
}
same('asynq without payload', q('tasks', NULL::bytea, type => 'é', headers => '{"a": "b"}'), 2);
same('asynq with an id of its own', q('tasks', 'x', type => 't', options => '{"message_id": "é {mine}"}'), 2);

# Jobs.
queue("'$_', '$_'") for qw(celery sidekiq rq dramatiq);
same('celery', q('celery', outbox_celery_task('proj.add', '[1, "é"]', '{"k": 1e3}'), headers => '{"a": "b"}'), 1);
same('sidekiq', q('sidekiq', outbox_sidekiq_job('HardJob', '[1, {"a": []}]', '{"retry": 5}')));
same('rq', q('rq', outbox_rq_job('proj.add', '[2, {}]', '{"a": 1}', '{"timeout": 60}')));
same('dramatiq', q('dramatiq', outbox_dramatiq_message('add', '[2, {}]', '{"a": 1}', '{"max_retries": 5}')));

# A queue's own commands and function.
queue(q('own', 'commands', redis_key => 'k:é', options => '{"commands": [["HSET", "{redis_key}:{id}", "p", "{payload}", "h", "{headers}", "one", "{header.a}"],)
	  . q( ["ZADD", "z", "{now_ms}", "{id}"], ["RPUSH", "at", "{now_s} {now_ns} {now_iso} {attempt} {type} {key} {queue} {{}}"]]}'));
same('commands', q('own', 'é', type => 't', key => 'k', headers => '{"a": "b"}'), 3);
same('commands, without parts', q('own', ''), 3);
queue(q('f', 'function', redis_key => 'a key', )
	  . q(options => '{"function": "redis.call(\"RPUSH\", key, id, msgtype, msgkey, payload, headers, now_ms, attempt)"}'));
same('function', "'f', $bytes, type => 't', headers => '{\"a\": \"b\"}'", 1);

# Partitions: the key of the message's, also where there is no key.  A server of the
# queue's own gets the same.
$node->safe_psql($db, "CREATE SERVER other FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis->url(1) ]}')");
for my $kind ('"partitions": 4', '"server": "other"', '"partitions": 4, "server": "other"')
{
	my ($name) = 'part ' . ++$n;
	queue("'$name', settings => '{$kind}'");
	same("$kind, key $_", "'$name', '{}', key => 'key $_'", 1) for 1 .. 4;
	same("$kind, no key", "'$name', '{}'", 1) for 1 .. 2;
	queue("'list $name', 'list', settings => '{$kind}'");
	same("$kind, a list", "'list $name', '{}', key => 'key 1'", 1);
	queue("'own $name', 'commands', options => '{\"commands\": [[\"HSET\", \"{redis_key}:{id}\", \"q\", \"{queue}\"]]}', settings => '{$kind}'");
	same("$kind, commands", "'own $name', 'x', key => 'key 1'", 1);
}
is(scalar(grep { /^\{part \d+:[0-3]\}$/ } @{ $redis->cmd('KEYS', '{part *:?}') }) > 2 ? 1 : 0, 1, 'several partitions had some');

done_testing();
