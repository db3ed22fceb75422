# Copyright (c) 2026, the outbox developers
#
# Promise: the owner of a database, who is no superuser and did not create the extension, can
# dump it with what docs/backup.md says to grant, and may do nothing else with outbox's tables.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
$node->safe_psql('postgres', 'CREATE ROLE dba LOGIN');
$node->safe_psql('postgres', 'CREATE DATABASE shop OWNER dba');
install($node, 'shop', 'q');
$node->safe_psql('shop', q{SELECT outbox_pause_queue('q'); SELECT outbox_enqueue('q', 'in the dump')});

my @dump = ('pg_dump', '-U', 'dba', '-d', $node->connstr('shop'), '-f', $node->basedir . '/dump.sql', '-T', 'public.journal*');
my ($page) = slurp_file("$FindBin::RealBin/../../docs/backup.md") =~ /^```sql\n(GRANT USAGE ON SCHEMA outbox TO pg_database_owner;.*?)^```/ms;
ok($page, 'docs/backup.md says what to grant');
ok(!run_log(\@dump), 'without that the owner cannot dump');
$node->safe_psql('shop', $page);
ok(run_log(\@dump), 'with that the owner can');
like(slurp_file($node->basedir . '/dump.sql'), qr/^COPY outbox\.deferred .*\n.*\trestored\t/m, 'messages are in the dump');
for my $sql ("UPDATE outbox.queue SET redis_key = 'elsewhere'", 'TRUNCATE outbox.staging_1', "SELECT nextval('outbox.queue_id')",
	"SELECT outbox_enqueue('q', 'x')", 'CREATE TRIGGER t BEFORE INSERT ON outbox.queue EXECUTE FUNCTION suppress_redundant_updates_trigger()')
{
	my (undef, undef, $err) = $node->psql('shop', $sql, extra_params => [ '-U', 'dba' ]);
	like($err, qr/permission denied/, "and not: $sql");
}

# Who restores it.
my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('shop', 'CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO dba; INSERT INTO orders VALUES (1)');
ok(run_log(\@dump), 'with a table of the owner');
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER dba") for 'by_superuser', 'by_owner';
$node->safe_psql('by_superuser', 'SELECT 1');
ok(run_log([ 'psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('by_superuser'), '-f', $dump ]), 'a superuser restores all of it');
is($node->safe_psql('by_superuser', q{SELECT tableowner FROM pg_tables WHERE tablename = 'orders'}), 'dba', 'what belongs to the owner does so');
eventually { status($node, 'by_superuser', 'state') eq 'held' } 'and messages wait for a decision';
$node->safe_psql('by_owner', 'CREATE EXTENSION outbox');
run_log([ 'psql', '-qAtX', '-U', 'dba', '-o', '/dev/null', '-d', $node->connstr('by_owner'), '-f', $dump ]);
is($node->safe_psql('by_owner', 'SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM outbox.queue), (SELECT count(*) FROM outbox.deferred)'), '1|0|0',
	'the owner restores what is not of outbox');
$node->safe_psql('by_owner', q{SELECT outbox_create_queue('after'); SELECT outbox_enqueue('after', '{"works": true}')});
eventually { $redis->count('after') == 1 } 'and queues that are created then work';

done_testing();
