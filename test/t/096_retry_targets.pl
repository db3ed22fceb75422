# Copyright (c) 2026, the outbox developers
#
# Promise: what is refused and tried again arrives as it would have otherwise,
# byte by byte, in every target, once (I2, I3), and in the order of its key (I4),
# however many keys are refused at a time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my ($url) = relay_url($redis);
my $node = new_node('main', url => $url);
my $db = 'postgres';
install_keyed($node, $db);

# A thousand keys at once, refused by targets of every kind.  Channels keep
# nothing, so somebody listens.
my @kinds = (stream => 'many', list => 'listed', publish => 'news');
create_retrying($node, $db, $kinds[ $_ + 1 ], $kinds[$_], retry_delay => 300, max_attempts => 1000) for 0, 2, 4;
my $listener = $redis->client;
$listener->cmd('SUBSCRIBE', 'news');
refuse($redis, 'many', 'listed');
relay_may($redis, 'resetchannels');
my %keys = (many => 1000, listed => 20, news => 20);
for my $queue (sort keys %keys)
{
	$node->safe_psql($db, "SELECT put_keyed('$queue', 'key ' || k, format('%s of %s', n, k))"
		  . " FROM generate_series(1, 5) AS n, generate_series(1, $keys{$queue}) AS k");
	put_keyed($node, $db, $queue, undef, 'alone');
}
eventually { held($node, $db, $_) == $keys{$_} * 5 + 1 } "$keys{$_} keys of $_ are held"
  for sort keys %keys;
is(deferred($node, $db, 'many', "count(*) FILTER (WHERE d.reason = 'retry')"), 1001,
	'the first of each key is tried again, the others wait');
eventually { deferred($node, $db, $_, 'max(d.attempts)') > 1 } "$_ is tried again"
  for sort keys %keys;
eventually { queue_status($node, $db, 'news', 'last_error') =~ /NOPERM|ACL failure|can't publish/ }
'a channel is refused';
mend($redis, 'many', 'listed');
relay_may($redis, 'allchannels');
my @news = map { OutboxTest::Refusals::from_json($listener->reply->[2]) } 1 .. 101;
audit_keyed($node, $db, $redis, [ 'many', 'listed', 'news' ], 5200, 'many keys', news => \@news);
ok(!IO::Select->new($listener->{socket})->can_read(0), 'nothing more is on the channel');

# Byte by byte: once as usual and once, with the same id, after a refusal.
# maxlen trims whole nodes of a hundred entries, on both ways.
$node->safe_psql($db, 'DELETE FROM journal');
my @shapes = (
	[ text => q('text') ],
	[ json => q('{"b": [1, 2.50, null], "a": "\u00e9"}'::jsonb, type => 't') ],
	[ json => q(' {"b": 1, "b": 100000000000000000000}') ],
	[ bytea => q('\x000d0aff'::bytea, key => 'k') ],
	[ text => q('', type => '', key => '') ],
	[ text => q(E'na\u00efve \U0001F600 "\\\\"\n', type => E'\u00e9', key => E'\u4e2d', headers => E'{"\u00fc":"\u00df","a":""}') ],
	[ text => q('x', headers => '{"one":"1"}', key => E'k\n{tag}') ],
	[ bytea => q(decode(repeat('0d0a00ff', 20000), 'hex'), type => 'long') ],
	[ bytea => q(''::bytea, headers => '{}') ]);
my %policy = (retry_delay => 50, retry_max_delay => 60_000, max_attempts => 100);
create_retrying($node, $db, 'exact', 'stream', %policy);
create_retrying($node, $db, 'short', 'stream', %policy, maxlen => 100);
create_retrying($node, $db, 'json', 'list', %policy);
create_retrying($node, $db, 'raw', 'list', %policy, format => q('raw'));
my @exact = qw(exact short json raw);

sub enqueue_shapes
{
	my ($tag) = @_;
	for my $queue (@exact)
	{
		$node->safe_psql($db, join '', map {
			sprintf qq{SELECT outbox_alter_queue('%1\$s', settings => '{"payload_type": "%2\$s"}');\n}
			  . "SELECT outbox_enqueue('%1\$s', %3\$s, id => '%4\$08d-89ab-7cde-8f01-23456789abcd');\n",
			  $queue, @{ $shapes[$_] }, $_
		} 0 .. $#shapes);
	}
	return;
}

# What arrived, sorted: messages without a key may pass each other.
sub contents
{
	my ($queue) = @_;
	my @raw =
	  $redis->cmd('TYPE', $queue) eq 'list'
	  ? @{ $redis->cmd('LRANGE', $queue, 0, -1) }
	  : map { join "\1", @{ $_->[1] } } $redis->entries($queue);
	return [ sort @raw ];
}

enqueue_shapes();
eventually { count_of($redis, $_) == @shapes } "$_: as usual" for @exact;
my %usual = map { $_ => contents($_) } @exact;
$redis->cmd('DEL', @exact);
refuse($redis, @exact);
enqueue_shapes();
eventually { held($node, $db, $_) == @shapes } "$_: held" for @exact;
mend($redis, @exact);
eventually { count_of($redis, $_) == @shapes } "$_: again" for @exact;
is_deeply(contents($_), $usual{$_}, "$_: what was refused arrives as it would have") for @exact;

# While one is held, all of the queue goes by the script that skips.
$node->safe_psql($db, "SELECT outbox_alter_queue('$_', retry_delay => '1 hour')") for @exact;
refuse($redis, @exact);
$node->safe_psql($db, "SELECT outbox_enqueue('$_', 'in the way', key => 'other')") for @exact;
eventually { held($node, $db, $_) == 1 } "$_: something is held" for @exact;
mend($redis, @exact);
$redis->cmd('DEL', @exact);
enqueue_shapes();
eventually { count_of($redis, $_) == @shapes } "$_: with care" for @exact;
is_deeply(contents($_), $usual{$_}, "$_: what goes with care arrives as it would have") for @exact;
$node->safe_psql($db, "SELECT outbox_enqueue('short', i::text) FROM generate_series(1, 1000) AS i");
eventually { $redis->last_of('short') eq '1000' } 'a thousand go with care';
cmp_ok($redis->count('short'), '<', 400, 'and the stream is trimmed');

done_testing();
