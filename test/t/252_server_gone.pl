# Copyright (c) 2026, the outbox developers
#
# Promise: nobody has messages go to outbox.redis_url without being told: who drops or
# renames server outbox_default is warned.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');
my $create = q{CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (%s)};
my $ours = sprintf $create, 'outbox_default', 'outbox', q{url 'redis://127.0.0.1:1/0'};

sub said { my ($rc, undef, $err) = $node->psql($db, join ';', @_); return "$rc $err"; }

for my $command ('DROP SERVER outbox_default', 'DROP SERVER IF EXISTS nowhere, outbox_default CASCADE', 'ALTER SERVER outbox_default RENAME TO later')
{
	like(said($ours), qr/^0 $/, "$command: there is a server");
	eventually { status($node, $db, 'server') eq 'outbox_default' } "$command: which counts";
	like(said($command), qr/^0 .*WARNING:  messages of this database go to outbox\.redis_url when this is committed\n.*\nHINT:  .*outbox_enable\(false\)/s, "$command: a warning");
	eventually { status($node, $db, 'server, address') eq '|' . $redis->url } "$command: and so it is";
}
like(said('ALTER SERVER later RENAME TO later_still', 'DROP SERVER later_still'), qr/^0 $/, 'not about another server');
like(said('DROP SERVER IF EXISTS outbox_default'), qr/^0 (?!.*WARNING)/s, 'nor if there is none');
like(said('CREATE FOREIGN DATA WRAPPER theirs', 'CREATE SERVER outbox_default FOREIGN DATA WRAPPER theirs', 'DROP SERVER outbox_default'), qr/^0 $/,
	'nor about one of another wrapper');
like(said('DROP SERVER outbox_default'), qr/^3 (?!.*WARNING).*does not exist|^[13] (?!.*WARNING)/s, 'an error is the command\'s own');

done_testing();
