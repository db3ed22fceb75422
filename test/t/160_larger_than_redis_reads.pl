# Copyright (c) 2026, the outbox developers
#
# Promise: a message that Redis doesn't read at all, as it is larger than its
# proto-max-bulk-len, is its queue's trouble, by the queue's policy (I8).  All other
# messages arrive, in order, each once, and the link that the other queues share
# is left alone.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start('proto-max-bulk-len' => '1mb');
# What is repeated is logged at DEBUG1.
my $node = new_node('main', redis => $redis, conf => "outbox.max_message_size = '8MB'\nlog_min_messages = debug1\n");
my $db = 'postgres';
install_keyed($node, $db);
$node->safe_psql($db, "SELECT create_queue('good')");
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => '$_', max_attempts => 2,"
	  . " retry_delay => '100 ms', retry_backoff => 1)") for qw(block retry dead_letter);

sub put_large
{
	my ($queue) = @_;
	return $node->safe_psql($db, "SELECT outbox_enqueue('$queue', repeat('x', 3000000))");
}

# Connections of the relay by the order in which they were made.
sub connections
{
	return sort { $a <=> $b } map { /^id=(\d+) .* name=outbox / ? $1 : () } split /\n/, $redis->cmd('CLIENT', 'LIST');
}


my %large;
for my $queue (qw(block retry dead_letter))
{
	put_keyed($node, $db, $queue, undef, map { "before $_" } 1 .. 5);
	$large{$queue} = put_large($queue);
	put_keyed($node, $db, $queue, undef, map { "behind $_" } 1 .. 5);
}
my $good = 0;
for (1 .. 20)
{
	put($node, $db, 'good', 'good ' . ++$good);
}
eventually { $redis->last_of('good') eq "good $good" } 'another queue flows';
for my $queue (qw(retry dead_letter))
{
	eventually { $node->safe_psql($db, "SELECT id FROM outbox.dead_letters WHERE queue = '$queue'") eq $large{$queue} }
	"$queue: the large message is set aside";
	eventually { $redis->last_of($queue) eq 'behind 5' } "$queue: what is behind it arrives";
	is($redis->count($queue), 10, "$queue: so has all before it");
}
is($node->safe_psql($db, "SELECT string_agg(queue || ' ' || attempts, ', ' ORDER BY queue) FROM outbox.dead_letters"),
	'dead_letter 1, retry 2', 'as often as the policy says');
like($node->safe_psql($db, 'SELECT min(last_error) FROM outbox.dead_letters'), qr/^ERR the connection ends whenever this message is sent: /,
	'the reason says what happens');
eventually { queue_status($node, $db, 'block', 'why') =~ /^message $large{block}: the connection ends when it is sent/ }
'block: status names the message';
is($redis->last_of('block'), 'before 5', 'block: it stands still there');
is(status($node, $db, 'state'), 'running', 'the relay runs');
is(scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /outbox is waiting for Redis/g), 3,
	'the link that all share has ended once for each of them, as Redis says what it can not read');

# More tries of the queue that stands still: the shared link is left alone.
my ($shared) = connections();
my ($made) = $redis->cmd('INFO', 'stats') =~ /total_connections_received:(\d+)/;
eventually { ($redis->cmd('INFO', 'stats') =~ /total_connections_received:(\d+)/)[0] >= $made + 2 } 'it is tried again';
is((connections())[0], $shared, 'on connections of its own');

$redis->cmd('CONFIG', 'SET', 'proto-max-bulk-len', 512 * 1024 * 1024);
eventually { $redis->last_of('block') eq 'behind 5' } 'block: where Redis takes it, it arrives, and what is behind it';
is(join(' ', map { length > 100 ? 'large' : $_ } map { $_->[1] } $redis->arrived('block')),
	'before 1 before 2 before 3 before 4 before 5 large behind 1 behind 2 behind 3 behind 4 behind 5', 'block: in order, each once');
eventually { (my @left = connections()) == 1 } 'afterwards one connection is left';
put_large('dead_letter');
eventually { $redis->count('dead_letter') == 11 } 'and such a message is like any other';
settle($node, $db, $redis, 'good', 'block', 'retry', 'dead_letter');
is($redis->count('good'), $good + 1, 'nothing came twice');

done_testing();
