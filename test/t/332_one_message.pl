# Copyright (c) 2026, the outbox developers
#
# Promise: a message that is alone in its batch goes the short way through the
# script, for each target that has one, and arrives as it does in a batch of
# several: the same entry, counted (I2), once (I3), and not before a refused one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);
$redis->cmd('CONFIG', 'SET', 'slowlog-max-len', 10000);

sub sql { return $node->safe_psql($db, join ';', @_); }

# What the cursor of a queue counts.
sub counted
{
	my ($queue) = @_;
	my ($cursor) = grep { $redis->cmd('TYPE', $_) eq 'hash' } @{ $redis->cmd('KEYS', "{$queue}:outbox:*") };
	return defined $cursor ? $redis->cmd('HGET', $cursor, 'count') : '';
}

# How the scripts were called for a queue since the last time, by their modes.
sub modes
{
	my ($queue) = @_;
	my %modes;
	for my $entry (@{ $redis->cmd('SLOWLOG', 'GET', -1) })
	{
		my ($name, undef, undef, $cursor, @args) = @{ $entry->[3] };
		next if lc $name ne 'evalsha' || $cursor !~ /^\{\Q$queue\E\}:outbox:/;
		my ($mode) = grep { /^(?:apply|one|skip|retry)$/ } @args[ 0, 1 ];
		$modes{$mode}++ if defined $mode;
	}
	$redis->cmd('SLOWLOG', 'RESET');
	return join ' ', map { "$_ $modes{$_}" } sort keys %modes;
}

# What is in a queue's key, without the ids of entries and messages.
sub content
{
	my ($queue) = @_;
	my $type = $redis->cmd('TYPE', $queue);
	return join '; ', @{ $redis->cmd('LRANGE', $queue, 0, -1) } if $type eq 'list';
	return join '; ', map { join ' ', @{ $_->[1] } } $redis->entries($queue);
}

my %target = (
	stream => q['stream'],
	trimmed => q['stream', maxlen => 1000],
	watermill => q['watermill'],
	list => q['list', format => 'raw'],
	channel => q['publish', format => 'raw'],
	commands => q['commands', options => '{"commands": [["RPUSH", "commands", "{payload}"]]}']);
sql(map { qq[SELECT outbox_create_queue('$_', $target{$_}, settings => '{"payload_type": "text"}')] } sort keys %target);

# One by one, and two together, of each kind: they look alike.
my @kinds = (
	[ 'stream', '' ],
	[ 'stream', q[type => 't'] ],
	[ 'stream', q[key => 'k'] ],
	[ 'stream', q[type => 't', key => 'k'] ],
	[ 'stream', q[headers => '{"a": "b"}'] ],
	[ 'stream', q[headers => (SELECT jsonb_object_agg(i, 'x') FROM generate_series(1, 200) AS i)], 'long' ],
	[ 'trimmed', '' ],
	[ 'watermill', '' ],
	[ 'watermill', q[headers => '{"a": "b"}'] ],
	[ 'list', '' ],
	[ 'commands', '', 'long' ]);
my (%sent, $n);
for my $kind (@kinds)
{
	my ($queue, $more, $long) = @$kind;
	my $id = sprintf '0192f3a1-7c1e-7b3a-8f00-%012d', ++$n;
	my $what = $more eq '' ? $queue : "$queue, " . substr($more, 0, 40);
	my ($alone, @together);
	my $send = sub {
		return sprintf "outbox_enqueue('%s', 'a', id => '%s'%s)", $queue, $id =~ s/^.{8}/$_[0]/r, $more eq '' ? '' : ", $more";
	};

	$redis->cmd('DEL', $queue);
	modes($queue);
	$redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
	sql('SELECT ' . $send->('00000001'));
	$sent{$queue}++;
	eventually { counted($queue) == $sent{$queue} } "$what: alone";
	$alone = content($queue);
	is(modes($queue), $long ? 'apply 1' : 'one 1', "$what: the way it goes");
	$redis->cmd('DEL', $queue);
	sql('SELECT ' . $send->('00000002') . ', ' . $send->('00000003'));
	$sent{$queue} += 2;
	eventually { counted($queue) == $sent{$queue} } "$what: two together";
	is(modes($queue), 'apply 1', "$what: the way they go");
	$redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', -1);
	@together = split /; /, content($queue);
	is_deeply([ map { s/0000000[123]-/-/r } $alone, @together ], [ ($alone =~ s/0000000[123]-/-/r) x 3 ], "$what: they look alike");
}

# A channel has no key, and nobody who listens is no fault.
my $listener = $redis->client;
$listener->cmd('SUBSCRIBE', 'channel');
$redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
for my $payload ('first', 'second')
{
	sql("SELECT outbox_enqueue('channel', '$payload')");
	is($listener->reply->[2], $payload, "channel: $payload");
}
my ($cursor) = grep { $redis->cmd('TYPE', $_) eq 'hash' } @{ $redis->cmd('KEYS', '*channel*:outbox:*') };
eventually { $redis->cmd('HGET', $cursor, 'count') == 2 } 'channel: counted';
$redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', -1);

# Refused, it is not covered, and what comes behind it waits.
$redis->cmd('DEL', 'list');
$redis->cmd('SET', 'list', 'no list');
sql(q[SELECT outbox_enqueue('list', 'refused')]);
eventually { ask($node, $db, q{SELECT state, why FROM outbox.queue_status WHERE queue = 'list'}) =~ /^blocked\|message \S+: WRONGTYPE/ }
	'refused: the queue stands still at it';
is(counted('list'), $sent{list}, 'refused: not counted');
sql(q[SELECT outbox_enqueue('list', 'behind')]);
$redis->cmd('DEL', 'list');
eventually { counted('list') == $sent{list} + 2 } 'refused: taken, both come';
is(content('list'), 'refused; behind', 'refused: in order, once');

# What the cursors count is what the relay knows: nothing has been lost, or came twice.
$redis->drop_clients;
wait_relay($node, $db);
sql(q[SELECT outbox_enqueue('list', 'last')]);
eventually { content('list') eq 'refused; behind; last' } 'after another connection: goes on';
unlike(log_of($node), qr/has lost|without an answer|differs/, 'no message was lost, and none was delivered without an answer');

done_testing();
