# Copyright (c) 2026, the outbox developers
#
# Promise: what a captured table's writers change arrives, if and when they
# commit: each change once, in order for each row, from bulk statements and
# partitions too; as UTF-8 whatever the database's encoding is.  A dump carries
# captures, and restoring it captures nothing.  An envelope of Watermill's
# forwarder arrives as the message that is in it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'original';
$node->safe_psql('postgres', "CREATE DATABASE $db");
install($node, $db, 'changes', 'bulk', 'rows', 'parts');

sub sql { return $node->safe_psql($db, $_[0]); }

# Entries of a stream as hashes; the payload's members beside the rest.
sub entries
{
	my ($stream) = @_;
	return map {
		my %fields = @{ $_->[1] };
		+{ %fields, %{ JSON::PP->new->utf8->decode($fields{payload}) }, message_key => $fields{key} };
	} @{ $redis->cmd('XRANGE', $stream, '-', '+') };
}

sub types { return join ' ', map { $_->{type} } entries($_[0]); }

# Once, in the writer's transaction.
sql(<<'EOC');
CREATE TABLE users (name text PRIMARY KEY, mail text, secret text);
SELECT outbox_capture('users', 'changes', columns => '{name,mail}');
CREATE ROLE writer LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON users TO writer;
EOC
my $writer = "SET ROLE writer; SET search_path = pg_temp;";
sql("$writer INSERT INTO public.users VALUES ('alice', 'a\@x', 's')");
sql("$writer UPDATE public.users SET secret = 't'");
sql("$writer UPDATE public.users SET mail = 'b\@x'");
sql("$writer BEGIN; INSERT INTO public.users VALUES ('never'); ROLLBACK");
sql("$writer BEGIN; INSERT INTO public.users VALUES ('bob'); SAVEPOINT s; DELETE FROM public.users; ROLLBACK TO s; COMMIT");
isnt($node->psql($db, "$writer INSERT INTO public.users VALUES ('carol'), ('bob')"), 0, 'a statement that fails');
sql("$writer DELETE FROM public.users WHERE name = 'alice'");
eventually { $redis->count('changes') >= 4 } 'changes have arrived';
my @got = entries('changes');
is(types('changes'), 'users.insert users.update users.insert users.delete', 'those that were committed, in order');
is_deeply([ @{ $got[1] }{qw(operation schema table key new old changed message_key)} ],
	[ 'update', 'public', 'users', { name => 'alice' }, { name => 'alice', mail => 'b@x' },
		{ name => 'alice', mail => 'a@x' }, ['mail'], 'alice' ], 'an update, without what is not captured');
is_deeply([ sort keys %{ $got[3] } ], [ sort qw(id type key payload message_key operation schema table old) ], 'a delete has no new');
like($got[0]{id}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'they have ids');
is(scalar(keys %{ { map { $_->{id} => 1 } @got } }), 4, 'of their own');

# Bulk statements.
sql("CREATE TABLE bulk (n int PRIMARY KEY, v int); SELECT outbox_capture('bulk', 'bulk')");
sql('INSERT INTO bulk SELECT i, 0 FROM generate_series(1, 20000) AS i');
sql('UPDATE bulk SET v = 1 WHERE n % 2 = 0; DELETE FROM bulk WHERE n > 10000');
eventually { $redis->count('bulk') >= 40000 } 'a bulk insert, update and delete';
is($redis->count('bulk'), 40000, 'a message for each row');
my @bulk = entries('bulk');
is(join(',', map { $_->{message_key} } @bulk[ 0 .. 19999 ]), join(',', 1 .. 20000), 'in the order of the statement');
is(scalar(grep { $_->{operation} eq 'delete' && $_->{message_key} > 10000 } @bulk[ 30000 .. 39999 ]), 10000, 'and of statements');

# Sessions that change the same rows, beside each other.
run_sql($node, $db, '110_counter.sql');
my @sessions = map { session($node, $db) } 1 .. 3;
$_->query_until(qr/begun/, "\\echo begun\nCALL count_up();\n") for @sessions;
$_->query_safe('SELECT 1') for @sessions;
$_->quit for @sessions;
my $sum = sql('SELECT sum(n) FROM counter');
cmp_ok($sum, '>', 600, 'rows were changed by several sessions');
eventually { $redis->count('rows') >= $sum } 'all of it arrives';
my (%n, $disorder);
$disorder += $_->{new}{n} != ++$n{ $_->{message_key} } for entries('rows');
is($disorder, 0, 'each row\'s changes in order, none missing, none twice');
is(join(' ', map { $n{$_} } 1 .. 3), sql("SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter"), 'to the last one');

# Partitions, also those that come later.
run_sql($node, $db, '110_partitions.sql');
eventually { $redis->count('parts') >= 4 } 'partitions';
is(join(' ', map { "$_->{type}$_->{message_key}" } entries('parts')),
	'parts.insert[1,"2026-02-01"] parts.insert[2,"2026-08-01"] parts.delete[1,"2026-02-01"] parts.insert[1,"2026-07-31"]',
	'have their table\'s name, and a row that moves is deleted and inserted');

# A dump has the captures; restoring it captures nothing, and what is captured
# then waits like all else in a restored database.
run_sql($node, $db, '110_names.sql');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';
my $captures = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgfoid = 'outbox_capture_row'::regproc ORDER BY 1";
my $before = sql($captures);
my $staged = 'SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s';
my $old = sql($staged);
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'pg_dump');
$node->safe_psql('postgres', "DROP DATABASE $db WITH (FORCE)");
$redis->cmd('FLUSHALL');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$db = 'restored';
command_ok([ 'pg_restore', '-d', $node->connstr($db), '--exit-on-error', $dump ], 'pg_restore');
is(sql($captures), $before, 'the captures are what they were');
is(sql($staged), 0, 'restoring rows captures nothing');
is(sql("SELECT count(*) FROM outbox.deferred WHERE reason = 'restored'"), $old, 'what was captured before is a message like others');
wait_relay($node, $db);
sql('DELETE FROM outbox.deferred');
sql(q{INSERT INTO "sch ema"."t'\""" VALUES (1, '\'), (2, 'x')});
sql("$writer INSERT INTO public.users VALUES ('dora')");
eventually { $redis->count('changes') >= 3 && $redis->count('odd') >= 1 } 'changes of the restored tables arrive';
is(types('changes'), q{t'\".insert t'\".insert users.insert}, 'of each table');
is_deeply([ map { [ @{$_}{qw(message_key new)} ] } entries('odd') ], [ [ 2, { 'c,{"' => 'x' } ] ], 'with condition, columns, key and queue');
sql(q{SELECT outbox_uncapture('"sch ema"."t''\"""', 'it''s "odd"')});
sql(q{INSERT INTO "sch ema"."t'\""" VALUES (3, 'x')});
eventually { $redis->count('changes') >= 4 } 'the other queue\'s capture stays';
is($redis->count('odd'), 1, 'uncaptured');

# Watermill: the envelope's message, in the producer's transaction.
run_sql($node, $db, '110_forwarder.sql');
sql('SELECT publish(1)');
sql('BEGIN; SELECT publish(2); ROLLBACK');
sql('BEGIN; SELECT publish(3); SELECT publish(4); COMMIT');
eventually { $redis->count('lottery') >= 3 } 'forwarded';
is_deeply([ map { +{ @{ $_->[1] } } } @{ $redis->cmd('XRANGE', 'lottery', '-', '+') } ],
	[ map { +{
		_watermill_message_uuid => "00000000-0000-4000-8000-00000000000$_",
		payload => "\x00\xff" . chr,
		metadata => "\x81\xa3key\xa5value" } } 1, 3, 4 ], 'what was in the envelopes, in order');
is(sql('SELECT count(*) FROM watermill_forwarder_topic'), 0, 'the topic table stays empty');

# Other encodings.
$node->safe_psql('postgres', "CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
$db = 'latin1';
install($node, $db, 'latin1');
run_sql($node, $db, '110_latin1.sql');
eventually { $redis->count('latin1') >= 1 && $redis->count("latin1 \xc3\xbc") >= 1 } 'from a database in LATIN1';
my ($latin1) = entries('latin1');
is_deeply([ @{$latin1}{qw(type message_key table)}, $latin1->{new}{"c\x{f6}lumn"} ],
	[ "t\xc3\xa4ble.insert", "\xc3\xa9", "t\x{e4}ble", "\x{e9}" ], 'all is UTF-8');
my %message = @{ $redis->cmd('XRANGE', "latin1 \xc3\xbc", '-', '+')->[0][1] };
is_deeply([ @message{qw(payload metadata)} ], [ "\xc3\xbc", "\x81\xa2\xc3\xb6\xa2\xc3\xa4" ], 'so are forwarded ones');

# What can't be UTF-8 is refused where somebody is told.
$node->safe_psql('postgres', "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
$db = 'bytes';
install($node, $db, 'bytes');
sql("CREATE TABLE t (k text PRIMARY KEY, v text); SELECT outbox_capture('t', 'bytes')");
sql("INSERT INTO t VALUES ('\xc3\xbc')");
my ($rc, $out, $err) = $node->psql($db, q{INSERT INTO t VALUES (E'\\xff')});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff\n(?s:.*)CONTEXT:  capture of table "t" by trigger "!outbox_insert_bytes"/, 'in a key');
($rc, $out, $err) = $node->psql($db, q{INSERT INTO t VALUES ('x', E'\\xff')});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'in a value');
eventually { $redis->count('bytes') >= 1 } 'bytes that are UTF-8 arrive';
is((entries('bytes'))[0]{message_key}, "\xc3\xbc", 'as they are');

# Who may not capture a table can't lock it either.
sql(<<'EOC');
CREATE ROLE nobody;
CREATE TABLE topic (payload json);
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO nobody;
SELECT outbox_grant('nobody', 'bytes');
EOC
my $holder = session($node, $db);
$holder->query_safe('BEGIN; LOCK TABLE t, topic');
for my $call ("outbox_capture('t', 'bytes')", "outbox_forward_watermill('topic')")
{
	($rc, $out, $err) = $node->psql($db, "SET ROLE nobody; SET lock_timeout = '1s'; SELECT $call");
	like($err, qr/permission denied for table/, "no lock is waited for: $call");
}
$holder->quit;

# Virtual generated columns (PostgreSQL 18) have no values in a trigger.
if (sql('SHOW server_version_num') >= 180000)
{
	sql("CREATE TABLE v (k int PRIMARY KEY, two int GENERATED ALWAYS AS (k * 2) VIRTUAL); SELECT outbox_capture('v', 'bytes')");
	sql('INSERT INTO v VALUES (1)');
	eventually { $redis->count('bytes') >= 2 } 'a table with a virtual column';
	is_deeply((entries('bytes'))[1]{new}, { k => 1 }, 'which is left out');
	($rc, $out, $err) = $node->psql($db, "SELECT outbox_capture('v', 'bytes', columns => '{two}')");
	like($err, qr/column "two" of table "v" cannot be captured/, 'or refused');
}

done_testing();
