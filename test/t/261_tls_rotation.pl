# Copyright (c) 2026, the outbox developers
#
# Promise: certificates, CAs and passwords are renewed while messages flow, without
# a restart: what is renewed in its file is in use with the next connection, a
# password at the latest when Redis refuses the old one.  Large payloads pass by TLS while
# Redis is killed and connections are cut at any byte; nothing is lost, doubled or
# out of order (I2, I3, I4).  Guards tls.c, transport.c, redis_server.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Tls;
use PostgreSQL::Test::Utils;
use Test::More;

my $tls = OutboxTest::Tls->new;
my $here = 'IP:127.0.0.1,DNS:localhost';
$tls->make('server', san => $here);
$tls->make('client');
my $password = $tls->file('password');

sub set_password
{
	my ($word) = @_;
	open my $fh, '>', "$password.new" or die "$password: $!";
	print {$fh} "$word\n";
	close $fh;
	rename "$password.new", $password or die "$password: $!";
	return;
}

set_password('first');
my $redis = $tls->redis('server', 'tls-auth-clients' => 'yes', appendonly => 'yes', appendfsync => 'always',
	user => [ 'relay', 'on', '>first', '~*', '&*', '+@all' ]);
my $proxy = OutboxTest::Proxy->start("127.0.0.1:$redis->{tls_port}");
my %files = (sslcert => $tls->file('client.crt'), sslkey => $tls->file('client.key'), password_file => $password);
my $db = 'postgres';
my $node = new_node('main', url => $tls->url($proxy->port, %files, login => 'relay'));
install($node, $db, 'q', 'large');
settle($node, $db, $redis, 'q', 'large');

# Large payloads, cut at several bytes within and between the records of TLS.
$proxy->plan(map { [ 'c2s', $_ * 9111 ] } 1 .. 6);
$node->safe_psql($db, qq{SELECT put('large', repeat('x', 300000) || i) FROM generate_series(1, 40) i});
eventually { $redis->count('large') >= 40 } 'large payloads have arrived';
cmp_ok($proxy->stat->{cuts}, '>=', 4, 'while connections were cut');
$proxy->plan;

my $load = load($node, $db, writers => 2, queues => ['q'], rounds => 5);

# Whatever is renewed, the next connection has it.
sub goes_on
{
	my ($what) = @_;
	my $had = $redis->count('q');
	eventually { $redis->count('q') > $had + 20 } "$what: messages flow";
	return;
}
goes_on('at first');

$tls->make('client', cn => 'renewed');
$redis->drop_clients;
goes_on('a client certificate that was renewed');

$tls->make('server', san => $here);
$redis->cmd('CONFIG', 'SET', 'tls-cert-file', $tls->file('server.crt'), 'tls-key-file', $tls->file('server.key'));
$redis->drop_clients;
goes_on('a server certificate that was renewed');

# Another CA: both are trusted for a while.
$tls->make_ca('next');
append_to_file($tls->file('ca.crt'), slurp_file($tls->file('next.crt')));
$tls->make('server', san => $here, ca => 'next');
$tls->make('client', ca => 'next');
$redis->kill9;
$redis->start_again;
goes_on('another CA, and Redis was killed');

# A password: said to Redis first, written to the file later.
$redis->cmd('ACL', 'SETUSER', 'relay', 'resetpass', '>second');
$redis->drop_clients;
eventually { status($node, $db, 'why') =~ /WRONGPASS/ } 'the old password is refused';
set_password('second');
goes_on('another password');
$redis->cmd('ACL', 'SETUSER', 'relay', '>third');
set_password('third');
$node->reload;
eventually { log_of($node) =~ /outbox delivers to .* from now on/ } 'a reload reads it as well';
goes_on('and goes on with it');
$redis->{config}{user}[2] = '>third';

$redis->kill9;
$redis->start_again;
goes_on('Redis was killed');
$load->stop;
audit($node, $db, $redis, [ 'q', 'large' ], 200, 'all whole, each once, in order');
unlike(slurp_file($node->logfile), qr/first|second|third/, 'no password is in the log');

done_testing();
