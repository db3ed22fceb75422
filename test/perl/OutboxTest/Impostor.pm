# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Impostor: a server in front of a unix socket of Redis that answers
# one command by itself, and leaves the others to Redis.
#
# The command isn't executed: a server that says so and has done nothing.  Which
# command it is: its name, or a pattern that its bytes have.  What it answers: some
# bytes; or a function that is called with the client's socket and returns what
# else there is to say (undef: let Redis answer), or dies, which closes the connection.

package OutboxTest::Impostor;

use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();

my @impostors;

sub start
{
	my ($class, $upstream, $command, $answer) = @_;
	my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0)
	  or die "could not listen: $!";
	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		$SIG{TERM} = $SIG{INT} = 'DEFAULT';    # not the END blocks of the test
		$SIG{CHLD} = 'IGNORE';
		$SIG{PIPE} = 'IGNORE';
		setpgrp;
		while (my $client = $listen->accept)
		{
			next if fork;
			eval { _serve($client, IO::Socket::UNIX->new($upstream), $command, $answer) };
			POSIX::_exit(0);
		}
		POSIX::_exit(0);
	}
	my $self = bless { pid => $pid, port => $listen->sockport }, $class;
	push @impostors, $self;
	return $self;
}

sub port { return $_[0]{port}; }

sub stop
{
	my ($self) = @_;
	kill '-TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	@impostors = grep { $_ != $self } @impostors;
	return;
}

# One command or one reply, as the bytes that it came in; the first argument of a
# command apart.
sub _read
{
	my ($from) = @_;
	my $line = <$from> // die "gone\n";
	my ($type, $n) = $line =~ /^(.)(-?\d*)/;
	my ($bytes, $first) = ($line, undef);

	if ($type eq '$' && $n >= 0)
	{
		read($from, my $value, $n + 2) == $n + 2 or die "gone\n";
		return ($bytes . $value, substr($value, 0, $n));
	}
	for (my $i = 0; $type eq '*' && $i < $n; $i++)
	{
		my ($element, $value) = _read($from);
		$bytes .= $element;
		$first //= $value;
	}
	return ($bytes, $first);
}

sub _serve
{
	my ($client, $redis, $command, $answer) = @_;
	$_->autoflush(1) for $client, $redis;
	while (1)
	{
		my ($bytes, $name) = _read($client);
		if (ref $command eq 'Regexp' ? $bytes =~ $command : uc $name eq uc $command)
		{
			my $said = ref $answer ? $answer->($client) : $answer;
			print {$client} $said // '';
			next if defined $said;
		}
		print {$redis} $bytes;
		my ($reply) = _read($redis);
		print {$client} $reply;
	}
	return;
}

END { local $?; my @all = @impostors; $_->stop for @all; }

1;
