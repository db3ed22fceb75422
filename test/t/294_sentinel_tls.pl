# Copyright (c) 2026, the outbox developers
#
# Promise: with rediss+sentinel:// the Sentinels and the master are reached by TLS, and
# both are verified; a foreign server has the passwords of both in its user mapping.
# A failover there loses nothing (I2, I3, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
chmod 0755, $dir;

# A certificate that is its own CA.
sub certificate
{
	my ($name, $san) = @_;
	system_or_bail('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
		'-subj', "/CN=$name", '-addext', "subjectAltName=$san", '-days', 100, '-keyout', "$dir/$name.key", '-out', "$dir/$name.crt");
	return;
}
certificate('ours', 'IP:127.0.0.1');
certificate('other', 'IP:127.0.0.1');

my $sentinel = OutboxTest::Sentinel->start(
	tls => [ "$dir/ours.crt", "$dir/ours.key", "$dir/ours.crt" ],
	redis => { requirepass => 'of-the-servers' },
	sentinel => [ 'requirepass of-the-sentinels', 'sentinel sentinel-pass of-the-sentinels' ]);
my $node = new_node('main', url => 'unix:///nowhere', conf => 'outbox.retention = 5min');
my $db = 'postgres';
install($node, $db, 'q');
my $url = $sentinel->url(scheme => 'rediss+sentinel');
$node->safe_psql($db, <<"EOC");
CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '$url', sslrootcert '$dir/other.crt');
CREATE USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (password 'of-the-servers', sentinel_password 'of-the-sentinels');
EOC

my $n = 0;
put($node, $db, 'q', 'message ' . ++$n);
my $address = qr/127\.0\.0\.1:\d+/;
eventually { status($node, $db, 'why') =~ /^no Sentinel names a master "mymaster": $address: [^;]*certificate[^;]*; $address: [^;]*certificate/i } 'Sentinels are verified';
$node->safe_psql($db, "ALTER SERVER outbox_default OPTIONS (SET sslrootcert '$dir/ours.crt')");
my $master = $sentinel->master;
eventually { $master->last_of('q') eq "message $n" } 'by TLS to both';
like(status($node, $db, 'address'), qr{^rediss://127\.0\.0\.1:$master->{port}/0 \(master "mymaster" of Sentinel $address\)$}, 'the status says so');

my $load = load($node, $db, writers => 2, queues => ['q'], max_delay => 0.02);
$master->kill9;
$master = $sentinel->master($master);
my $had = $master->count('q');
eventually { $master->count('q') > $had + 20 } 'the master is killed: messages flow into the next one';
$load->stop;
audit($node, $db, $master, ['q'], 50, 'nothing lost, nothing twice, all in order');

my $shown = log_of($node) . ask($node, $db, 'SELECT * FROM outbox.status');
unlike($shown, qr/of-the-s/, 'no log and no view has a password');
done_testing();
