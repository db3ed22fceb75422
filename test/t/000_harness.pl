# Copyright (c) 2026, the outbox developers
#
# The tests' own tools: the checker finds each kind of fault in a made-up
# history, the client carries bytes unchanged, the private server can be
# killed, frozen and set back, and the proxy cuts after exactly N bytes.
# Needs no PostgreSQL server: it must pass before any other result counts.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

# Transactions 10, 11 and 12 overlap; 13 begins when 10 and 11 have committed;
# 12 stays open and enqueues again when 13 has committed.
my @journal = map { my %r; @r{qw(n id queue xid snap body)} = @$_; \%r } (
	[ 1, 'a1', 'q', 10, '10:10:', 'A1' ],
	[ 2, 'b1', 'q', 11, '10:10:', 'B1' ],
	[ 3, 'o1', 'q', 12, '10:10:', 'O1' ],
	[ 4, 'a2', 'q', 10, '10:10:', 'A2' ],
	[ 5, 'c1', 'q', 13, '12:14:12', 'C1' ],
	[ 6, 'c2', 'q', 13, '12:14:12', 'C2' ],
	[ 7, 'o2', 'q', 12, '12:14:', 'O2' ],
	[ 8, 'r1', 'r', 13, '12:14:12', 'R1' ]);
my %body = map { $_->{id} => $_->{body} } @journal;

sub kinds
{
	my ($q, $r) = @_;
	my %got = (
		q => [ map { [ $_, $body{$_} // 'unknown' ] } split ' ', $q ],
		r => [ map { [ $_, $body{$_} // 'unknown' ] } split ' ', $r // 'r1' ]);
	return join ' ', map { /^(\w+)/ } OutboxTest::Checker::faults(\@journal, \%got);
}

is(kinds('a1 a2 b1 c1 c2 o1 o2'), '', 'a correct history');
is(kinds('a1 b1 a2 c1 c2 o1 o2'), '', 'overlapping transactions may mix');
is(kinds('b1 o1 a1 a2 c1 c2 o2'), '', 'of overlapping transactions any may come first');
is(kinds('a1 a2 b1 c1 o1 o2'), 'lost', 'a lost message');
is(kinds('a1 a2 b1 c1 c2 o1 o2', ''), 'lost', 'a queue that is empty');
is(kinds('a1 a2 b1 b1 c1 c2 o1 o2'), 'duplicate', 'a duplicate at once');
is(kinds('a1 a2 b1 c1 c2 o1 o2 a1'), 'duplicate', 'a duplicate much later');
is(kinds('a1 a2 b1 c1 x c2 o1 o2'), 'phantom', 'a message that never was');
is(kinds('a1 a2 b1 c1 c2 o1 o2 r1'), 'phantom', 'a message in the wrong queue');
is(kinds('a2 a1 b1 c1 c2 o1 o2'), 'order', 'order within a transaction');
is(kinds('a1 a2 b1 c2 c1 o1 o2'), 'order', 'order within a transaction, at its end');
is(kinds('a1 a2 c1 b1 c2 o1 o2'), 'order', 'a transaction that began after another committed comes first');
is(kinds('a1 c1 c2 a2 b1 o1 o2'), 'order order', 'each message that came too early counts');
is(kinds('a1 a2 b1 o1 o2 c1 c2'), 'order', 'a late message of a long transaction overtakes one committed before it');

$body{c1} = 'changed';
is(kinds('a1 a2 b1 c1 c2 o1 o2'), 'garbled', 'a changed payload');

# The other checker: what becomes of messages that may fail.  Queue k has keys,
# of which x belongs to transactions 20 and 21; d1 was delayed.
my %fate = (
	journal => [ map { my %r; @r{qw(n id queue xid snap body key due)} = @$_; \%r } (
			[ 1, 'x1', 'k', 20, '20:20:', 'X1', 'x' ],
			[ 2, 'x2', 'k', 21, '21:21:', 'X2', 'x' ],
			[ 3, 'y1', 'k', 22, '22:22:', 'Y1', 'y' ],
			[ 4, 'n1', 'k', 23, '23:23:', 'N1', undef ],
			[ 5, 'd1', 'k', 19, '19:19:', 'D1', 'x', 100 ]) ],
	dead => [], cancelled => [], discarded => [], replayed => []);
my %fate_body = map { $_->{id} => $_->{body} } @{ $fate{journal} };

sub fates
{
	my ($promise, $arrived, %and) = @_;
	my @arrived = map { my ($id, $at) = split /@/; [ $id, $fate_body{$id} // '?', $at // 200 ] } split ' ', $arrived;
	return join ' ', map { /^(\w+)/ } OutboxTest::Outcome::faults(
		{ %fate, %and, got => { k => \@arrived }, order => { k => $promise } });
}

my $all = 'x1 x2 y1 n1 d1';
is(fates('queue', $all), '', 'a correct history');
is(fates('key', 'n1 y1 d1 x1 x2'), '', 'keys mix, and what is delayed has no place');
is(fates('queue', 'x1 x2 n1 y1 d1'), 'order', 'a queue keeps its order');
is(fates('key', 'x2 x1 y1 n1 d1'), 'order', 'a key keeps its order');
is(fates('none', 'x2 x1 n1 y1 d1'), '', 'no order is promised');
is(fates('key', 'x2 y1 n1 d1 x1', replayed => ['x1']), '', 'what was replayed comes when it comes');
is(fates('key', 'x1 y1 n1 d1'), 'lost', 'a lost message');
is(fates('key', 'x1 y1 n1 d1', replayed => ['x2']), 'lost', 'a lost message that had been replayed');
is(fates('key', 'x1 y1 n1 d1', dead => ['x2']), '', 'a dead letter is not lost');
is(fates('key', 'x1 y1 n1 d1', discarded => ['x2']), '', 'nor what was discarded');
is(fates('key', 'x1 x2 y1 n1', cancelled => ['d1']), '', 'nor what was taken back');
is(fates('key', $all, cancelled => ['d1']), 'revived', 'what was taken back arrives');
is(fates('key', $all, discarded => ['x2']), 'revived', 'what was discarded arrives');
is(fates('key', 'x1 y1 n1 d1', discarded => ['x2'], dead => ['x2']), 'revived', 'what was discarded is there');
is(fates('key', $all, dead => ['x2']), 'both', 'delivered and dead');
is(fates('key', 'x1 y1 n1 d1', dead => [ 'x2', 'x2' ]), 'duplicate', 'dead twice');
is(fates('key', "$all x2"), 'duplicate', 'a duplicate');
is(fates('key', "$all x2", replayed => ['x2']), 'duplicate', 'a duplicate of what was replayed');
is(fates('key', "$all z1"), 'phantom', 'a message that never was');
is(fates('key', $all, dead => ['z1']), 'phantom', 'a dead letter that never was');
is(fates('key', 'x1 x2 y1 n1 d1@99'), 'early', 'before its time');
$fate_body{y1} = 'changed';
is(fates('key', $all), 'garbled', 'a changed payload');

# Looking: an exception is no answer yet, and the last one is shown when the time is up.
my $looks = 0;
eventually { $looks++ < 2 ? die "not yet\n" : 1 } 'a look that ends with an exception is followed by another one';
is($looks, 3, 'which sees');
{
	local $PostgreSQL::Test::Utils::timeout_default = 0.1;
	ok(!eval { wait_for { die "never\n" }; 1 }, 'when the time is up');
	is($@, "never\n", 'the exception is shown');
	is((wait_for { 0 }), undef, 'or nothing');
}

# Who watches a test: one that stands still is ended and says where, and one that leaves a
# process behind has failed.
sub watched
{
	my ($script, $seconds) = @_;
	my $watch = 'require OutboxTest::Watch; $OutboxTest::Watch::seconds = ' . $seconds . '; OutboxTest::Watch->import';
	IPC::Run::run([ $^X, (map { "-I$_" } @INC), '-e', "BEGIN { $watch } $script" ],
		'>', sub { }, '2>', \my $said);
	return ($? >> 8, $said);
}
my ($ended, $said) = watched('$SIG{TERM} = sub { exit 7 }; sub stands { waitpid fork || exec("sleep", 1000), 0 } stands(); END { print STDERR "ended\n" }', 1);
is($ended, 7, 'a test that stands still is ended');
like($said, qr/stands still for 1 s:\n.*sleep 1000.*main::stands\(\).*^ended$/ms, '... says where, and ends as always');
like($said, qr/has left a process: \d+ .* sleep 1000/, '... and nothing is left of it');
($ended, $said) = watched('fork || exec "sleep", 1000', 100);
is($ended, 1, 'a test that leaves a process behind has failed');
like($said, qr/has left a process: \d+ .* sleep 1000/, '... and the process is named');
($ended, $said) = watched('exit 3', 100);
is($ended, 3, 'how a test ends is how its watch ends');

# The client.
my $redis = OutboxTest::Redis->start;
my $bytes = join '', map { chr } 0 .. 255;
my $long = $bytes x 5000;    # several reads
is($redis->cmd('SET', 'k', $long), 'OK', 'SET');
ok($redis->cmd('GET', 'k') eq $long, 'all bytes come back');
is($redis->cmd('GET', 'none'), undef, 'nil');
$redis->cmd('XADD', 's', '*', 'id', 'i', 'payload', "\0\r\n\xff");
is_deeply([ $redis->arrived('s') ], [ [ 'i', "\0\r\n\xff" ] ], 'a nested reply');
isa_ok($redis->client->try('NONSENSE'), 'OutboxTest::Redis::Error', 'an error reply');
ok(!eval { $redis->cmd('XLEN', 'k') } && $@ =~ /WRONGTYPE/, 'an error reply as an exception');
is($redis->calls('xadd'), 1, 'calls are counted');

# The server.
$redis->remember;
$redis->cmd('SET', 'k2', 'v');
$redis->come_back_as_remembered;
is($redis->cmd('EXISTS', 'k2'), 0, 'a write after the copy is lost');
is($redis->cmd('EXISTS', 'k'), 1, 'a write before the copy is not');
my $lasting = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'no');
$lasting->cmd('SET', 'k', 'v');
my $written = $lasting->written;
$lasting->cmd('SET', 'k2', 'v');
$lasting->kill9;
$lasting->start_again;
is($lasting->cmd('EXISTS', 'k', 'k2'), 2, 'killed, a server that writes down all has lost nothing');
$lasting->come_back_as_of($written + 5);
is($lasting->cmd('EXISTS', 'k2'), 0, 'what it had not written is lost');
is($lasting->cmd('EXISTS', 'k'), 1, 'and nothing else');
my $old = $redis->client;
$redis->pause;
{
	local $OutboxTest::Redis::Client::timeout = 0.2;
	ok(!eval { $old->cmd('PING') } && $@ =~ /does not answer/, 'a frozen server does not answer');
}
$redis->resume;
is($old->reply, 'PONG', 'it answers late');
$redis->kill9;
ok(!eval { $redis->client }, 'a killed server is gone');
$redis->start_again;

# The proxy: what the client gets, what the server has executed.
my $proxy = OutboxTest::Proxy->start($redis->socket);

sub talk
{
	my ($request) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $proxy->port)
	  or die "connect: $!";
	syswrite $socket, $request;
	my $got = '';
	my $n;
	1 while $n = sysread $socket, $got, 4096, length $got and $got !~ /end\r\n/;
	return ($got, defined $n ? '' : $!{ECONNRESET} ? 'reset' : "$!");
}

my $incr = "INCR n\r\n";
my $done = 0;
my @s2c = (0, 1, 3, 4, 5, 8);
$redis->cmd('SET', 'n', 0);
for my $after (@s2c)
{
	$proxy->plan([ 's2c', $after ]);
	$redis->cmd('SET', 'n', 0);
	my ($got, $why) = talk($incr x 3);
	is(length($got) . " $why", "$after reset", "cut after $after bytes of the replies");
	eventually { $redis->cmd('GET', 'n') == 3 } 'the server has executed everything';
}
for my $after (0, 1, 7, 8, 9, 23)
{
	$proxy->plan([ 'c2s', $after ]);
	$redis->cmd('SET', 'n', 0);
	my ($got, $why) = talk($incr x 3);
	is($why, 'reset', "cut after $after bytes of the requests");
	my $whole = int($after / 8);
	eventually { $redis->cmd('GET', 'n') == $whole } "the server has executed $whole of 3";
}
is(join(',', @{ $proxy->stat }{qw(cuts planned)}), '12,0', 'the proxy has counted its cuts');
$proxy->plan([ 'c2s', 12 ], [ 'c2s', 4 ]);
is((talk("ECHO end\r\n"))[0], "\$3\r\nend\r\n", 'a connection within the plan passes');
is((talk("ECHO end\r\n"))[1], 'reset', 'bytes count over connections');
is((talk("ECHO end\r\n"))[1], 'reset', 'the next cut follows');
is((talk("ECHO end\r\n"))[0], "\$3\r\nend\r\n", 'afterwards everything passes');

$redis->cmd('SET', 'n', 0);
$proxy->plan([ 'late', 8 ]);
is((talk($incr x 3))[1], 'reset', 'a late cut');
eventually { $redis->cmd('GET', 'n') == 1 } 'what came before it has been executed';
is((talk("ECHO end\r\n"))[0], "\$3\r\nend\r\n", 'new connections pass');
is($redis->cmd('GET', 'n'), 1, 'the rest is kept');
$proxy->release;
eventually { $redis->cmd('GET', 'n') == 3 } 'and executed later';
$proxy->stop;

done_testing();
