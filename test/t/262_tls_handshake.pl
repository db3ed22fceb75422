# Copyright (c) 2026, the outbox developers
#
# Promise: a handshake that hangs ends after its time, costs no processor time, and stops
# nothing else that the relay does; one that comes slowly, byte by byte, is finished; and
# wherever it is cut, the next one delivers what waits, once.  Guards tls.c, transport.c,
# link_life.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IO::Select;
use IO::Socket::INET;
use OutboxTest;
use OutboxTest::Tls;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $tls = OutboxTest::Tls->new;
$tls->make('server', san => 'IP:127.0.0.1,DNS:localhost');
my $redis = $tls->redis('server');
my $db = 'postgres';
my $node = new_node('main', url => $tls->url($redis->{tls_port}));
install($node, $db, 'q');
put($node, $db, 'q', 'first');
eventually { $redis->count('q') == 1 } 'delivered';

# How often the relay has tried to read, from whatever: each time that it is woken by the
# connection it does.  One that spins does it some hundred thousand times in a second.
sub reads
{
	my ($n) = slurp_file('/proc/' . relay_pid($node, $db) . '/io') =~ /^syscr: (\d+)$/m or die "no count of reads\n";
	return $n;
}

# A server that accepts connections, and says nothing.
my $silent = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
my $log = -s $node->logfile;
configure($node, 'outbox.redis_url' => $tls->url($silent->sockport));
put($node, $db, 'q', 'second');
eventually { IO::Select->new($silent)->can_read(0) } 'it connects';
my $client = $silent->accept;
eventually { sysread $client, my $hello, 65536 } 'and says hello';
my $before = reads();
$node->safe_psql($db, "SELECT outbox_create_queue('meanwhile')");
eventually { $node->safe_psql($db, q{SELECT count(*) FROM outbox.queue_status WHERE queue = 'meanwhile' AND state IS NOT NULL}) == 1 } 'the relay does other things meanwhile';
eventually { slurp_file($node->logfile, $log) =~ /WARNING:  outbox is waiting for Redis: no TLS handshake within 5 s.*\n.*\n.*HINT:  The port may be one without TLS/ } 'it ends after its time, and the log says so';
my $reads = reads() - $before;
cmp_ok($reads, '<', 2000, "it has waited, not spun: $reads reads");
my $pid = relay_pid($node, $db);
eventually { IO::Select->new($silent)->can_read(0) } 'it connects again';
$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
eventually { !kill 0, $pid } 'a relay in a handshake can be ended';
close $client;
$silent->close;

# Slowly: whatever the server says comes byte by byte.
my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
my $slow = fork // die "fork: $!";
if ($slow == 0)
{
	$SIG{TERM} = $SIG{INT} = 'DEFAULT';
	$SIG{PIPE} = 'IGNORE';
	while (my $from = $listen->accept)
	{
		my $to = IO::Socket::INET->new("127.0.0.1:$redis->{tls_port}") or next;
		my $select = IO::Select->new($from, $to);
		my $bytes;
		PAIR: while (my @ready = $select->can_read)
		{
			for my $fh (@ready)
			{
				sysread $fh, $bytes, $fh == $to ? 1 : 65536 or last PAIR;
				sleep 0.001 if $fh == $to;
				syswrite $fh == $to ? $from : $to, $bytes or last PAIR;
			}
		}
	}
	POSIX::_exit(0);
}
wait_relay($node, $db);
$before = reads();
configure($node, 'outbox.redis_url' => $tls->url($listen->sockport));
eventually { $redis->count('q') == 2 } 'a handshake that comes byte by byte is finished';
$reads = reads() - $before;
cmp_ok($reads, '<', 30_000, "and is read byte by byte, not more often: $reads reads");
kill 'TERM', $slow;
waitpid $slow, 0;

# Cut at so many bytes, in both directions, until it is long enough.
my $proxy = OutboxTest::Proxy->start("127.0.0.1:$redis->{tls_port}");
my $n = 0;
for my $direction ('s2c', 'c2s')
{
	my ($at, $step) = $direction eq 's2c' ? (1, 71) : (1, 41);
	my $reached = 0;
	for (; $at < 1000 && !$reached; $at += $step)
	{
		my $cuts = $proxy->stat->{cuts};
		$proxy->plan([ $direction, $at ]);
		configure($node, 'outbox.redis_url' => $tls->url($proxy->port, host => $n++ % 2 ? 'localhost' : '127.0.0.1'));
		wait_for { $proxy->stat->{cuts} > $cuts } or last;
	}
	$proxy->plan;
	put($node, $db, 'q', "after $direction");
	eventually { $redis->last_of('q') eq "after $direction" } "$direction: delivered after $n cuts";
}
cmp_ok($n, '>', 15, 'it was cut at many bytes');
audit($node, $db, $redis, ['q'], 4, 'each once');

done_testing();
