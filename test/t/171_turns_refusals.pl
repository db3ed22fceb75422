# Copyright (c) 2026, the outbox developers
#
# Promise: no turn of the relay's loop takes more than 50 ms of its CPU time (I8).
# Here: refused messages, which are recorded a few at a time; and at once if nobody
# else has anything to send.  And when nothing is left to do the relay sleeps.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db);

sub create
{
	my ($queue, $policy) = @_;
	$node->safe_psql($db, "SELECT create_queue('$queue', on_failure => '$policy',"
		  . ' max_attempts => 2, retry_delay => \'1 hour\', retry_max_delay => \'1 hour\')');
	return;
}

sub put_many
{
	my ($queue, $n, $key) = @_;
	$node->safe_psql($db, "SELECT count(outbox_enqueue('$queue', 'x', key => $key)) FROM generate_series(1, $n) AS i");
	return;
}

# How many of a queue's messages have been dealt with.
sub recorded
{
	my ($queue) = @_;
	return ask($node, $db, "SELECT retrying + dead_letters FROM outbox.queue_status WHERE queue = '$queue'") || 0;
}

# For how many seconds a process has run or waited for a processor.
sub awake
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/schedstat" or die "no schedstat: $!";
	my ($ran, $waited) = split ' ', <$fh>;
	return ($ran + $waited) / 1e9;
}

# Refused one by one, or waiting behind the first of their key.
for my $case ([ 'retry', 'NULL' ], [ 'retry', q{'k'} ], [ 'dead_letter', 'NULL' ])
{
	my ($policy, $key) = @$case;
	my $number = 0;
	short_turns
	{
		my ($n) = @_;
		my $queue = sprintf 'q%d %s %s', ++$number, $policy, $key eq 'NULL' ? 'alone' : 'key';
		create($queue, $policy);
		refuse($redis, $queue);
		put_many($queue, $n, $key);
		eventually { recorded($queue) == $n } "all are recorded: $queue";
		my $rows = ask($node, $db, q{SELECT max(rows) FROM outbox.longest_turns WHERE step = 'refusals'});
		cmp_ok($rows || 0, '<=', 32, 'some in a turn');
	}
	1000, $node, $db, "$policy, key $key";
}

# Alone, a queue that is refused everything need not pause after refusals: pauses are
# for the sake of others.  With them the relay would sleep nine tenths of the time.
# Redis is asked how far it is, as the view makes the relay count.
create('alone', 'retry');
refuse($redis, 'alone');
my $pid = relay_pid($node, $db);
put_many('alone', 1, 'NULL');
eventually { recorded('alone') == 1 } 'one is refused';
my $cursor = $redis->cmd('KEYS', '{alone}:outbox:*')->[0];
at_best
{
	my $before = $redis->cmd('HLEN', $cursor);
	my $awake = awake($pid);
	my $took = seconds
	{
		put_many('alone', 5_000, 'NULL');
		wait_for { $redis->cmd('HLEN', $cursor) == $before + 5_000 };
	};
	$took / (awake($pid) - $awake + 0.01);
}
3, 'alone, time for each second awake:';

# What takes long to record, then nothing: the relay sleeps.  It would be awake until it
# is sent something again, as it is by the next look at a cursor.
configure($node, 'outbox.retention' => '1h');
create('large', 'retry');
refuse($redis, 'large');
my @parts;
for my $round (1 .. 5)
{
	$node->safe_psql($db, q{SELECT count(outbox_enqueue('large', repeat(md5(i::text), 10000))) FROM generate_series(1, 10) AS i});
	eventually { recorded('large') == 10 * $round } "round $round: all are recorded";
	my $awake = awake($pid);
	my $took = seconds { $node->safe_psql($db, 'SELECT pg_sleep(0.3)') };
	push @parts, (awake($pid) - $awake) / $took;
}
@parts = sort { $a <=> $b } @parts;
cmp_ok($parts[2], '<', 0.5, "most of the time the relay sleeps: @parts");

done_testing();
