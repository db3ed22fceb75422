# Copyright (c) 2026, the outbox developers
#
# Promise: every type of reply that isn't the answer to the request that it comes to
# counts for nothing, whatever the request (I2, I3): the table of docs/faults.md, "What
# Redis answers".  Guards is_expected() in relay/answers.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Impostor;
use PostgreSQL::Test::Utils;
use Test::More;

my %types = (
	'a status' => "+OK\r\n",
	'a number' => ":42\r\n",
	'nil' => "\$-1\r\n",
	'a string' => "\$3\r\nfoo\r\n",
	'an empty array' => "*0\r\n",
	'an array of numbers' => "*2\r\n:1\r\n:2\r\n",
	'an array of a word' => "*1\r\n\$4\r\ndone\r\n",
	'an array of arrays' => "*2\r\n*0\r\n*0\r\n",
	'a map' => "%1\r\n+a\r\n+b\r\n",
	'a push' => ">2\r\n+a\r\n+b\r\n");

# Which commands are a request, what they may be answered with, and its queue.
my @requests = (
	[ 'AUTH', qr/\r\nAUTH\r\n/, qr/^a status$/, 'q' ],
	[ 'SCRIPT LOAD', qr/\r\nSCRIPT\r\n/, qr/^$/, 'q' ],
	[ 'HGETALL', qr/\r\nHGETALL\r\n.*\{q\}/s, qr/^an empty array$/, 'q' ],
	[ 'EVALSHA to move', qr/\r\nEVALSHA\r\n.*\{q\}.*\r\nmove\r\n/s, qr/^$/, 'q' ],
	[ 'EVALSHA to apply', qr/\r\nEVALSHA\r\n.*\{q\}.*\r\n(?:apply|one)\r\n/s, qr/^$/, 'q' ],
	[ 'EVALSHA to skip', qr/\r\nEVALSHA\r\n.*\{r\}.*\r\nskip\r\n/s, qr/^an array of a word$/, 'r' ],
	[ 'EVALSHA to retry', qr/\r\nEVALSHA\r\n.*\{r\}.*\r\nretry\r\n/s, qr/^an array of a word$/, 'r' ],
	[ 'XINFO STREAM', qr/\r\nXINFO\r\n/, qr/array/, 'c' ],
	[ 'XREAD', qr/\r\nXREAD\r\n/, qr/array|^nil$/, 'c' ],
	[ 'CLIENT SETNAME', qr/\r\nSETNAME\r\n/, qr/^(?!a (map|push)$)/, 'q' ]);

my $redis = OutboxTest::Redis->start(requirepass => 'secret');
my $told = PostgreSQL::Test::Utils::tempdir() . '/answer';
my ($n, @impostors) = (0);
my $node = new_node('main', url => 'redis://:secret@127.0.0.1:1/0');
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, "SELECT create_queue('r', on_failure => 'retry', max_attempts => 1000, retry_delay => '300 ms', retry_backoff => 1)");
$node->safe_psql($db, "SELECT create_queue('c', on_failure => 'retry', consumer_retry => true)");
$redis->cmd('SET', 'r', 'of another type');
my $refused = 0;

# What is in the file is what is answered, once for each connection that asks.
sub answer
{
	my ($bytes) = @_;
	open my $fh, '>:raw', "$told.new" or die "$told.new: $!";
	print {$fh} $bytes;
	close $fh;
	rename "$told.new", $told or die "$told: $!";
	return;
}

# The reason of a link's trouble is in outbox.status, that of what consumers return in
# outbox.queue_status.  If it lasts, a message is suspected, and its queue has the reason.
sub said
{
	my ($queue) = @_;
	return status($node, $db, 'why') . ($queue ne 'c' ? '' : ask($node, $db, "SELECT ' ' || coalesce(why, '') FROM outbox.queue_status WHERE queue = 'c'"));
}

for my $request (@requests)
{
	my ($name, $pattern, $allowed, $queue) = @$request;
	my $impostor = OutboxTest::Impostor->start($redis->socket, $pattern,
		sub { return -e $told ? PostgreSQL::Test::Utils::slurp_file($told) : undef });

	configure($node, 'outbox.redis_url' => 'redis://:secret@127.0.0.1:' . $impostor->port . '/0');
	eventually { status($node, $db, 'state') eq 'running' } "$name: Redis answers";
	for my $type (grep { !/$allowed/ } sort keys %types)
	{
		answer($types{$type});
		# everybody connects again, the test's own client as well
		eval { $redis->client->cmd('CLIENT', 'KILL', 'TYPE', 'normal') };
		delete $redis->{own};
		put($node, $db, $queue, "$name: $type");
		$queue eq 'r' ? $refused++ : $n++;
		eventually { said($queue) =~ /unexpected reply|Protocol error|deep/ } "$name, $type: status says so";
		unlink $told or die "$told: $!";
		eventually { status($node, $db, 'state') eq 'running' } "$name, $type: it runs when Redis answers";
	}
	push @impostors, $impostor;
}
eventually { $redis->count('q') + $redis->count('c') == $n } 'all have arrived, each once';
$redis->cmd('DEL', 'r');
eventually { $redis->count('r') == $refused } 'and those that were tried again';
eventually { status($node, $db, 'delivered') == $n + $refused } 'as many are counted';
is($node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters'), 0, 'none was given up');

$_->stop for @impostors;
done_testing();
