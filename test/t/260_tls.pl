# Copyright (c) 2026, the outbox developers
#
# Promise: with rediss:// messages go to whom the URL names and to nobody else: the
# certificate must be of a CA that is trusted, valid, and for the host.  What is
# wrong is said in the status, and in the log with a hint; what waited is delivered
# once when it is right.  Guards tls.c, tls_files.c, connection.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Tls;
use PostgreSQL::Test::Utils;
use Test::More;

my $tls = OutboxTest::Tls->new;
$tls->make_ca('other');
my $here = 'IP:127.0.0.1,DNS:localhost';
$tls->make('good', san => $here);
$tls->make('client');
$tls->make('stranger', ca => 'other');
my $redis = $tls->redis('good');
my $port = $redis->{tls_port};
my $db = 'postgres';
my $node = new_node('main', url => $tls->url($port));
install($node, $db, 'q');
my $n = 0;
my %asked;

sub delivers
{
	my ($what, $to, $url) = @_;
	my $had = $to->count('q');
	configure($node, 'outbox.redis_url' => $url);
	eventually { status($node, $db, 'state') eq 'running' } "$what: running";
	put($node, $db, 'q', 'message ' . ++$n);
	eventually { $to->last_of('q') eq "message $n" } "$what: delivered";
	return;
}

# Nothing arrives at whoever answers, and the status says why.
sub refuses
{
	my ($what, $to, $url, $why, $hint) = @_;
	my $had = $to->count('q');
	my $log = -s $node->logfile;
	my $logged = ++$asked{$hint} == 1;    # not more often: it is not logged all the time
	configure($node, 'outbox.redis_url' => $url);
	put($node, $db, 'q', 'message ' . ++$n);
	eventually { status($node, $db, 'state, why') =~ /^waiting for redis\|.*$why/ } "$what: status says why";
	eventually { slurp_file($node->logfile, $log) =~ /WARNING:  outbox is waiting for Redis: .*$why.*\n.*DETAIL.*\n.*HINT:  .*$hint/ } "$what: so does the log, with a hint" if $logged;
	is($to->count('q'), $had, "$what: nothing has arrived");
	return;
}

delivers('a certificate for the address', $redis, $tls->url($port));
like(status($node, $db, 'address'), qr{^rediss://127\.0\.0\.1:$port/0$}, 'the status says that it is TLS');
delivers('for the name', $redis, $tls->url($port, host => 'localhost'));

# The certificate: what it says, what is asked for, and what becomes of that.
my $name = 'certificate is refused: it is not for';
for (
	[ 'another CA', { san => $here, ca => 'other' }, {}, 'certificate is refused: (unable to|self.signed)', 'sslrootcert' ],
	[ 'the CAs of the system', { san => $here }, { sslrootcert => undef }, 'certificate is refused: (unable to|self.signed)', 'sslrootcert' ],
	[ 'expired', { san => $here, days => -1 }, {}, 'certificate has expired', 'Renew' ],
	[ 'another address', { san => 'IP:127.0.0.2' }, {}, "$name \"127.0.0.1\"", 'sslhost' ],
	[ 'an address that is a name', { san => 'DNS:127.0.0.1' }, {}, $name, 'sslhost' ],
	[ 'an address in CN', { cn => '127.0.0.1' }, {}, $name, 'sslhost' ],
	[ 'another name', { san => 'DNS:other.test' }, { host => 'localhost' }, "$name \"localhost\"", 'sslhost' ],
	[ 'another name than in CN', { san => 'DNS:other.test', cn => 'localhost' }, { host => 'localhost' }, $name, 'sslhost' ],
	[ 'the name in CN, no other', { cn => 'localhost' }, { host => 'localhost' } ],
	[ 'a name that is asked for', { san => 'DNS:redis.test' }, { sslhost => 'redis.test' } ],
	[ 'the host is not asked for', { san => $here }, { sslhost => 'redis.test' }, "$name \"redis.test\"", 'sslhost' ],
	[ 'an address that is asked for', { san => 'IP:10.1.2.3' }, { sslhost => '10.1.2.3' } ],
	[ 'any name of a domain', { san => 'DNS:*.redis.test' }, { sslhost => 'a.redis.test' } ],
	[ 'not two', { san => 'DNS:*.redis.test' }, { sslhost => 'a.b.redis.test' }, $name, 'sslhost' ],
	[ 'part of a name', { san => 'DNS:a*.redis.test' }, { sslhost => 'ab.redis.test' }, $name, 'sslhost' ])
{
	my ($what, $certificate, $url, $why, $hint) = @$_;
	$tls->make('this', %$certificate);
	my $this = $tls->redis('this');
	my $at = $tls->url($this->{tls_port}, %$url);
	defined $why ? refuses($what, $this, $at, $why, $hint) : delivers($what, $this, $at);
	$this->stop;
}
delivers('again', $redis, $tls->url($port));

# Who we are.
my $strict = $tls->redis('good', 'tls-auth-clients' => 'yes');
my $at = $strict->{tls_port};
my %client = (sslcert => $tls->file('client.crt'), sslkey => $tls->file('client.key'));
refuses('no client certificate', $strict, $tls->url($at), 'TLS has failed: .*certificate', 'sslcert and sslkey');
refuses('one of another CA', $strict, $tls->url($at, sslcert => $tls->file('stranger.crt'), sslkey => $tls->file('stranger.key')),
	'TLS has failed: .*unknown ca', 'sslcert and sslkey');
delivers('a client certificate', $strict, $tls->url($at, %client));

# Files that are none of what they should be.
append_to_file($tls->file('empty'), '');
append_to_file($tls->file('half'), substr slurp_file($tls->file('ca.crt')), 0, 200);
append_to_file($tls->file('garbage'), "\0\1\2" x 1000);
append_to_file($tls->file('large'), 'x' x 2_000_000);
$tls->_openssl('ec', '-in', $tls->file('client.key'), '-aes256', '-passout', 'pass:SecretMarkerZQX', '-out', $tls->file('encrypted'));
for (
	[ 'no file', { sslrootcert => $tls->file('missing') }, 'sslrootcert cannot be read: No such file' ],
	[ 'a directory', { sslrootcert => $tls->{dir} }, 'sslrootcert is not a file' ],
	[ 'a device', { %client, sslkey => '/dev/zero' }, 'sslkey is not a file' ],
	[ 'an empty file', { sslrootcert => $tls->file('empty') }, 'sslrootcert has no certificate' ],
	[ 'half a certificate', { sslrootcert => $tls->file('half') }, 'sslrootcert cannot be used' ],
	[ 'garbage', { %client, sslcert => $tls->file('garbage') }, 'sslcert has no certificate' ],
	[ 'a large file', { %client, sslcert => $tls->file('large') }, 'sslcert is too long' ],
	[ 'no key', { %client, sslkey => $tls->file('client.crt') }, 'sslkey cannot be used' ],
	[ 'another key', { %client, sslkey => $tls->file('ca.key') }, 'sslkey is not the key of sslcert' ],
	[ 'a key with a password', { %client, sslkey => $tls->file('encrypted') }, 'sslkey is encrypted' ])
{
	my ($what, $url, $why) = @$_;
	refuses($what, $strict, $tls->url($at, %$url), $why, $what =~ /password/ ? 'without one' : 'TLS');
}

# Ports that speak something else.
my $plain = OutboxTest::Tls::free_port();
$redis->cmd('CONFIG', 'SET', 'port', $plain);
refuses('a port without TLS', $redis, $tls->url($plain), '(the server does not speak TLS|no TLS handshake within 5 s|in the TLS handshake)', 'redis://');
refuses('a port with TLS', $redis, "redis://127.0.0.1:$port/0", '(the server speaks TLS|Server closed the connection|Connection reset by peer|Broken pipe)', 'rediss://');
delivers('at the end', $redis, $tls->url($port));

# All that was refused has arrived by now, once at each server that it went to.
for my $server ($redis, $strict)
{
	my %seen;
	$seen{ $_->[1] }++ for $server->arrived('q');
	is(scalar(grep { $_ > 1 } values %seen), 0, 'nothing has arrived twice');
}
unlike(slurp_file($node->logfile), qr/SecretMarkerZQX|message \d/, 'no secret and no payload is in the log');

done_testing();
