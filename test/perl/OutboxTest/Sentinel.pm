# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Sentinel: a master, its replicas, and Sentinels that watch them.
#
# Sentinels know servers by port, so these listen on ports beside their unix
# sockets.  All of them are OutboxTest::Redis: each can be stopped, killed and
# started again.  A Sentinel keeps what it knows in its configuration file, so one
# that is started again knows the others and the present master.
#
# A server that comes back starts as a master, with whatever its files have: as
# one does that was a master when it was configured.  The Sentinels make a replica
# of it.

package OutboxTest::Sentinel;

use strict;
use warnings;
use PostgreSQL::Test::Cluster ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time sleep);
use OutboxTest::Redis;

our $master_name = 'mymaster';

# redis: directives of the servers, sentinel: those of the Sentinels, which may
# be lines in a list ("sentinel" too); replicas, sentinels: how many of them;
# host: as which the servers announce themselves; tls: files with a certificate, its
# key and a CA, and all connections are TLS.
sub start
{
	my ($class, %opt) = @_;
	my $host = $opt{host} // '127.0.0.1';
	my $self = bless { host => $host, redis => [], sentinels => [] }, $class;
	my %redis = (
		'repl-timeout' => 5,
		$host eq '127.0.0.1' ? () : ('replica-announce-ip' => $host),
		%{ $opt{redis} // {} });
	my @files = @{ $opt{tls} // [] };
	my %tls = @files ? ('tls-cert-file' => $files[0], 'tls-key-file' => $files[1], 'tls-ca-cert-file' => $files[2],
		'tls-replication' => 'yes', 'tls-auth-clients' => 'no') : ();

	$redis{masterauth} //= $redis{requirepass} if defined $redis{requirepass};
	push @{ $self->{redis} }, $self->_redis(%redis, %tls) for 0 .. $opt{replicas} // 2;
	my ($master, @replicas) = @{ $self->{redis} };
	$_->cmd('REPLICAOF', $host, $master->{port}) for @replicas;
	$self->_until('the replicas have a master', sub {
		!grep { $_->cmd('INFO', 'replication') !~ /^master_link_status:up/m } @replicas;
	});
	push @{ $self->{sentinels} },
	  OutboxTest::Sentinel::Server->start_for($self, $redis{requirepass}, %tls ? 'tls-port' : 'port',
		[ @{ $opt{sentinel} // [] }, map { "$_ $tls{$_}" } sort keys %tls ])
	  for 1 .. $opt{sentinels} // 3;
	$self->wait_complete;
	return $self;
}

sub _redis
{
	my ($self, %config) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $redis = OutboxTest::Sentinel::Redis->start_primary(bind => '127.0.0.1', %config,
		$config{'tls-cert-file'} ? (port => 0, 'tls-port' => $port) : (port => $port));
	$redis->{port} = $port;
	return $redis;
}

sub redis { return @{ $_[0]{redis} }; }
sub sentinels { return @{ $_[0]{sentinels} }; }

# The URL, as the extension wants it: scheme, user and password of the servers, parameters.
sub url
{
	my ($self, %opt) = @_;
	my $scheme = $opt{scheme} // 'redis+sentinel';
	my $login = defined $opt{login} ? "$opt{login}\@" : '';
	my $name = $opt{name} // $master_name;
	my $query = defined $opt{query} ? "?$opt{query}" : '';
	return "$scheme://$login" . join(',', map { "$self->{host}:$_->{port}" } $self->sentinels) . "/$name$query";
}

sub _until
{
	my ($self, $what, $true) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (eval { $true->() })
	{
		die "sentinel: $what: never\n" if time > $deadline;
		sleep 0.05;
	}
	return;
}

# What a Sentinel says of the master: a hash; empty if it does not answer.
sub says
{
	my ($self, $sentinel) = @_;
	my $reply = eval { $sentinel->cmd('SENTINEL', 'MASTER', $master_name) };
	return $reply ? @$reply : ();
}

# All Sentinels know all servers and each other, and nothing is going on: a
# failover can begin.
sub wait_complete
{
	my ($self) = @_;
	my $others = $self->sentinels - 1;
	my $replicas = $self->redis - 1;
	$self->_until('all are known and well', sub {
		for my $sentinel (grep { $_->{pid} } $self->sentinels)
		{
			my %says = $self->says($sentinel);
			return 0 unless $says{flags} eq 'master'
			  && $says{'num-other-sentinels'} == $others && $says{'num-slaves'} == $replicas;
			my @replicas = map { my %r = @$_; $r{flags} } @{ $sentinel->cmd('SENTINEL', 'REPLICAS', $master_name) };
			return 0 if grep { $_ ne 'slave' } @replicas;
		}
		my ($master, @servers) = $self->_by_role;
		return $master && !grep { $_->cmd('INFO', 'replication') !~ /^master_link_status:up/m } @servers;
	});
	return;
}

# The one master and the replicas; nothing if it is not clear.
sub _by_role
{
	my ($self) = @_;
	my (@masters, @replicas);
	for my $redis ($self->redis)
	{
		if ($redis->cmd('ROLE')->[0] eq 'master') { push @masters, $redis; }
		else { push @replicas, $redis; }
	}
	return @masters == 1 ? (@masters, @replicas) : ();
}

# The server that most of the living Sentinels name and that says so itself; nothing
# if there is none now.
sub master_now
{
	my ($self) = @_;
	my %votes;
	for my $sentinel (grep { $_->{pid} && !$_->{paused} } $self->sentinels)
	{
		my %says = $self->says($sentinel);
		$votes{ $says{port} // '' }++;
	}
	my ($port) = sort { $votes{$b} <=> $votes{$a} } keys %votes;
	my ($master) = grep { $_->{port} eq ($port // '') && $_->{pid} && !$_->{paused} } $self->redis;
	return unless $master;
	return (eval { $master->cmd('ROLE')->[0] } // '') eq 'master' ? $master : undef;
}

# The same, as soon as there is one that is not this one.
sub master
{
	my ($self, $not) = @_;
	my $master;
	$self->_until('there is a master', sub {
		$master = $self->master_now;
		return $master && (!$not || $master != $not);
	});
	return $master;
}

sub replicas
{
	my ($self) = @_;
	my $master = $self->master;
	return grep { $_ != $master } $self->redis;
}

# An administrator's failover.  Returns the new master.
sub failover
{
	my ($self) = @_;
	my $old = $self->master;
	$self->_until('a failover begins', sub {
		($self->sentinels)[0]->client->try('SENTINEL', 'FAILOVER', $master_name) eq 'OK';
	});
	return $self->master($old);
}

package OutboxTest::Sentinel::Redis;

use strict;
use warnings;
our @ISA = ('OutboxTest::Redis');

# A Sentinel that makes a replica of a server closes its connections, ours as well.
sub cmd
{
	my ($self, @args) = @_;
	my $reply = eval { $self->SUPER::cmd(@args) };
	return $reply if !$@;
	die $@ if $@ !~ /^redis: (?!.*answer)/;
	delete $self->{own};
	return $self->SUPER::cmd(@args);
}

package OutboxTest::Sentinel::Server;

use strict;
use warnings;
our @ISA = ('OutboxTest::Redis');

# Lines may have a password of the Sentinels' own, "requirepass ...".
sub start_for
{
	my ($class, $of, $password, $listen, $lines) = @_;
	my ($own) = map { /^requirepass (.*)/ } @$lines;
	my ($port) = PostgreSQL::Test::Cluster::get_free_port();
	my $master = ($of->redis)[0];
	my $name = $OutboxTest::Sentinel::master_name;
	my $self = bless {
		dir => PostgreSQL::Test::Utils::tempdir_short(),
		port => $port,
		config => { defined $own ? (requirepass => $own) : () } }, $class;

	PostgreSQL::Test::Utils::append_to_file("$self->{dir}/sentinel.conf", join '', map { "$_\n" }
		$listen eq 'port' ? () : 'port 0', "$listen $port", 'bind 127.0.0.1', 'unixsocket ' . $self->socket, "dir $self->{dir}",
		# names are looked up before they are used
		$of->{host} eq '127.0.0.1' ? () : ('sentinel resolve-hostnames yes', 'sentinel announce-hostnames yes'),
		"sentinel monitor $name $of->{host} $master->{port} 2",
		"sentinel down-after-milliseconds $name 1000",
		"sentinel failover-timeout $name 4000",
		defined $password ? "sentinel auth-pass $name $password" : (),
		@$lines);
	OutboxTest::Redis::register($self);
	$self->_launch;
	return $self;
}

sub _command { my ($self) = @_; return ("$self->{dir}/sentinel.conf", '--sentinel'); }

1;
