# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Redis: a private redis-server, and a client for it.
#
# The server lives in a temporary directory and listens on a unix socket only,
# so tests run side by side without choosing ports.  It is forked and not
# daemonized: its pid is ours to stop, continue and kill.  It starts without
# any persistence unless asked, because most tests want an outage to lose
# nothing but time, or everything.
#
# The client speaks RESP2 in bytes.  It is here so that the tests need nothing
# from CPAN, and so that nothing between the socket and the comparison can
# repair an encoding.  Error replies are values (see try) or exceptions (cmd).

package OutboxTest::Redis;

use strict;
use warnings;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time sleep);

my @servers;

# config: a hash of redis-server directives, added to the few below; a list is
# a directive with several values.
sub start
{
	my ($class, %config) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless { dir => $dir, config => \%config }, $class;

	register($self);
	$self->_launch;
	return $self;
}

# A server that others can be replicas of: these need a port.
sub start_primary
{
	my ($class, %config) = @_;
	return $class->start(port => PostgreSQL::Test::Cluster::get_free_port(),
		'repl-diskless-sync-delay' => 0, %config);
}

# A replica of it, which has got what there is, and which could be a primary.
sub start_replica
{
	my ($self, %config) = @_;
	my $replica = ref($self)->start_primary(%config);
	$replica->follow($self);
	return $replica;
}

sub follow
{
	my ($self, $primary) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	$self->cmd('REPLICAOF', '127.0.0.1', $primary->{config}{port});
	until ($self->cmd('INFO', 'replication') =~ /master_link_status:up/)
	{
		die "the replica does not get to its primary\n" if time > $deadline;
		sleep 0.01;
	}
	return;
}

# Its process is ended with the test.
sub register { push @servers, $_[0]; return; }

# What the server is started with.
sub _command
{
	my ($self) = @_;
	my %config = (
		port => 0,
		unixsocket => $self->socket,
		dir => $self->{dir},
		save => '',
		%{ $self->{config} });
	return map { ("--$_", ref $config{$_} ? @{ $config{$_} } : $config{$_}) } sort keys %config;
}

sub _launch
{
	my ($self) = @_;
	my @command = split ' ', $ENV{OUTBOX_REDIS_SERVER} || 'redis-server';
	my $log = "$self->{dir}/redis.log";

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		# The Cluster module keeps files open that must not leak into a
		# server that outlives a crash of the test; exec closes them.
		exec @command, $self->_command
		  or POSIX::_exit(127);
	}
	$self->{pid} = $pid;

	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $answers = $self->{loads_slowly} ? qr/LOADING/ : qr/PONG|NOAUTH/;
	until (eval { ($self->client->try('PING') // '') =~ $answers })
	{
		if (waitpid($pid, POSIX::WNOHANG()) == $pid)
		{
			undef $self->{pid};
			die "\"@command\" did not start (is redis-server installed? set"
			  . " OUTBOX_REDIS_SERVER): "
			  . PostgreSQL::Test::Utils::slurp_file($log) . "\n";
		}
		die "redis-server does not answer\n" if time > $deadline;
		sleep 0.01;
	}
	return;
}

sub dir { return $_[0]{dir}; }
sub pid { return $_[0]{pid}; }
sub socket { return "$_[0]{dir}/redis.sock"; }

# The URL of this server, as the extension wants it.
sub url
{
	my ($self, $db) = @_;
	return 'unix://' . $self->socket . '?db=' . ($db // 0);
}

sub _reap
{
	my ($self, $signal) = @_;
	return unless $self->{pid};
	kill $signal, $self->{pid};
	waitpid $self->{pid}, 0;
	delete @$self{qw(pid own paused)};
	return;
}

# Killed between two system calls and not within one: a write to the AOF that
# is cut short leaves half a script in the file, and Redis runs that half at the
# start after the next (valkey-io/valkey#4342).  See cut_aof.
sub kill9
{
	my ($self) = @_;
	$self->pause if $self->{pid};
	return $self->_reap('KILL');
}

sub stop { my ($self) = @_; return $self->_reap('TERM'); }

# When this returns, the server stands still.
sub pause
{
	my ($self) = @_;
	my $stat = '';
	kill 'STOP', $self->{pid};
	$self->{paused} = 1;
	until ($stat =~ /^.*\) [TZ]/s)
	{
		open my $fh, '<', "/proc/$self->{pid}/stat" or last;
		$stat = <$fh> // last;
	}
	return;
}
sub resume { my ($self) = @_; delete $self->{paused}; return kill 'CONT', $self->{pid}; }

# An ordinary stop: it writes down all it has.
sub stop_saved
{
	my ($self) = @_;
	$self->{own} //= $self->client;
	$self->{own}->send('SHUTDOWN', 'SAVE');
	waitpid $self->{pid}, 0;
	delete @$self{qw(pid own)};
	return;
}

# Start the server again with the files that it has left behind.
sub start_again { my ($self) = @_; return $self->_launch; }

# The same with a server that loads its files for minutes and says so, until
# load_quickly().
sub start_loading
{
	my ($self) = @_;
	local $self->{config} = { %{ $self->{config} },
		'key-load-delay' => 10_000, 'loading-process-events-interval-bytes' => 1024 };
	local $self->{loads_slowly} = 1;
	return $self->_launch;
}

sub load_quickly { my ($self) = @_; return $self->cmd('CONFIG', 'SET', 'key-load-delay', 0); }

# The end of the machine, for a server that has been killed: the last of its
# AOF, so many bytes, never reached the disk.  Then what an administrator does
# before starting it again, see docs/guarantees.md.
sub cut_aof
{
	my ($self, $bytes) = @_;
	my ($file) = glob "$self->{dir}/appendonlydir/*.incr.aof";

	$file //= "$self->{dir}/appendonly.aof";    # Redis 6.2
	truncate $file, (-s $file) - $bytes or die "could not cut $file: $!";
	my $said = `echo y | redis-check-aof --fix '$file' 2>&1`;
	die "redis-check-aof: $said" if $?;
	return $said;
}

# Start the server again as a new one.
sub start_empty
{
	my ($self) = @_;
	unlink "$self->{dir}/dump.rdb";
	return $self->_launch;
}

# Write everything to an RDB file and keep a copy of it ...
sub remember
{
	my ($self) = @_;
	$self->cmd('SAVE');
	system('cp', "$self->{dir}/dump.rdb", "$self->{dir}/old.rdb") == 0
	  or die "could not copy dump.rdb";
	return;
}

# ... and come back as the server that was killed then.
sub come_back_as_remembered
{
	my ($self) = @_;
	$self->kill9;
	rename "$self->{dir}/old.rdb", "$self->{dir}/dump.rdb"
	  or die "could not restore dump.rdb: $!";
	return $self->_launch;
}

# With appendonly, Redis writes down what it has done before it answers, so
# that kill -9 loses nothing.  How much it has written so far ...
sub written
{
	my ($self) = @_;
	my ($file) = $self->_written_file or return 0;
	return -s $file;
}

# ... and come back as the server that had written no more than that.
sub come_back_as_of
{
	my ($self, $size) = @_;
	$self->kill9;
	truncate +($self->_written_file)[0], $size or die "could not truncate: $!";
	return $self->_launch;
}

sub _written_file { return glob "$_[0]{dir}/appendonlydir/*.incr.aof"; }

# A new connection; each test may have several (SUBSCRIBE, a slow reader).
sub client
{
	my ($self) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $self->socket)
	  or die "could not connect to redis: $!\n";
	my $client = bless { socket => $socket, buf => '', pos => 0 },
	  'OutboxTest::Redis::Client';
	$client->cmd('AUTH', $self->{config}{requirepass})
	  if defined $self->{config}{requirepass};
	return $client;
}

# The same, on a connection that is kept until the server ends.
sub cmd
{
	my ($self, @args) = @_;
	$self->{own} //= $self->client;
	return $self->{own}->cmd(@args);
}

# The entries of a stream: [ entry id, [ field, value, ... ] ], ...
sub entries { my ($self, $key) = @_; return @{ $self->cmd('XRANGE', $key, '-', '+') }; }

# What arrived at a stream or list of raw payloads, in order: [ message id,
# payload ] each; the id of a list element is unknown.
sub arrived
{
	my ($self, $key) = @_;
	return map { my %f = @{ $_->[1] }; [ @f{qw(id payload)} ] } $self->entries($key);
}

# The payload of what arrived last; empty while nothing has.
sub last_of
{
	my ($self, $key) = @_;
	my @arrived = $self->arrived($key);
	return @arrived ? $arrived[-1][1] : '';
}

# How many entries a stream holds; 0 when there is none.
sub count { my ($self, $key) = @_; return $self->cmd('XLEN', $key); }

# How often a command ran since the server started, in scripts or outside.
sub calls
{
	my ($self, $command) = @_;
	my ($n) = $self->cmd('INFO', 'commandstats') =~ /^cmdstat_\Q$command\E:calls=(\d+)/mi;
	return $n // 0;
}

# Which connection is a relay's: all but our own ones.
sub drop_clients
{
	my ($self) = @_;
	return $self->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
}

END
{
	my $status = $?;
	$_->_reap('KILL') for @servers;
	$? = $status;
}

package OutboxTest::Redis::Error;
use overload '""' => sub { ${ $_[0] } }, fallback => 1;

package OutboxTest::Redis::Client;

use strict;
use warnings;
use Errno ();
use IO::Select;
use Time::HiRes qw(time);

# Give up on a reply that does not come: a hung server must fail the test.
our $timeout = $PostgreSQL::Test::Utils::timeout_default;

sub cmd
{
	my ($self, @args) = @_;
	my $reply = $self->try(@args);
	die "redis says to $args[0]: $reply\n" if ref $reply eq 'OutboxTest::Redis::Error';
	return $reply;
}

sub try
{
	my ($self, @args) = @_;
	$self->send(@args);
	return $self->reply;
}

sub send
{
	my ($self, @args) = @_;
	my $out = '*' . @args . "\r\n";
	for my $arg (@args)
	{
		utf8::downgrade($arg);    # bytes only; dies otherwise
		$out .= '$' . length($arg) . "\r\n$arg\r\n";
	}
	while (length $out)
	{
		my $n = syswrite $self->{socket}, $out;
		next if !defined $n && $!{EINTR};
		die "redis: write: $!\n" unless defined $n;
		substr $out, 0, $n, '';
	}
	return;
}

sub _fill
{
	my ($self) = @_;
	if ($self->{pos} > 1 << 20)
	{
		substr $self->{buf}, 0, $self->{pos}, '';
		$self->{pos} = 0;
	}
	# A signal (a child that stops or goes on) may interrupt either call.
	my $deadline = time + $timeout;
	until (IO::Select->new($self->{socket})->can_read(0.1))
	{
		die "redis does not answer\n" if time > $deadline;
	}
	my $n;
	do { $n = sysread $self->{socket}, $self->{buf}, 1 << 18, length $self->{buf} }
	  until defined $n || !$!{EINTR};
	die 'redis: ' . (defined $n ? 'connection closed' : $!) . "\n" unless $n;
	return;
}

sub reply
{
	my ($self) = @_;
	my $end;
	$self->_fill while ($end = index $self->{buf}, "\r\n", $self->{pos}) < 0;
	my $kind = substr $self->{buf}, $self->{pos}, 1;
	my $rest = substr $self->{buf}, $self->{pos} + 1, $end - $self->{pos} - 1;
	$self->{pos} = $end + 2;

	return $rest if $kind eq '+' || $kind eq ':';
	return bless \$rest, 'OutboxTest::Redis::Error' if $kind eq '-';
	die "redis: reply of unknown kind \"$kind\"\n" unless $kind eq '$' || $kind eq '*';
	return undef if $rest < 0;
	return [ map { $self->reply } 1 .. $rest ] if $kind eq '*';

	$self->_fill while length($self->{buf}) < $self->{pos} + $rest + 2;
	my $bytes = substr $self->{buf}, $self->{pos}, $rest;
	$self->{pos} += $rest + 2;
	return $bytes;
}

1;
