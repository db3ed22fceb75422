# Copyright (c) 2026, the outbox developers
#
# Promise: a database that nobody can connect to, as its DROP was interrupted,
# gets no relay, and the log stays silent about it.  Guards the test of
# datconnlimit in launcher.c.

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
$node->safe_psql($db, 'CREATE DATABASE dropped_in_part');
my $oid = $node->safe_psql($db, "SELECT oid FROM pg_database WHERE datname = 'dropped_in_part'");
$node->safe_psql($db, "UPDATE pg_database SET datconnlimit = -2 WHERE oid = $oid");

# A new launcher looks at all databases, and another one after it does.
$node->restart;
for my $i (1, 2)
{
	$node->safe_psql($db, "CREATE DATABASE later_$i");
	install($node, "later_$i", 'q');
	put($node, "later_$i", 'q', "message $i");
	settle($node, "later_$i", $redis, 'q');
}
unlike(slurp_file($node->logfile), qr/invalid database|database for database $oid|dropped_in_part.*FATAL/, 'nobody tries to connect to it');
is($node->safe_psql($db, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND datid = $oid"), 0, 'it has no relay');

done_testing();
