# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Partitions: which partition a key belongs to, by a table of CRC16 and not
# by outbox's code.

package OutboxTest::Partitions;

use strict;
use warnings;
use Exporter 'import';
use OutboxTest;
use Test::More;

our @EXPORT = qw(crc16 slot key_for audit_partitions);

my @table;
for my $byte (0 .. 255)
{
	my $crc = $byte << 8;
	$crc = $crc & 0x8000 ? ($crc << 1) ^ 0x1021 : $crc << 1 for 1 .. 8;
	push @table, $crc & 0xffff;
}

sub crc16
{
	my ($bytes) = @_;
	my $crc = 0;
	$crc = (($crc << 8) & 0xffff) ^ $table[ ($crc >> 8) ^ $_ ] for unpack 'C*', $bytes;
	return $crc;
}

# The slot of a key that is all tag.
sub slot { my ($tag) = @_; return crc16($tag) % 16384; }

# A key that belongs to a partition.
sub key_for
{
	my ($partition, $of) = @_;
	my $n = 0;
	$n++ until crc16("key$n") % $of == $partition;
	return "key$n";
}

# What audit() of OutboxTest does with queues, with queues that have partitions, all of
# whose messages have keys: a name and their number each, 0 for a queue that has none.  A
# partition's messages are all in order, as a queue's are.  The key is the body's first word.
my $marks = 0;

sub audit_partitions
{
	my ($node, $db, $redis, $partitions, $at_least, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (@marks, %got);
	$marks++;
	for my $queue (sort keys %$partitions)
	{
		my $of = $partitions->{$queue};
		push @marks, $of ? map { [ $queue, key_for($_, $of), "{$queue:$_}" ] } 0 .. $of - 1 : [ $queue, 'key', $queue ];
	}
	$node->safe_psql($db, join '', map { "SELECT put_key('$_->[0]', '$_->[1]', '$_->[1] mark $marks');\n" } @marks);
	for my $mark (@marks)
	{
		my (undef, $key, $stream) = @$mark;
		wait_for { grep { $_->[1] eq "$key mark $marks" } $redis->arrived($stream) }
		  or fail("the last message has arrived in $stream");
		$got{$stream} = [ $redis->arrived($stream) ];
	}
	my @journal = @{ journal($node, $db) };
	for my $row (@journal)
	{
		my ($key) = split / /, $row->{body};
		my $of = $partitions->{ $row->{queue} } or next;
		$row->{queue} = sprintf '{%s:%d}', $row->{queue}, crc16($key) % $of;
	}
	my @faults = OutboxTest::Checker::faults(\@journal, \%got);
	push @faults, 'only ' . @journal . ' messages, too few for this test' if @journal < $at_least;
	ok(!@faults, $name) or diag(scalar @faults, " faults:\n", join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
	note(scalar @journal, ' messages');
	return;
}

1;
