# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Proxy: a TCP proxy in front of a unix socket, or of host:port, that
# cuts connections after an exact number of bytes.
#
# The client side of a cut connection gets a reset (SO_LINGER 0).  The server
# side gets an ordinary end of file and is then drained: so the server really
# executes all that was forwarded, and a cut in the direction of the replies
# is the case in which work was done and the answer was lost.
#
# A plan is a list of cuts, [ 'c2s' | 's2c' | 'late', bytes ], used up one after
# the other; bytes are counted over all connections since the cut before.
# After the last one everything passes.  A cut of the third kind is like "c2s",
# but what the client had sent beyond it is kept, and reaches the server when
# release() is called: a packet that was long on its way, or a dead client's
# last words.  [ 'at', WORD ] is such a cut before the first bytes in which the
# client says that word.  release_at(WORD) releases when the next client has said
# another word and the server has answered, before the client sees the answer.
#
# The proxy is a child process: the tests block in psql while it works.

package OutboxTest::Proxy;

use strict;
use warnings;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR AF_UNIX SOCK_STREAM PF_UNSPEC);

my @proxies;

sub start
{
	my ($class, $upstream) = @_;
	my $listen = IO::Socket::INET->new(
		Listen => 64,
		LocalAddr => '127.0.0.1',
		LocalPort => 0) or die "could not listen: $!";
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
	  or die "socketpair: $!";

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		close $ours;
		$SIG{PIPE} = 'IGNORE';
		eval { _serve($listen, $theirs, $upstream); 1 } or print STDERR "proxy: $@";
		POSIX::_exit(0);    # not the END blocks of the test
	}
	close $theirs;
	my $self = bless { pid => $pid, control => $ours, port => $listen->sockport }, $class;
	push @proxies, $self;
	return $self;
}

sub port { return $_[0]{port}; }

# Replace the plan.
sub plan
{
	my ($self, @cuts) = @_;
	return $self->_ask(join ' ', 'plan', map { @$_ } @cuts);
}

# Let the server have what was kept.
sub release { my ($self) = @_; return $self->_ask('release'); }

sub release_at { my ($self, $word) = @_; return $self->_ask("release_at $word"); }

# All that servers say is forwarded so many milliseconds later.
sub slow { my ($self, $ms) = @_; return $self->_ask("slow $ms"); }

# Keep back what servers say, and count a word in what clients say; go on with it.
sub hold { my ($self, $word) = @_; return $self->_ask("hold $word"); }
sub go_on { my ($self) = @_; return $self->_ask('go_on'); }

# cuts: made so far; planned: still to come; connections: accepted so far;
# c2s, s2c: bytes forwarded so far; words: counted since hold().
sub stat
{
	my ($self) = @_;
	my %stat;
	@stat{qw(cuts planned connections c2s s2c words)} = split ' ', $self->_ask('stat');
	return \%stat;
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	waitpid delete $self->{pid}, 0;
	return;
}

sub _ask
{
	my ($self, $question) = @_;
	syswrite $self->{control}, "$question\n";
	my $answer = readline $self->{control};
	die "the proxy is gone\n" unless defined $answer;
	chomp $answer;
	return $answer;
}

END
{
	my $status = $?;
	$_->stop for @proxies;
	$? = $status;
}

# In the child from here on.

my (%stat, @plan);    # of this proxy
my %peer;             # socket => [ the other side, direction, pair's client ]
my @late;             # [ server, bytes ]
my ($release_at, $answers) = ('', '');    # a word; the server that is to answer it
my ($slow, $word, $said) = (0, '', '');    # seconds; what is counted, in what was said
my $select;

sub _serve
{
	my ($listen, $control, $upstream) = @_;

	%stat = (cuts => 0, connections => 0, c2s => 0, s2c => 0);
	$select = IO::Select->new($listen, $control);
	while (1)
	{
		for my $fh ($select->can_read)
		{
			if ($fh == $listen) { _accept($listen, $upstream); }
			elsif ($fh == $control) { _obey($control) or return; }
			elsif ($select->exists($fh)) { _forward($fh); }
		}
	}
}

sub _obey
{
	my ($control) = @_;
	my $line = readline $control;
	return 0 unless defined $line;    # the test is gone
	my ($verb, @args) = split ' ', $line;
	if ($verb eq 'plan')
	{
		@plan = ();
		push @plan, [ splice @args, 0, 2 ] while @args;
	}
	elsif ($verb eq 'release')
	{
		_release();
	}
	elsif ($verb eq 'release_at')
	{
		$release_at = $args[0];
	}
	elsif ($verb eq 'slow')
	{
		$slow = $args[0] / 1000;
	}
	elsif ($verb eq 'hold')
	{
		($word, $said) = ($args[0], '');
		$select->remove(_servers());
	}
	elsif ($verb eq 'go_on')
	{
		$word = '';
		$select->add(_servers());
	}
	my @words = $word eq '' ? () : $said =~ /$word/g;
	syswrite $control,
	  join(' ', $stat{cuts}, scalar @plan, @stat{qw(connections c2s s2c)}, scalar @words) . "\n";
	return 1;
}

sub _servers { return map { $_->[0] } grep { $_->[1] eq 'c2s' } values %peer; }

sub _release
{
	_write(@$_) and shutdown($_->[0], SHUT_WR) for splice @late;
	return;
}

# What was kept has its effect before the client sees the answer to its word.
sub _release_before_answer
{
	my ($from, $direction, $bytes) = @_;

	if ($direction eq 'c2s' && $release_at ne '' && index($bytes, $release_at) >= 0)
	{
		($release_at, $answers) = ('', $peer{$from}[0]);
	}
	elsif ($direction eq 's2c' && $answers eq $from)
	{
		my @servers = map { $_->[0] } @late;
		_release();
		sysread $_, my $answer, 65536 for @servers;
		$answers = '';
	}
	return;
}

sub _accept
{
	my ($listen, $upstream) = @_;
	my $client = $listen->accept or return;
	my $server = $upstream =~ m{^/} ? IO::Socket::UNIX->new(Peer => $upstream) : IO::Socket::INET->new($upstream);
	return unless $server;    # nobody there: the client sees the end
	$stat{connections}++;
	$peer{$client} = [ $server, 'c2s', $client ];
	$peer{$server} = [ $client, 's2c', $client ];
	$select->add($client, $server);
	return;
}

sub _forward
{
	my ($from) = @_;
	my ($to, $direction, $client) = @{ $peer{$from} // [] };
	my $n = sysread $from, my $bytes, 65536;

	if (!defined $to)    # a cut connection's server, being drained
	{
		_forget($from) unless $n;
		return;
	}
	return _end($client, 0) unless $n;

	_release_before_answer($from, $direction, $bytes);
	my $kind = @plan ? $plan[0][0] : '';
	if ($kind eq 'at')
	{
		return _write($to, $bytes) || _end($client, 0)
		  unless $direction eq 'c2s' && index($bytes, $plan[0][1]) >= 0;
		$plan[0] = [ $kind = 'late', 0 ];
	}
	my $counts = $kind eq $direction || $kind eq 'late' && $direction eq 'c2s';
	my $cut = $counts && $n >= $plan[0][1];
	my $rest = $cut ? substr $bytes, $plan[0][1], $n, '' : '';
	$plan[0][1] -= $n if $counts && !$cut;
	$stat{$direction} += length $bytes;
	$said .= $bytes if $word ne '' && $direction eq 'c2s';
	select undef, undef, undef, $slow if $slow > 0 && $direction eq 's2c';
	_write($to, $bytes) or return _end($client, 0);
	return unless $cut;
	shift @plan;
	$stat{cuts}++;
	return _end($client, 1) unless $kind eq 'late';

	# The rest of what the client is about to say.
	1 while IO::Select->new($client)->can_read(0.05)
	  && sysread $client, $rest, 65536, length $rest;
	push @late, [ $to, $rest ];
	return _end($client, 1, 1);
}

sub _write
{
	my ($to, $bytes) = @_;
	while (length $bytes)
	{
		my $written = syswrite $to, $bytes;
		return 0 unless $written;
		substr $bytes, 0, $written, '';
	}
	return 1;
}

sub _end
{
	my ($client, $reset, $more) = @_;
	my $server = $peer{$client}[0];

	setsockopt $client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
	_forget($client);
	delete $peer{$server};    # still selected: drained to its end
	shutdown $server, SHUT_WR unless $more;
	return;
}

sub _forget
{
	my ($fh) = @_;
	$select->remove($fh);
	delete $peer{$fh};
	close $fh;
	return;
}

1;
