# Copyright (c) 2026, the outbox developers
#
# Promise: what answers at the address of Redis may say what it likes.  The relay's
# memory and the log stay bounded, it ends within a second when it is told to, and
# the server lives on.  Nothing counts as delivered.  Guards redis/limits.c and
# relay/base/log_allowance.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'q');

# Say it again and again, as long as somebody listens.
sub forever { my ($begin, $rest) = @_; return sub { my ($to) = @_; print {$to} $begin; print {$to} $rest while $to->connected; die "gone\n" }; }
sub once { my ($bytes) = @_; return sub { my ($to) = @_; print {$to} $bytes; sleep 1000 while 1; }; }

# What is said to which command, what the relay says of it, and whether it is ended then.
my $a = 'a' x 65536;
my @cases = (
	[ 'EVALSHA', 'nested', forever('', "*1\r\n" x 10_000), qr/arrays more than 1 deep/, 1 ],
	[ 'EVALSHA', '2^31 elements', once("*2147483647\r\n"), qr/more than 1024 elements/ ],
	[ 'EVALSHA', 'elements that come', forever("*2147483647\r\n", ":1\r\n" x 10_000), qr/more than 1024 elements/ ],
	[ 'EVALSHA', 'a string without end', forever("\$2000000000\r\n", $a), qr/more than 1048576 bytes/, 1 ],
	[ 'EVALSHA', 'a line without end', forever('+', $a), qr/line of more than 65536 bytes/ ],
	[ 'EVALSHA', 'more than was asked for', forever('', ":1\r\n" x 10_000), qr/unexpected reply/ ],
	[ 'HGETALL', '2^31 elements', once("*2147483647\r\n"), qr/more than 4194304 elements/ ],
	[ 'HGETALL', 'nested', forever('', "*1\r\n" x 10_000), qr/arrays more than 1 deep/ ],
	[ 'HGETALL', 'an error without end', forever('-ERR ', $a), qr/line of more than 65536 bytes/ ],
	[ 'HGETALL', 'parts that are no strings', "*2\r\n:1\r\n*0\r\n", qr/arrays more than 1 deep|unexpected reply to HGETALL/ ],
	[ 'HGETALL', 'half a field', "*1\r\n\$3\r\npos\r\n", qr/unexpected reply to HGETALL/ ],
	[ 'SCRIPT', 'no name of a script', "\$40\r\n" . "\r\nFLUSHALL\r\n" x 3 . "1234\r\n", qr/unexpected reply to SCRIPT LOAD/ ],
	[ 'SCRIPT', 'a long name', "\$100000\r\n" . 'f' x 100_000 . "\r\n", qr/unexpected reply to SCRIPT LOAD/ ],
	[ 'CLIENT', 'a push of another protocol', ">2\r\n+a\r\n+b\r\n", qr/unexpected reply|Protocol error/ ],
	[ 'CLIENT', 'garbage without end', forever('', join '', map { chr($_ * 7 % 256) } 1 .. 65536), qr/\S/, 1 ]);

sub peak
{
	my ($pid) = @_;
	my $status = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status");
	return { map { $status =~ /^Vm$_:\s+(\d+) kB/m ? ($_ => $1) : () } qw(HWM Peak) };
}

my $n = $redis->count('q');
my $postmaster = $node->safe_psql($db, 'SELECT pg_postmaster_start_time()');
for my $case (@cases)
{
	my ($command, $what, $answer, $said, $end) = @$case;
	my $name = "$command: $what";
	my $before = peak(relay_pid($node, $db));
	my $impostor = OutboxTest::Impostor->start($redis->socket, $command, $answer);

	configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $impostor->port . '/0');
	put($node, $db, 'q', $what);
	$n++;
	eventually { status($node, $db, 'why') =~ $said } "$name: status says what was too much";
	my $pid = relay_pid($node, $db);
	my $after = peak($pid);
	cmp_ok($after->{HWM} - $before->{HWM}, '<', 16 * 1024, "$name: it needs no memory");
	cmp_ok($after->{Peak} - $before->{Peak}, '<', 64 * 1024, "$name: nor room for it");
	if ($end)
	{
		at_best
		{
			wait_for { relay_pid($node, $db) };
			my $old = relay_pid($node, $db);
			seconds { kill 'TERM', $old; wait_for { gone($old) } };
		} 1, "$name: it ends at once";
		wait_for { relay_pid($node, $db) };
	}
	$impostor->stop;
	configure($node, 'outbox.redis_url' => $redis->url);
	eventually { $redis->count('q') == $n } "$name: the message arrives when Redis answers";
}
is($node->safe_psql($db, 'SELECT pg_postmaster_start_time()'), $postmaster, 'the server has lived on');
audit($node, $db, $redis, ['q'], $n, 'all, each once, in order');

done_testing();
