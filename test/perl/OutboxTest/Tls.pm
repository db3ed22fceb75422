# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Tls: a CA of our own, and servers of Redis that have its certificates.
#
# Everything is made by the command openssl, in a temporary directory, with keys
# that are made fast.  A server listens on a unix socket for the test and on a port
# for TLS.

package OutboxTest::Tls;

use strict;
use warnings;
use IO::Socket::INET;
use OutboxTest::Redis;
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir(), n => 0 }, $class;
	chmod 0755, $self->{dir};
	$self->make_ca('ca');
	return $self;
}

sub file { my ($self, $name) = @_; return "$self->{dir}/$name"; }

sub _openssl
{
	my ($self, @args) = @_;
	my $log = $self->file('openssl.log');
	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		exec 'openssl', @args or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	die "openssl @args: " . PostgreSQL::Test::Utils::slurp_file($log) if $?;
	return;
}

sub _key { my ($self, $name) = @_; return $self->_openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', $self->file("$name.key")); }

# NAME.crt and NAME.key of a CA.
sub make_ca
{
	my ($self, $name) = @_;
	$self->_key($name);
	return $self->_openssl('req', '-x509', '-new', '-key', $self->file("$name.key"), '-subj', "/CN=$name",
		'-days', 100, '-out', $self->file("$name.crt"));
}

# NAME.crt and NAME.key, signed by a CA; san: a list as openssl wants it, or undef
# for none; cn; days, which may be past.
sub make
{
	my ($self, $name, %opt) = @_;
	my $ca = $opt{ca} // 'ca';
	my $request = $self->file("$name.csr");
	my $config = $self->file("$name.cnf");
	my @dates = ('-days', $opt{days} // 100);
	# OpenSSL 3.4 makes none that has ended before it began
	@dates = ('-not_before', '20200101000000Z', '-not_after', '20200201000000Z')
	  if ($opt{days} // 1) < 0 && `openssl x509 -help 2>&1` =~ /-not_after/;

	open my $fh, '>', $config or die "$config: $!";
	print {$fh} "[x]\nbasicConstraints=CA:FALSE\n", defined $opt{san} ? "subjectAltName=$opt{san}\n" : '';
	close $fh;
	$self->_key("new-$name");
	$self->_openssl('req', '-new', '-key', $self->file("new-$name.key"), '-subj', '/CN=' . ($opt{cn} // $name), '-out', $request);
	$self->_openssl('x509', '-req', '-in', $request, '-CA', $self->file("$ca.crt"), '-CAkey', $self->file("$ca.key"),
		'-set_serial', 1000 + ++$self->{n}, @dates, '-extfile', $config, '-extensions', 'x', '-out', $self->file("new-$name.crt"));
	# both at once, as far as anybody who reads them can tell
	rename $self->file("new-$name.$_"), $self->file("$name.$_") or die "rename: $!" for qw(key crt);
	return;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
	return $socket->sockport;
}

# A server with the certificate of that name.  Clients need none, unless the
# configuration says so.
sub redis
{
	my ($self, $name, %config) = @_;
	my $port = free_port();
	my $redis = OutboxTest::Redis->start(
		'tls-port' => $port,
		'tls-cert-file' => $self->file("$name.crt"),
		'tls-key-file' => $self->file("$name.key"),
		'tls-ca-cert-file' => $self->file('ca.crt'),
		'tls-auth-clients' => 'no',
		%config);
	$redis->{tls_port} = $port;
	return $redis;
}

# The URL of such a server; parameters as a hash.
sub url
{
	my ($self, $port, %parameters) = @_;
	my $host = delete $parameters{host} // '127.0.0.1';
	my $login = delete $parameters{login};

	$parameters{sslrootcert} = $self->file('ca.crt') unless exists $parameters{sslrootcert};
	delete $parameters{$_} for grep { !defined $parameters{$_} } keys %parameters;
	return 'rediss://' . (defined $login ? "$login\@" : '') . "$host:$port/0"
	  . (%parameters ? '?' . join('&', map { "$_=$parameters{$_}" } sort keys %parameters) : '');
}

1;
