# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Refusals: queues that Redis refuses, and what becomes of them.
#
# A stream or a list is refused by setting its key aside and putting a string
# in its place, in one step, so that no message gets lost in between; what the
# queue had is back when it is mended.  Channels, which have no type, are
# refused by an ACL: relay_url() makes a user of whom rights can be taken.
#
# Where messages may be skipped, order is promised among those with a key.  So
# the journal of put_keyed() has "queue/key" for a queue (no slash: no key), and
# audit_keyed() looks at each of these as if it were a queue; a message without
# a key is alone.

package OutboxTest::Refusals;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use OutboxTest;
use OutboxTest::Checker;
use OutboxTest::Proxy;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  relay_url relay_may install_keyed put_keyed create_retrying
  refuse mend arrivals count_of deferred held queue_status cursor_of
  audit_keyed
);

# The URL of a user "relay" who may do everything, and the proxy it leads
# through: URLs of unix sockets have no users.
sub relay_url
{
	my ($redis) = @_;
	my $proxy = OutboxTest::Proxy->start($redis->socket);
	relay_may($redis, 'reset', 'on', '>secret', '~*', '&*', '+@all');
	return ('redis://relay:secret@127.0.0.1:' . $proxy->port . '/0', $proxy);
}

sub relay_may { my ($redis, @rules) = @_; return $redis->cmd('ACL', 'SETUSER', 'relay', @rules); }

# What install() makes, with put() choosing one of some keys, or none, and a
# body that tells which: so load() makes messages with keys.
sub install_keyed
{
	my ($node, $db) = @_;
	install($node, $db);
	run_sql($node, $db, 'keyed.sql');
	return;
}

# Enqueue bodies with a key (undef: none), each in a transaction of its own.
sub put_keyed
{
	my ($node, $db, $queue, $key, @bodies) = @_;
	$key = defined $key ? "'$key'" : 'NULL';
	$node->safe_psql($db, join '', map { "SELECT put_keyed('$queue', $key, '$_');\n" } @bodies);
	return;
}

# A queue with policy retry.  Its delays are hours unless something else is said:
# the test says when, let_due().  A delay is a number of milliseconds.
sub create_retrying
{
	my ($node, $db, $queue, $target, %opt) = @_;
	my %policy = (retry_delay => 3_600_000, retry_max_delay => 86_400_000, %opt);
	s/^(\d+)$/'$1 milliseconds'/ for @policy{qw(retry_delay retry_max_delay)};
	$node->safe_psql($db, "SELECT create_queue('$queue', '$target', on_failure => 'retry'"
		  . join('', map { ", $_ => $policy{$_}" } sort keys %policy) . ')');
	return;
}

sub refuse
{
	my ($redis, @keys) = @_;
	$redis->cmd('EVAL', <<'EOS', 2, $_, "aside:$_") for @keys;
local have = redis.call('TYPE', KEYS[1]).ok
if have == 'string' then return end
if have ~= 'none' then redis.call('RENAME', KEYS[1], KEYS[2]) end
redis.call('SET', KEYS[1], 'of another type')
EOS
	return;
}

sub mend
{
	my ($redis, @keys) = @_;
	$redis->cmd('EVAL', <<'EOS', 2, $_, "aside:$_") for @keys;
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[1]) end
EOS
	return;
}

# How many messages a stream or list holds, also while it is refused.
sub count_of
{
	my ($redis, $key) = @_;
	return $redis->cmd('EVAL', <<'EOS', 2, $key, "aside:$key");
local n = 0
for _, key in ipairs(KEYS) do
  local have = redis.call('TYPE', key).ok
  if have == 'stream' then n = n + redis.call('XLEN', key) end
  if have == 'list' then n = n + redis.call('LLEN', key) end
end
return n
EOS
}

# A message as it arrives in a list or on a channel: [ id, key, payload ].
sub from_json
{
	my %m = %{ JSON::PP::decode_json($_[0]) };
	return [ @m{qw(id key payload)} ];
}

# The messages of a stream or of a list of JSON, in order.
sub arrivals
{
	my ($redis, $key) = @_;
	my $type = $redis->cmd('TYPE', $key);
	return map { from_json($_) } @{ $redis->cmd('LRANGE', $key, 0, -1) } if $type eq 'list';
	return map { my %f = @{ $_->[1] }; [ @f{qw(id key payload)} ] } $redis->entries($key);
}

# An expression over the rows of a queue in outbox.deferred ...
sub deferred
{
	my ($node, $db, $queue, $expression) = @_;
	return ask($node, $db, <<"EOC");
SELECT $expression FROM outbox.deferred AS d JOIN outbox.queue AS q ON q.id = d.queue
WHERE q.name = '$queue' AND d.reason IN ('retry', 'behind')
EOC
}

# ... such as how many messages are held.
sub held { my ($node, $db, $queue) = @_; return deferred($node, $db, $queue, 'count(*)'); }

# Columns of outbox.queue_status, joined by "|".
sub queue_status
{
	my ($node, $db, $queue, $columns) = @_;
	return ask($node, $db, "SELECT $columns FROM outbox.queue_status WHERE queue = '$queue'");
}

# The cursor of a queue with this Redis key: a hash.
sub cursor_of
{
	my ($redis, $key) = @_;
	my ($name) = grep { /^\{\Q$key\E\}:outbox:/ } @{ $redis->cmd('KEYS', '*') };
	return {} unless defined $name;
	return { @{ $redis->cmd('HGETALL', $name) } };
}

# A test: all that the journal has for these queues arrives, each message once,
# none other, those with a key in the promised order.  got: arrivals by queue, if they aren't in Redis
# under the queue's name.
sub audit_keyed
{
	my ($node, $db, $redis, $queues, $at_least, $name, %got) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %audited = map { $_ => 1 } @$queues;
	my @journal = grep { $audited{ (split m{/}, $_->{queue}, 2)[0] } } @{ journal($node, $db) };
	my (%want, %groups);

	for my $row (@journal)
	{
		my ($queue, $key) = split m{/}, $row->{queue}, 2;
		$want{$queue}++;
		$row->{queue} .= " $row->{id}" unless defined $key;
		$groups{ $row->{queue} } = [];
	}
	for my $queue (grep { !$got{$_} } @$queues)
	{
		my $n = $want{$queue} // 0;
		eventually { count_of($redis, $queue) >= $n } "$name: $queue has got all";
	}
	eventually
	{
		ask($node, $db, q{SELECT sum(waiting) + sum(retrying) FROM outbox.queue_status}) eq '0';
	}
	"$name: nothing waits or is held";

	for my $queue (@$queues)
	{
		for my $m ($got{$queue} ? @{ $got{$queue} } : arrivals($redis, $queue))
		{
			my ($id, $key, $body) = @$m;
			my $group = $queue . (defined $key ? "/$key" : " $id");
			push @{ $groups{$group} }, [ $id, $body ];
		}
	}
	my @faults = OutboxTest::Checker::faults(\@journal, \%groups);
	push @faults, 'only ' . @journal . ' messages, too few for this test' if @journal < $at_least;
	ok(!@faults, "$name: nothing lost, nothing twice, keys in order")
	  or diag(scalar @faults, " faults:\n", join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
	note(scalar @journal, ' messages');
	return scalar @journal;
}

1;
