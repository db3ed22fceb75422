# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Watch: a test that stands still is ended, and says where it stood.
#
# The test runs in a child, forked before anything else is there, and its parent waits
# for it: ten minutes, which no test takes that still moves.  Then the test says what it
# is in the middle of, its processes are listed, and it is ended, as by a signal, so
# that it stops its servers; whatever is left is killed.
#
# prove waits until nobody can write to a test's standard output any more, thus for what
# a test has left behind, too.  Here this is a pipe to the parent, which waits some
# seconds only: what is left is killed, and the test has failed.

package OutboxTest::Watch;

use strict;
use warnings;
use Carp ();
use POSIX ();
use Time::HiRes qw(time);

our $seconds = 600;

# pid => [ parent, state and what it waits for, command ], of all processes.
sub _processes
{
	my %processes;
	for my $dir (glob '/proc/[0-9]*')
	{
		my ($pid) = $dir =~ /(\d+)$/;
		my ($state, $parent) = (_read("$dir/stat") // next) =~ /^\d+ \(.*\) (\S) (\d+)/s or next;
		my $command = _read("$dir/cmdline") // '';
		$command =~ tr/\0/ /;
		$processes{$pid} = [ $parent, $state . ' ' . (_read("$dir/wchan") // ''), substr $command, 0, 200 ];
	}
	return \%processes;
}

sub _read
{
	my ($file) = @_;
	open my $fh, '<', $file or return;
	local $/;
	return scalar <$fh>;
}

# A process and those that it has started, as lines.
sub _tree
{
	my ($processes, $pid, $indent) = @_;
	my $process = $processes->{$pid} or return;
	return ("# $indent$pid $process->[1] $process->[2]\n",
		map { _tree($processes, $_, "$indent  ") } grep { $processes->{$_}[0] == $pid } sort { $a <=> $b } keys %$processes);
}

# Who can write to a pipe of which this process has the other end.
sub _writers
{
	my ($fh) = @_;
	my $pipe = readlink '/proc/self/fd/' . fileno $fh;
	my %writers;
	for my $fd (glob '/proc/[0-9]*/fd/*')
	{
		next unless (readlink($fd) // '') eq $pipe;
		my ($pid) = $fd =~ m{^/proc/(\d+)/};
		$writers{$pid} = 1 if (_read($fd =~ s{/fd/}{/fdinfo/}r) // '') =~ /^flags:\s+\d*[1-3]$/m;
	}
	return sort { $a <=> $b } keys %writers;
}

# Passes on what comes until nobody can write any more (true), the child has ended and
# others can write seconds later, or the time is up.  How the child has ended is put into
# $status.
sub _pass_on
{
	my ($output, $child, $limit, $status) = @_;
	my $deadline = time + $limit;
	while (time < $deadline)
	{
		vec(my $ready = '', fileno $output, 1) = 1;
		if (select($ready, undef, undef, 0.5) > 0)
		{
			my $n = sysread($output, my $bytes, 65536) // next;
			return 1 if $n == 0;
			print $bytes;
		}
		elsif (!defined $$status && waitpid($child, POSIX::WNOHANG()) == $child)
		{
			$$status = $?;
			$deadline = time + 3 if $deadline > time + 3;
		}
	}
	return 0;
}

sub _watch
{
	my ($child, $output) = @_;
	my $status;
	$SIG{$_} = sub { kill $_[0], $child } for qw(INT TERM HUP);
	$| = 1;

	my $ended = _pass_on($output, $child, $seconds, \$status);
	if (!$ended && !defined $status)
	{
		print STDERR "# $0 stands still for $seconds s:\n", _tree(_processes(), $child, '');
		kill 'USR1', $child;
		kill 'TERM', $child;
		$ended = _pass_on($output, $child, 60, \$status);
		kill 'KILL', $child unless defined $status;
	}
	if (!defined $status)
	{
		waitpid $child, 0;
		$status = $?;
	}
	my $processes = _processes();
	for my $pid ($ended ? () : _writers($output))
	{
		my (undef, $state, $command) = @{ $processes->{$pid} // [] };
		print STDERR "# $0 has left a process: $pid $state $command\n";
		kill 'KILL', $pid;
	}
	$status ||= 1 << 8 unless $ended;
	POSIX::_exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
}

sub import
{
	pipe my $output, my $input or die "no pipe: $!";
	my $child = fork // die "could not fork: $!";
	if ($child)
	{
		close $input;
		return _watch($child, $output);
	}
	close $output;
	open STDOUT, '>&', $input or die "could not redirect: $!";
	$SIG{USR1} = sub { print STDERR Carp::longmess('# the test is here') };
	return;
}

1;
