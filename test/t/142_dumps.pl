# Copyright (c) 2026, the outbox developers
#
# Promise: a dump has what waited, however old its snapshot is and wherever that has
# been moved meanwhile (I2), and never keeps staging from being emptied (I6).  However
# it is restored, also with triggers disabled, everything is held (I3), and comes when
# it is released.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1s\n");
my $db = 'original';
my $base = $node->basedir;
$node->safe_psql('postgres', "CREATE DATABASE $db");
install($node, $db, 'q', 'p');

sub sql { return $node->safe_psql($db, $_[0]); }

# All of these are staged when the snapshot is taken.
sql(<<'EOC');
SELECT create_queue('r', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour'),
	create_queue('d', on_failure => 'dead_letter'), create_queue('late');
SELECT outbox_pause_queue(q) FROM unnest(ARRAY['p', 'r', 'd']) AS q;
SELECT outbox_enqueue('p', 'p' || i) FROM generate_series(1, 20) AS i;
SELECT outbox_enqueue('r', 'r' || i, key => 'k' || i % 3) FROM generate_series(1, 9) AS i;
SELECT outbox_enqueue('d', 'd' || i) FROM generate_series(1, 5) AS i;
SELECT outbox_enqueue('late', 'late', delay => '1 hour');
EOC
my $old = session($node, $db);
my $snapshot = $old->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT pg_export_snapshot()");
my $waits = "queue IN (SELECT id FROM outbox.queue WHERE name IN ('p', 'r', 'd'))";
is(sql("SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE $waits"), 34, 'they are staged');

# Then they are moved: evacuated, refused, given up, replayed, discarded.
$redis->cmd('SET', $_, 'of another type') for 'r', 'd';
sql("SELECT outbox_resume_queue(q) FROM unnest(ARRAY['r', 'd']) AS q");
eventually {
	sql("SELECT outbox_enqueue('q', 'passing by')");
	ask($node, $db, "SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason), (SELECT count(*) FROM outbox.dead_letter) FROM outbox.deferred")
	  eq 'behind delayed evacuated retry|5'
	  && ask($node, $db, "SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE $waits") eq '0'
} 'while the snapshot is held staging is emptied, and what waits is elsewhere';
sql("SELECT outbox_enqueue('p', 'too late for the snapshot')");
sql("SELECT outbox_discard(id) FROM outbox.dead_letters WHERE payload #>> '{}' = 'd5'");
is($old->query_safe("SELECT count(*) FROM outbox.deferred WHERE $waits"), 0, 'where the snapshot does not see it');

sub dump_to
{
	my ($file, @options) = @_;
	command_ok([ 'pg_dump', '-f', "$base/$file", @options, $node->connstr($db) ], "pg_dump @options");
	return;
}
dump_to('old', '-Fc', "--snapshot=$snapshot");
dump_to('old inserts', '--inserts', "--snapshot=$snapshot");
dump_to('data', '-a', '--disable-triggers');
dump_to('jobs', '-Fd', '-j2');
$old->query_safe('COMMIT');
$old->quit;

# Restore, and see what is held.
sub restored
{
	my ($name, $waiting, @command) = @_;
	$db = $name =~ s/ /_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	if ($name =~ /data/)
	{
		sql('CREATE EXTENSION outbox');
		run_sql($node, $db, 'journal.sql');
	}
	command_ok([ @command, '-d', $node->connstr($db) ], "$name: restored");
	eventually { status($node, $db, 'state') eq 'held' } "$name: held";
	is(sql("SELECT string_agg(DISTINCT reason, ' '), count(DISTINCT id) FROM outbox.deferred WHERE queue IN (SELECT id FROM outbox.queue WHERE name <> 'q')"), "restored|$waiting", "$name: all that waited is there");
	like(sql("SELECT string_agg(payload #>> '{}', ' ' ORDER BY payload #>> '{}') FROM outbox.dead_letters"),
		$waiting == 30 ? qr/^d1 d2 d3 d4( d5)?$/ : qr/^d1 d2 d3 d4$/, "$name: so are dead letters");
	is(sql('SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s'), 0, "$name: nothing is staged");
	eventually {
		ask($node, $db, "SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'A' AND tgrelid::regclass::text LIKE 'outbox.%'") eq '0'
	} "$name: triggers are enabled for all sessions";
	return;
}
my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1');
restored('old', 30, 'pg_restore', '--exit-on-error', "$base/old");
restored('old inserts', 30, @psql, '-f', "$base/old inserts");
restored('data', 31, @psql, '-f', "$base/data");
restored('data at once', 31, @psql, '-1', '-f', "$base/data");
restored('jobs', 31, 'pg_restore', '-j2', "$base/jobs");
is(join(' ', map { $redis->count($_) } 'p', 'late'), '0 0', 'nothing has come from any of them');

# Release one, with what the original was; the others come to an end.
$node->safe_psql('postgres', "DROP DATABASE $_ WITH (FORCE)") for 'original', 'old_inserts', 'data', 'jobs', 'old';
$redis->cmd('FLUSHALL');
$db = 'data_at_once';
sql("SELECT outbox_release('restored')");
sql("SELECT outbox_resume_queue('p'); SELECT outbox_enqueue(q, 'last') FROM unnest(ARRAY['p', 'r', 'd']) AS q");
eventually { $redis->last_of($_) eq 'last' } "$_: released" for 'p', 'r', 'd';
is(join(' ', map { $_->[1] } $redis->arrived('p')), join(' ', (map { "p$_" } 1 .. 20), 'too late for the snapshot', 'last'), 'p: each once, in order');
is(join(' ', map { $_->[1] } $redis->arrived('r')), join(' ', (map { "r$_" } 1 .. 9), 'last'), 'r: each once, in order');
is(join(' ', map { $_->[1] } $redis->arrived('d')), 'last', 'd: dead letters stay dead');
is(sql('SELECT reason, count(*) FROM outbox.deferred GROUP BY 1'), 'delayed|1', 'what is delayed is delayed');

done_testing();
