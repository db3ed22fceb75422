# Copyright (c) 2026, the outbox developers
#
# Promise: outbox_grant() is all that a producer needs and all that
# it gets; nothing is granted to PUBLIC; status is for pg_monitor.  What the
# catalogue says is test/pgtap's part; this is what a session can do.

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
$node->safe_psql($db, q{SELECT outbox_alter_queue('q', settings => '{"payload_type": "bytea"}')});
$node->safe_psql($db, q{SELECT outbox_create_queue('other')});
run_sql($node, $db, '073_roles.sql');

sub as
{
	my ($role, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($db, $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	return $rc == 0 ? 'ok' : $err =~ /ERROR:  (\w{5}):/ ? $1 : $err;
}

my $denied = '42501';
my %may = (
	"SELECT outbox_enqueue('q', 'text')" => [ 'producer' ],
	"SELECT outbox_enqueue('q', '{}'::jsonb, 't', 'k', '{}', '01234567-89ab-7cde-8f01-23456789abcd')" => [ 'producer' ],
	"SELECT outbox_enqueue('q', ''::bytea)" => [ 'producer' ],
	"SELECT outbox_enqueue('q', '{}'::json)" => [ 'producer' ],
	"SELECT outbox_enqueue_json('q', '{}')" => [ 'producer' ],
	"SELECT outbox_enqueue_many('q', '[\"x\"]')" => [ 'producer' ],
	"INSERT INTO outbox_queues.q (payload) VALUES ('x')" => [ 'producer' ],
	"COPY outbox_queues.q (payload) FROM PROGRAM 'echo x'" => [],
	"SELECT outbox_enqueue('other', 'x')" => [],
	"INSERT INTO outbox_queues.other (payload) VALUES ('{}')" => [],
	"SELECT outbox_grant('anyone', 'q')" => [],
	"SELECT outbox_revoke('producer', 'q')" => [],
	"SELECT outbox_create_queue('new')" => [],
	"SELECT outbox_drop_queue('q')" => [],
	"SELECT outbox_drop_queue('q', true)" => [],
	q{SELECT outbox_release('copy')} => [],
	'SELECT outbox_enable(false)' => [],
	'SELECT outbox_gone_cursors()' => [],
	"SELECT outbox_remove_cursor('x')" => [],
	'TABLE outbox.delivery' => [],
	'TABLE outbox.status' => [ 'watcher' ],
	'TABLE outbox.queue' => [],
	'TABLE outbox.staging_1' => [],
	'TABLE outbox.staging_2' => [],
	'TABLE outbox.deferred' => [],
	'TABLE outbox.relay_state' => [],
	'DELETE FROM outbox.staging_1' => [],
	'TRUNCATE outbox.staging_2' => [],
	'INSERT INTO outbox.staging_1 DEFAULT VALUES' => [],
	"UPDATE outbox.queue SET redis_key = 'elsewhere'" => [],
	"SELECT nextval('outbox.seq')" => [],
	"SELECT setval('outbox.delivered', 1)" => [],
	"SELECT welcome('everyone')" => [ 'anyone', 'producer', 'watcher' ]);
for my $sql (sort keys %may)
{
	for my $role ('anyone', 'producer', 'watcher')
	{
		my $expected = (grep { $_ eq $role } @{ $may{$sql} }) ? 'ok' : $denied;
		is(as($role, $sql), $expected, ($expected eq 'ok' ? '' : 'denied: ') . "$role: $sql");
	}
}
eventually { $redis->count('q') == 10 } 'what was allowed has arrived';

# A producer's own objects of the same names change nothing.
is(as('producer', <<'EOC'), 'ok', 'a search path of traps');
CREATE TEMP TABLE queue (id int, name text); CREATE TEMP TABLE staging_1 (id int);
CREATE TEMP SEQUENCE seq;
SET search_path = pg_temp, pg_catalog, public;
SELECT outbox_enqueue('q', 'trapped');
EOC
eventually { $redis->count('q') == 11 } 'arrives';
is(as('watcher', "SET default_transaction_read_only = on; SELECT state FROM outbox.status"), 'ok', 'a watcher needs no more than to read');

done_testing();
