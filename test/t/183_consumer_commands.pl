# Copyright (c) 2026, the outbox developers
#
# Promise: what consumers return costs Redis a few commands for many queues, and
# is read soon from each of them, however much one of them has.  Guards the looks of
# relay/consumers/streams.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use POSIX qw(ceil);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $queues = 300;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'other');
$node->safe_psql($db, "SELECT count(create_queue('q' || i, on_failure => 'dead_letter', consumer_retry => true)) FROM generate_series(1, $queues) AS i");

# One entry for each queue, some at once, by a script.
sub give_to_each
{
	my ($error, $from, $to) = @_;
	return $redis->cmd('EVAL', q{for i = tonumber(ARGV[2]), tonumber(ARGV[3]) do
		redis.call('XADD', 'q' .. i .. ':dead', '*', 'payload', ARGV[1], 'id', string.format('00000000-0000-7000-8000-%012d', i), 'error', ARGV[1]) end}, 0, $error, $from, $to);
}

give_to_each('first', 1, $queues);
eventually { letters($node, $db, 'count(DISTINCT queue)', "last_error = 'first'") == $queues } 'each queue is read';

# Nothing is returned: 64 queues are looked at by one command, ten times a second.
sub commands
{
	my %n = $redis->cmd('INFO', 'commandstats') =~ /^cmdstat_([^:]+):calls=(\d+)/mg;
	delete @n{qw(info eval)};
	return \%n;
}
my $looks = ceil($queues / 64);
my ($reads, $start);
eventually {
	($reads, $start) = ($redis->calls('xread'), time) unless defined $reads;
	my $before = commands();
	my $t = time;
	wait_for { $redis->calls('xread') >= $before->{xread} + 10 * $looks };
	my $after = commands();
	my $limit = $looks * (10 * (time - $t) + 2);
	my $n = $after->{xread} - $before->{xread};
	note("$n looks in ", time - $t, " s, at most $limit");
	my $others = 0;
	$others += $after->{$_} - ($before->{$_} // 0) for grep { $_ ne 'xread' } keys %$after;
	$n <= $limit && $others < $n;
} "$looks commands for $queues queues, ten times a second";

# One queue has very much; the others don't wait for it.
$redis->cmd('EVAL', q{for i = 1, 3000 do redis.call('XADD', 'q7:dead', '*', 'payload', i, 'error', 'hot') end}, 0);
give_to_each('second', 8, $queues);
eventually { letters($node, $db, 'count(DISTINCT queue)', "last_error LIKE '%second'") == $queues - 7 } 'the others are read';
eventually { letters($node, $db, 'count(*)', "queue = 'q7' AND last_error LIKE '%hot%' OR queue = 'q7' AND last_error LIKE '%malformed%'") == 3000 } 'all of the one is read, too';
is(letters($node, $db, "max(dead_at) FILTER (WHERE last_error LIKE '%second') < max(dead_at) FILTER (WHERE queue = 'q7')"), 't', 'later');

# After the busy time all are looked at together again, though each has been read at
# a time of its own.
for my $i (1 .. 20)
{
	give_to_each("alone $i", $i * 10, $i * 10);
	wait_for { letters($node, $db, 'count(*)', "last_error LIKE '%alone $i'") eq '1' } or die "queue $i is not read\n";
}
at_best
{
	my ($before, $t) = ($redis->calls('xread'), time);
	wait_for { $redis->calls('xread') >= $before + 10 * $looks };
	my $n = $redis->calls('xread') - $before;
	$n / ($looks * (10 * (time - $t) + 2))
}
1.01, 'then it is as before: looks, of those that may be';

# Queues come and go.
$node->safe_psql($db, q{SELECT create_queue('late', on_failure => 'dead_letter', consumer_retry => true); SELECT outbox_drop_queue('q1', true)});
$redis->cmd('XADD', 'late:dead', '*', 'payload', 'late', 'error', 'e');
eventually { letters($node, $db, 'count(*)', "queue = 'late'") eq '1' } 'a new one';
is(log_of($node) =~ /WARNING:.*cannot read/ ? 1 : 0, 0, 'no trouble on the way');

done_testing();
