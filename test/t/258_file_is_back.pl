# Copyright (c) 2026, the outbox developers
#
# Promise: a file with a password that is not there for a moment, as while it is replaced,
# stops delivery for that moment only: nobody has to reload anything.  That goes for a server
# and for outbox.redis_url.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'SecretMarkerZQX';
my $redis = OutboxTest::Redis->start(requirepass => $secret);
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
my $file = $node->basedir . '/password';
my $url = $redis->url . "&password_file=$file";
install($node, $db, 'q');

for my $how ('outbox.redis_url', 'a server')
{
	unlink $file;
	if ($how eq 'a server')
	{
		$node->safe_psql($db, "CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $redis->url ]}');"
			  . "CREATE USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (password_file '$file')");
	}
	else { configure($node, 'outbox.redis_url' => $url); }
	put($node, $db, 'q', $how);
	eventually { status($node, $db, 'state, why') =~ /^waiting for redis\|.*password_file cannot be read/ } "$how: the file is missing";
	append_to_file($file, "$secret\n");
	eventually { $redis->last_of('q') eq $how } "$how: it is there again";
	eventually { status($node, $db, 'state') eq 'running' } "$how: ... and the status says so";
}
audit($node, $db, $redis, ['q'], 2, 'each once');
unlike(log_of($node), qr/$secret/, 'no secret in the log');

done_testing();
