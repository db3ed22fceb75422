# Copyright (c) 2026, the outbox developers
#
# Promise: whatever a Sentinel answers, the relay takes it for what it may be (I2, I8):
# an answer that is no address is none, and the next Sentinel is asked; who is named and
# is no master is left; a link that delivers is left only if most Sentinels name
# another master, and one on which nothing moves if any does.  Sentinels are played
# here, and so say what a test wants and when.  Guards relay/sentinel.c and
# redis/master.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($a, $b) = map { OutboxTest::Redis->start_primary } 1 .. 2;
my $replica = $a->start_replica;
my %port = map { $_ => $_->{config}{port} } $a, $b, $replica;

# What the nth says is in its file.
sub says
{
	my ($n, $bytes) = @_;
	open my $fh, '>:raw', "$dir/new" or die "$dir/new: $!";
	print {$fh} $bytes;
	close $fh;
	rename "$dir/new", "$dir/says.$n" or die "$dir/says.$n: $!";
	return;
}

sub names
{
	my ($n, $redis, $host) = @_;
	my ($name, $port) = ($host // '127.0.0.1', $port{$redis});
	return says($n, sprintf "*2\r\n\$%d\r\n%s\r\n\$%d\r\n%s\r\n", length $name, $name, length $port, $port);
}

sub play
{
	my ($n) = @_;
	return OutboxTest::Impostor->start($a->socket, 'SENTINEL', sub {
		my $bytes = slurp_file("$dir/says.$n");
		append_to_file("$dir/asked.$n", "\n");
		sleep 600 if $bytes eq 'nothing';
		return $bytes;
	});
}

sub asked { my ($n) = @_; return -s "$dir/asked.$n" // 0; }

says($_, "*-1\r\n") for 1 .. 3;
my @played = map { play($_) } 1 .. 3;
my @at = map { '127.0.0.1:' . $_->port } @played;
# What happens again and again is in the log at debug1 only.
my $node = new_node('main', url => "redis+sentinel://$at[0]/m", conf => 'log_min_messages = debug1');
my $db = 'postgres';
install($node, $db, 'q');
my $n = 0;

sub arrives
{
	my ($redis, $name) = @_;
	put($node, $db, 'q', 'message ' . ++$n);
	return eventually { $redis->last_of('q') eq "message $n" } $name;
}

# One answer after the other, of a Sentinel that is the only one.  After an error
# of the protocol, what hiredis says.
my $long = 'x' x 256;
for my $case (
	[ 'nil', "*-1\r\n", 'it knows no master of this name' ],
	[ 'a null string', "\$-1\r\n", 'it knows no master of this name' ],
	[ 'an error', "-IDONTKNOW I have not enough information\r\n", 'IDONTKNOW I have not enough information' ],
	[ 'an error of a server that is none', "-ERR unknown command 'SENTINEL', with args beginning with: 'get-master-addr-by-name' 'm'\r\n", q(ERR unknown command 'SENTINEL') ],
	[ 'a status', "+OK\r\n", 'its answer is no address' ],
	[ 'a number', ":1\r\n", 'its answer is no address' ],
	[ 'a string', "\$9\r\n127.0.0.1\r\n", 'its answer is no address' ],
	[ 'an empty array', "*0\r\n", 'its answer is no address' ],
	[ 'one string', "*1\r\n\$9\r\n127.0.0.1\r\n", 'its answer is no address' ],
	[ 'three strings', "*3\r\n\$1\r\na\r\n\$1\r\n1\r\n\$1\r\n1\r\n", 'its answer is no address' ],
	[ 'numbers', "*2\r\n:1\r\n:2\r\n", 'its answer is no address' ],
	[ 'no host', "*2\r\n\$0\r\n\r\n\$4\r\n6379\r\n", 'its answer is no address' ],
	[ 'a host with a line feed', "*2\r\n\$3\r\na\nb\r\n\$4\r\n6379\r\n", 'its answer is no address' ],
	[ 'a path', "*2\r\n\$6\r\n/tmp/x\r\n\$4\r\n6379\r\n", 'its answer is no address' ],
	[ 'a host with a zero byte', "*2\r\n\$3\r\na\0b\r\n\$4\r\n6379\r\n", 'its answer is no address' ],
	[ 'a long host', "*2\r\n\$256\r\n$long\r\n\$4\r\n6379\r\n", 'its answer is no address' ],
	[ 'port 0', "*2\r\n\$1\r\na\r\n\$1\r\n0\r\n", 'its answer is no address' ],
	[ 'port 65536', "*2\r\n\$1\r\na\r\n\$5\r\n65536\r\n", 'its answer is no address' ],
	[ 'a negative port', "*2\r\n\$1\r\na\r\n\$2\r\n-1\r\n", 'its answer is no address' ],
	[ 'no port', "*2\r\n\$1\r\na\r\n\$0\r\n\r\n", 'its answer is no address' ],
	[ 'arrays in arrays', "*1\r\n*1\r\n*1\r\n*0\r\n", 'a reply has arrays more than 1 deep' ],
	[ 'many elements', "*1000000\r\n", 'a reply has more than 16 elements' ],
	[ 'many bytes', "*2\r\n\$5120\r\n" . $long x 20 . "\r\n", 'a reply has more than 4096 bytes' ],
	[ 'garbage', "hello\r\n", 'Protocol error' ],
	[ 'nothing', 'nothing', 'no answer within 1 s' ])
{
	my ($name, $bytes, $why) = @$case;
	says(1, $bytes);
	eventually { status($node, $db, 'why') =~ /^no Sentinel names a master "m": \Q$at[0]: $why\E/ } "$name: $why";
}
is(ask($node, $db, q{SELECT state FROM outbox.status}), 'waiting for redis', 'nothing is delivered anywhere');

# One of three is enough, whatever the others say.
configure($node, 'outbox.redis_url' => 'redis+sentinel://' . join(',', @at) . '/m');
says(1, 'nothing');
says(2, "+OK\r\n");
names(3, $a);
arrives($a, 'one of three names a master');

# Who is named and is none.
names($_, $replica) for 1 .. 3;
$a->drop_clients;
eventually { status($node, $db, 'why') =~ /^127\.0\.0\.1:$port{$replica} is no master, though Sentinel 127\.0\.0\.1:\d+ says so$/ } 'a replica is named';
put($node, $db, 'q', 'message ' . ++$n);
names(2, $a);
eventually { $a->last_of('q') eq "message $n" } 'the next Sentinel knows better';
names($_, $a) for 1 .. 3;
arrives($a, 'all name the master');

# A link that delivers.
my $log = length log_of($node);
sub left { return substr(log_of($node), $log) =~ /Sentinel \S+ names another master than 127\.0\.0\.1:$port{$_[0]}/; }
names(1, $b);
my @before = map { asked($_) } 1 .. 3;
eventually { !grep { asked($_) < $before[ $_ - 1 ] + 2 } 1 .. 3 } 'each Sentinel is asked again and again';
ok(!left($a), 'one of three names another one: the link stays');
arrives($a, 'and delivers');
names(2, $b);
eventually { left($a) } 'two of three do: the link is left';
arrives($b, 'for that one');
like(status($node, $db, 'address'), qr/^127\.0\.0\.1:$port{$b}\/0 /, 'the status says so');

# A link on which nothing moves.
names($_, $b) for 1 .. 3;
arrives($b, 'all name the master');
$b->pause;
put($node, $db, 'q', 'message ' . ++$n);
$log = -s $node->logfile;
names(3, $a);
eventually { $a->last_of('q') eq "message $n" } 'a server hangs: one Sentinel that names another one is enough';
like(slurp_file($node->logfile, $log), qr/outbox is waiting for Redis: Sentinel \S+ names another master than /, '... and is why it is left');
$b->resume;
names($_, $a) for 1 .. 3;
arrives($a, 'all name the master');

# It hangs while the link connects.
$b->pause;
names($_, $b) for 1 .. 3;
eventually { left($a) } 'all name a server that hangs';
put($node, $db, 'q', 'message ' . ++$n);
names($_, $a) for 1 .. 3;
eventually { $a->last_of('q') eq "message $n" } 'it is left as soon as they name another one';
$b->resume;
done_testing();
