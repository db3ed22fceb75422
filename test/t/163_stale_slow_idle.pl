# Copyright (c) 2026, the outbox developers
#
# Promises: a cursor that reads stale (a proxy that sends reads to a replica) is not
# read in a loop; a cursor that takes long to read delays no other queue, and is read in
# the end, as bytes that arrive are progress (I8); a connection that Redis closes
# because it is idle is no trouble: neither the log nor the state say a word.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'good', 'q');
put($node, $db, 'q', 'first');
settle($node, $db, $redis, 'good', 'q');
my $marks = PostgreSQL::Test::Utils::tempdir();

sub through
{
	my ($impostor) = @_;
	configure($node, 'outbox.redis_url' => 'redis://127.0.0.1:' . $impostor->port . '/0');
	return;
}

sub marks { my ($file) = @_; return -s "$marks/$file" // 0; }

sub mark
{
	my ($file) = @_;
	open my $fh, '>>', "$marks/$file" or die "$file: $!";
	syswrite $fh, '.';
	return;
}

sub array { return join '', '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_; }
sub logged { my ($what) = @_; return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /$what/g); }

# A cursor of the past.
my ($key) = @{ $redis->cmd('KEYS', '{q}:outbox:*') };
my $stale = array(@{ $redis->cmd('HGETALL', $key) });
put($node, $db, 'q', 'second');
settle($node, $db, $redis, 'q');
my $impostor = OutboxTest::Impostor->start($redis->socket, qr/HGETALL\r.*\{q\}/s, sub { mark('stale'); $stale });
through($impostor);
put($node, $db, 'q', 'third');
put($node, $db, 'good', 'meanwhile');
eventually { queue_status($node, $db, 'q', 'why') =~ /^its cursor is another one/ } 'a stale cursor: status says so';
eventually { $redis->last_of('good') eq 'meanwhile' } 'the other queue flows';
eventually { marks('stale') >= 6 } 'it is read again';
cmp_ok(logged('has been moved'), '<=', 4, 'few lines are logged');
cmp_ok(marks('stale'), '<', 60, 'and it is not read in a loop');
$impostor->stop;
configure($node, 'outbox.redis_url' => $redis->url);
audit($node, $db, $redis, [ 'good', 'q' ], 5, 'where it reads true, all arrives, each once');

# A cursor that takes 14 seconds: more than what is waited for an answer.
$impostor = OutboxTest::Impostor->start($redis->socket, qr/HGETALL\r.*\{q\}/s,
	sub {
		my ($to) = @_;
		my @fields = @{ $redis->client->cmd('HGETALL', $key) };
		my $bytes = array(@fields, map { ("x$_", 'y' x 100) } 1 .. 4000);

		mark('slow');
		while (length $bytes)
		{
			print {$to} substr($bytes, 0, 16_384, '') or die "gone\n";
			sleep 0.5;
		}
		return '';
	});
through($impostor);
put($node, $db, 'q', 'fourth');
my $good = 0;
eventually { marks('slow') >= 2 } 'a slow cursor is read again, apart';
for (1 .. 20)
{
	put($node, $db, 'good', 'good ' . ++$good);
	eventually { $redis->last_of('good') eq "good $good" } 'the other queue flows';
}
eventually { $redis->last_of('q') eq 'fourth' } 'the slow cursor has been read';
is(marks('slow'), 2, 'once on the link of all, once on one of its own');
is(logged('no answer within'), 0, 'that was no lack of an answer');
is(status($node, $db, 'state'), 'running', 'the relay runs');
$impostor->stop;
configure($node, 'outbox.redis_url' => $redis->url);
eventually { status($node, $db, 'state') eq 'running' } 'back at Redis';
settle($node, $db, $redis, 'good', 'q');

# Redis closes what is idle for a second.
sub relays { return map { /^id=(\d+) .* name=outbox age=(\d+) / ? [ $1, $2 ] : () } split /\n/, $redis->cmd('CLIENT', 'LIST'); }
my ($lines, $since) = (logged('outbox is'), status($node, $db, 'since'));
my ($first) = relays();
$redis->cmd('CONFIG', 'SET', 'timeout', 1);
eventually { my ($now) = relays(); $now && $now->[0] != $first->[0] } 'Redis closes the idle connection, which comes back';
eventually { my ($now) = relays(); $now && $now->[1] >= 6 } 'from then on it is kept';
is(logged('outbox is') - $lines, 0, 'nothing is logged');
is(status($node, $db, 'since'), $since, 'the state has not changed');
settle($node, $db, $redis, 'good', 'q');

done_testing();
