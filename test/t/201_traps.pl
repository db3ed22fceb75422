# Copyright (c) 2026, the outbox developers
#
# Promise: CREATE EXTENSION finds no function or operator that somebody has put into the
# extension's schema before.  A superuser who backfills somebody's table executes what the
# table's owner has attached to it with that owner's rights, and whoever has written a
# condition with the right TRIGGER does not become the owner.

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

# Functions that match better than pg_catalog's, in the schema of a database's owner.
$node->safe_psql($db, 'CREATE ROLE mallory LOGIN');
$node->safe_psql($db, 'CREATE DATABASE hers OWNER mallory');
my $trap = "LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''% is called'', current_user; END'";
my @traps = map { "CREATE FUNCTION public.$_ $trap;" } (
	'format(text, text, name) RETURNS text', 'format(text, name, text) RETURNS text',
	'nextval(text) RETURNS bigint', 'convert_from(bytea, text) RETURNS text',
	'jsonb_path_query_array(jsonb, text) RETURNS jsonb', 'hashtextextended(text, integer) RETURNS bigint',
	'jsonb_build_object(text, text, text, jsonb, text, jsonb) RETURNS jsonb',
	'same(oid, regclass) RETURNS boolean');
push @traps, 'CREATE OPERATOR public.= (FUNCTION = public.same, LEFTARG = oid, RIGHTARG = regclass)';
$node->safe_psql('hers', "@traps", extra_params => [ '-U', 'mallory' ]);
my ($rc, undef, $err) = $node->psql('hers', 'CREATE EXTENSION outbox');
is($rc, 0, "CREATE EXTENSION calls none of them: $err");
is($node->safe_psql('hers', q{SELECT p.proname, d.classid::regclass, d.objid FROM pg_depend AS d
	JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
	WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = 'mallory'::regrole
		AND d.classid <> 'pg_operator'::regclass}), '', 'nothing of the extension depends on one');
$node->safe_psql('hers', q{SELECT outbox_create_queue('q'); SELECT outbox_celery_task('x'); TABLE outbox.dead_letters});

$node->safe_psql('hers', 'CREATE PROCEDURE public.outbox_enqueue(int) LANGUAGE sql AS $$$$', extra_params => [ '-U', 'mallory' ]);
$node->safe_psql('hers', q{SELECT outbox_grant('mallory', 'q'); SELECT outbox_revoke('mallory')});

# What else a role may read goes on; who may read nothing else there can be dropped.
$node->safe_psql('hers', q{CREATE ROLE reader; CREATE ROLE producer; GRANT SELECT ON outbox.dead_letters TO reader;
	SELECT outbox_grant('reader'), outbox_grant('producer'); SELECT outbox_revoke('reader'), outbox_revoke('producer');
	SELECT outbox_revoke('pg_monitor'); DROP ROLE producer});
is($node->safe_psql('hers', q{SELECT has_schema_privilege('reader', 'outbox', 'USAGE'), has_schema_privilege('pg_monitor', 'outbox', 'USAGE')}),
	't|t', 'outbox_revoke() leaves USAGE to who may read something else');

# What a condition calls.
install($node, $db, 'q');
$node->safe_psql($db, q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE helper LOGIN;
	CREATE TABLE called_as (who name, number int);
	GRANT INSERT ON called_as TO PUBLIC;
	GRANT CREATE ON SCHEMA public TO owner;
	GRANT EXECUTE ON FUNCTION outbox_capture, outbox_capture_row TO owner, helper;
	GRANT EXECUTE ON PROCEDURE outbox_backfill TO owner, helper;
	SELECT outbox_grant('owner', 'q');
	SELECT outbox_grant('helper', 'q');
	SET ROLE owner;
	CREATE FUNCTION trap(number int) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN INSERT INTO public.called_as VALUES (current_user, number); RETURN true; END';
	CREATE DOMAIN key AS int CHECK (trap(VALUE));
	CREATE TABLE t (id key PRIMARY KEY);
	INSERT INTO t VALUES (1), (2), (3);
	GRANT SELECT, UPDATE, TRIGGER ON t TO helper;
	SELECT outbox_capture('t', 'q', condition => 'trap(NEW.id)', operations => '{insert}');
});

sub called
{
	my ($role) = @_;
	$node->safe_psql($db, 'TRUNCATE called_as');
	$node->safe_psql($db, q{CALL outbox_backfill('t', 'q', '{"chunk_rows": 1}')}, extra_params => [ '-U', $role ]);
	return $node->safe_psql($db, 'SELECT who, count(DISTINCT number) FROM called_as GROUP BY 1 ORDER BY 1');
}

my $superuser = $node->safe_psql($db, 'SELECT current_user');
is(called($superuser), 'owner|3', 'a superuser calls it as the owner');
is(called('owner'), 'owner|3', 'the owner as itself');
is(called('helper'), 'helper|3', 'who has not the rights of the owner does not get them');

# Everybody can read a server's url, so what looks like a secret there is none of its host.
(undef, undef, $err) = $node->psql($db, q{CREATE SERVER s FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://host?password=sekret')});
like($err, qr/invalid value for option "url"/, 'a url with parameters is refused');
unlike($err . slurp_file($node->logfile), qr/sekret/, 'and is shown nowhere');

$node->stop;
$redis->stop;
done_testing();
