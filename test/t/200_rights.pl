# Copyright (c) 2026, the outbox developers
#
# Promise: the right to enqueue to a queue is INSERT on its view, and goes where PostgreSQL's
# rights go.  A dump of any kind has it, a restore in any order brings it back, an upgrade and
# a subscription do not disturb it, DROP EXTENSION takes it along.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $base = $node->basedir;
$node->safe_psql('postgres', 'CREATE DATABASE original');
install($node, 'original', 'q');

# Names as they come: not ASCII, quoted, too long, and like the view of one that is.
my $setup = <<'EOC';
SELECT outbox_create_queue('größe "q"'), outbox_create_queue(repeat('ü', 100)), outbox_create_queue('queue 3'),
	outbox_create_queue('bytes', settings => '{"payload_type": "bytea"}'), outbox_create_queue('denied');
CREATE ROLE app LOGIN;
CREATE ROLE member LOGIN IN ROLE app;
CREATE ROLE boss LOGIN;
CREATE ROLE auditor LOGIN;
SELECT outbox_grant('auditor');
SELECT outbox_grant('app', name) FROM outbox.queue WHERE name <> 'denied';
GRANT INSERT ON outbox_queues.q TO boss WITH GRANT OPTION;
SET ROLE boss;
GRANT INSERT ON outbox_queues.q TO member;
EOC
$node->safe_psql('original', $setup);

# Everything about the views; and the rights on those that are created next.
sub views
{
	my ($db) = @_;
	return $node->safe_psql($db, <<'EOC');
SELECT c.relname, c.relowner::regrole, c.relacl, obj_description(c.oid), pg_get_triggerdef(t.oid), pg_get_viewdef(c.oid)
FROM pg_class AS c LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid
WHERE c.relnamespace = 'outbox_queues'::regnamespace ORDER BY c.relname COLLATE "C";
SELECT defaclrole::regrole, defaclacl FROM pg_default_acl WHERE defaclnamespace = 'outbox_queues'::regnamespace;
EOC
}

# Which roles may enqueue to which queues, tried by function and by view.
sub who_may
{
	my ($db) = @_;
	my @may;
	for my $role ('app', 'member', 'boss', 'auditor')
	{
		for my $queue ('q', 'denied', 'bytes', 'größe "q"', 'ü' x 100)
		{
			my ($rc) = $node->psql($db, "SET client_encoding = 'UTF8'; SELECT outbox_enqueue('$queue', '{}')", extra_params => [ '-U', $role ]);
			push @may, "$role: " . substr($queue, 0, 8) if $rc == 0;
		}
	}
	return join ', ', @may;
}
my $views = views('original');
my $may = who_may('original');
like($views, qr/^queue 3\|.*^queue 4\|/ms, 'names that need a number');
like($may, qr/app: q, .*member: q, .*auditor: denied/, 'those who may');
unlike($may, qr/(app|member): denied|boss/, '... and those who may not: boss has no EXECUTE');

sub created
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	return $node->connstr($db);
}

sub is_restored
{
	my ($db, $how) = @_;
	is(views($db), $views, "$how: views and grants are as they were");
	is(who_may($db), $may, '... and so is who may enqueue');
	$node->safe_psql($db, q{SELECT outbox_create_queue('next')});
	is($node->safe_psql($db, q{SELECT has_table_privilege('auditor', 'outbox_queues.next', 'INSERT'), has_table_privilege('app', 'outbox_queues.next', 'INSERT')}),
		't|f', '... and who may to the next queue');
	return;
}

sub goes
{
	my ($db, $how) = @_;
	my (undef, undef, $err) = $node->psql($db, 'DROP EXTENSION outbox; SELECT 1/count(*) FROM pg_namespace WHERE nspname = \'outbox_queues\'');
	like($err, qr/^\S*\s*ERROR:  division by zero/, "$how: DROP EXTENSION takes the views along, without CASCADE");
	return;
}

# Whole dumps: as a script, by pg_restore, in several processes.
my $original = $node->connstr('original');
command_ok([ 'pg_dump', '-f', "$base/all.sql", '-T', 'journal*', $original ], 'pg_dump');
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', created('plain'), '-f', "$base/all.sql" ], 'psql');
is_restored('plain', 'a script');
goes('plain', 'a script');
command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$base/jobs", '-T', 'journal*', $original ], 'pg_dump -j');
command_ok([ 'pg_restore', '--exit-on-error', '-j3', '-d', created('jobs'), "$base/jobs" ], 'pg_restore -j');
is_restored('jobs', 'in several processes');
goes('jobs', 'in several processes');

# Only the schema: the grants wait for the queues.  Then the rows.
command_ok([ 'pg_dump', '-s', '-f', "$base/schema.sql", '-T', 'journal*', $original ], 'pg_dump -s');
command_ok([ 'pg_dump', '-a', '-f', "$base/data.sql", '-T', 'journal*', $original ], 'pg_dump -a');
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', created('parts'), '-f', "$base/schema.sql" ], 'the schema');
is(views('parts'), $views, 'views and grants are there');
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('parts'), '-f', "$base/data.sql" ], 'the rows');
is_restored('parts', 'in two parts');
goes('parts', 'in two parts');

# Only the schema, and the queues are made by a program, with other ids.
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', created('program'), '-f', "$base/schema.sql" ], 'the schema');
$node->safe_psql('program', q{SELECT outbox_create_queue('denied'), outbox_create_queue('q'), outbox_create_queue(repeat('x', 100))});
is($node->safe_psql('program', <<'EOC'), "denied|f\nq|t\nqueue 3|f", 'the views are those of these queues');
SELECT c.relname, has_table_privilege('app', c.oid, 'INSERT') FROM pg_class AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid
WHERE c.relname IN ('denied', 'q') OR pg_get_triggerdef(t.oid) LIKE '%xxx%' ORDER BY c.relname
EOC

# Only the rows: whoever restores them grants.
$node->safe_psql('postgres', 'CREATE DATABASE rows');
$node->safe_psql('rows', 'CREATE EXTENSION outbox');
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('rows'), '-f', "$base/data.sql" ], 'the rows alone');
is($node->safe_psql('rows', q{SELECT count(*) FILTER (WHERE relacl::text ~ 'app|auditor'), count(*) FROM pg_class WHERE relnamespace = 'outbox_queues'::regnamespace}),
	'0|6', 'views without grants');
goes('rows', 'rows alone');

# A subscriber has views of its own queues only.
my $publisher = new_node('publisher', redis => $redis, streaming => 'logical');
install($publisher, 'postgres', 'published');
$publisher->safe_psql('postgres', 'CREATE TABLE t (i int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES');
install($node, 'postgres', 'mine');
$node->safe_psql('postgres', 'CREATE TABLE t (i int PRIMARY KEY)');
$node->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '" . ($publisher->connstr('postgres') =~ tr/'//dr) . "' PUBLICATION p");
$publisher->safe_psql('postgres', "SELECT outbox_create_queue('later'), outbox_drop_queue('published'); INSERT INTO t VALUES (1)");
eventually { $node->safe_psql('postgres', 'SELECT count(*) FROM t') eq '1' } 'the subscriber has what is published';
is($node->safe_psql('postgres', q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'outbox_queues'::regnamespace}), 'mine',
	'and the views of its own queues');
$node->safe_psql('postgres', 'DROP SUBSCRIPTION s');

# DROP OWNED takes grants and defaults back; the role can go.
$node->safe_psql('original', 'DROP OWNED BY auditor');
is($node->safe_psql('original', q{SELECT count(*) FROM pg_default_acl}), 0, 'DROP OWNED takes the default back');
unlike(who_may('original'), qr/auditor/, '... and the grants');
goes('original', 'the original');

done_testing();
