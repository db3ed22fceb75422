# Copyright (c) 2026, the outbox developers
#
# Promise: whatever Redis says to reading what consumers return is that queue's
# trouble (I8): the link stays, messages are delivered, other queues' streams are
# read, and queue_status says why until it is over.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Impostor;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my ($url, $proxy) = relay_url($redis);
my $node = new_node('main', url => $url, conf => "outbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db, 'other');
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => 'dead_letter', consumer_retry => true)") for 'w', map { "a$_" } 1 .. 10;
my ($n, $returned) = (0, 0);

sub connection { my ($id) = $redis->cmd('CLIENT', 'LIST') =~ /^id=(\d+) .*name=outbox /m; return $id // ''; }

# What goes to queue "other" arrives.
sub delivers
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	put($node, $db, 'other', 'm' . ++$n);
	return eventually { $redis->count('other') == $n } "$name: messages are delivered";
}

# What is returned is read.
sub reads
{
	my ($queue, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $payload = "$queue " . ++$returned;
	$redis->cmd('XADD', "$queue:dead", '*', 'payload', $payload, 'error', 'e');
	return eventually { letters($node, $db, 'count(*)', "payload #>> '{}' = '$payload'") eq '1' } "$name: what is returned to $queue is read";
}

sub why { return queue_status($node, $db, 'w', 'why'); }

eventually { connection() } 'connected';
delivers('at first');
reads('w', 'at first');
reads('a1', 'at first');

# Trouble of one queue.
my @one = (
	[ 'a key that is no stream', sub { refuse($redis, 'w:retry') }, sub { mend($redis, 'w:retry') }, qr/WRONGTYPE/ ],
	[ 'a key that may not be read', sub { relay_may($redis, 'resetkeys', '~[^w]*', '~w') }, sub { relay_may($redis, '~*') }, qr/NOPERM/ ]);
for my $case (@one)
{
	my ($name, $do, $undo, $reason) = @$case;
	my $id = connection();
	my @told = log_of($node) =~ /WARNING:.*consumers of queue/g;
	$do->();
	eventually { why() =~ /^what consumers return cannot be read: .*$reason/ } "$name: the view says why";
	delivers($name);
	reads($_, $name) for 'a1', 'a10';
	is(queue_status($node, $db, 'w', 'state'), 'flowing', "$name: the queue flows");
	is(queue_status($node, $db, 'a1', 'why'), '', "$name: nothing is wrong with others");
	is(scalar(() = log_of($node) =~ /WARNING:.*consumers of queue/g), @told + 1, "$name: told once");

	# Others are looked at together, and the one tried now and then.
	at_best
	{
		my ($reads, $t) = ($redis->calls('xread'), Time::HiRes::time());
		wait_for { $redis->calls('xread') >= $reads + 20 };
		($redis->calls('xread') - $reads) / (12 * (Time::HiRes::time() - $t) + 4)
	}
	1.01, "$name: nothing is read over and over; reads, of those that may be";
	$undo->();
	eventually { why() eq '' } "$name: it is over";
	reads('w', "$name: over");
	is(connection(), $id, "$name: on the same connection");
}

# Trouble of all of them.
my @all = (
	[ 'XREAD is not permitted', '-xread', '+xread', qr/NOPERM/ ],
	[ 'XTRIM is not permitted', '-xtrim', '+xtrim', qr/NOPERM/ ]);
for my $case (@all)
{
	my ($name, $do, $undo, $reason) = @$case;
	my $id = connection();
	relay_may($redis, $do);
	$redis->cmd('XADD', 'w:dead', '*', 'payload', "x $name", 'error', 'e');
	eventually { why() =~ /$reason/ } "$name: the view says why";
	delivers($name);
	is(connection(), $id, "$name: on the same connection");
	relay_may($redis, $undo);
	reads('w', "$name: over");
	eventually { why() eq '' } "$name: it is over";
	is(connection(), $id, "$name: still on the same connection");
}

# A server in between answers what Redis would not.
$redis->cmd('CONFIG', 'RESETSTAT');
for my $case ([ 'XINFO', "+OK\r\n" ], [ 'XINFO', "-NOPERM no\r\n" ], [ 'XREAD', "+OK\r\n" ], [ 'XREAD', ":1\r\n" ],
	[ 'XREAD', "-LOADING Redis is loading\r\n" ], [ 'XREAD', "-ODD word\r\n" ], [ 'XREAD', "*1\r\n*2\r\n\$6\r\nw:dead\r\n*1\r\n*2\r\n\$1\r\nx\r\n*0\r\n" ], [ 'XREAD', "*1\r\n:1\r\n" ])
{
	my ($command, $answer) = @$case;
	my $name = "$command: " . $answer =~ s/\r\n/ /gr;
	my $impostor = OutboxTest::Impostor->start($redis->socket, $command, $answer);
	configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $impostor->port . '/0');
	eventually { why() ne '' } "$name: the view says so" unless $answer =~ /^\*/;
	delivers($name);
	my $id = connection();
	delivers($name) for 1 .. 3;
	is(status($node, $db, 'state'), 'running', "$name: the state is running");
	is(connection(), $id, "$name: on one connection");
	configure($node, 'outbox.redis_url' => $url);
	$impostor->stop;
	reads('w', "$name: over");
}

# Entries that are none: the log stays readable.
my @before = log_of($node) =~ /WARNING:.*ignored entry/g;
$redis->cmd('EVAL', q{for i = 1, 200 do redis.call('XADD', 'w:dead', '*', 'x', i) end}, 0);
delivers('garbage');
reads('a1', 'after garbage');
eventually { queue_status($node, $db, 'w', 'last_error') =~ /was ignored: it has no payload/ } 'the view tells of it';
reads('w', 'after garbage');
cmp_ok(scalar(() = log_of($node) =~ /WARNING:.*ignored entry/g) - @before, '<=', 20, 'garbage does not fill the log');

done_testing();
