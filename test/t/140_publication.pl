# Copyright (c) 2026, the outbox developers
#
# Promise: a publication FOR ALL TABLES, made before or after the extension, breaks
# neither callers nor the relay (I2, I3), and carries nothing of staging: no row, and
# no TRUNCATE when a table is emptied.  What is held in a copy or a dump is released there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, streaming => 'logical',
	conf => "outbox.retention = 1s\nmax_prepared_transactions = 5\nautovacuum = off\n");
my $db = 'postgres';
my $id = 'aaaaaaaa-0000-7000-8000-00000000000';

sub sql { return $node->safe_psql($db, $_[0]); }

sql('CREATE PUBLICATION everything FOR ALL TABLES');
install($node, $db, 'q', 'gone');
sql("SELECT pg_create_logical_replication_slot('decoded', 'test_decoding'), pg_create_logical_replication_slot('published', 'pgoutput')");
sql("SELECT create_queue('d', on_failure => 'dead_letter'), create_queue('r', on_failure => 'retry', retry_delay => '10 ms'), create_queue('p'), create_queue('late'), create_queue('many')");

# Each of our tables is written in each way, by callers and by the relay.
put($node, $db, 'q', map { "first $_ " . 'x' x 5000 } 1 .. 50);
sql("SELECT outbox_enqueue_many('many', (SELECT jsonb_agg(repeat(i::text, i * 10)) FROM generate_series(1, 250) AS i))");
sql("BEGIN; SELECT put('q', 'prepared'); PREPARE TRANSACTION 'p'");
sql("COMMIT PREPARED 'p'");
sql("SELECT outbox_enqueue('late', 'late $_', delay => '1 hour', id => '$id$_')") for 1 .. 3;
is(sql("SELECT outbox_cancel('${id}1')"), 't', 'cancelled');
sql("UPDATE outbox.deferred SET due_at = now() WHERE id = '${id}2'");
eventually { $redis->count('late') == 1 } 'delayed';

$redis->cmd('SET', $_, 'of another type') for 'd', 'r';
sql("SELECT outbox_enqueue('r', 'r' || i) FROM generate_series(1, 5) AS i");
sql("SELECT outbox_enqueue('d', 'd' || i, id => ('$id' || i)::uuid) FROM generate_series(4, 6) AS i");
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.dead_letters') eq '3' } 'refused, they are dead letters';
eventually { ask($node, $db, 'SELECT max(attempts) > 1 FROM outbox.deferred') eq 't' } 'or are tried again';
$redis->cmd('DEL', $_) for 'd', 'r';
is(sql("SELECT outbox_discard('${id}4')"), 't', 'discarded');
is(sql("SELECT outbox_replay('${id}5')"), 't', 'replayed');
is(sql("SELECT outbox_replay_queue('d')"), '1', 'and the rest');
eventually { $redis->count('d') == 2 && $redis->count('r') >= 5 } 'all of these come';

sql("SELECT outbox_pause_queue('p')");
put($node, $db, 'p', map { "p$_" } 1 .. 20);
sql("SELECT outbox_alter_queue('gone', maxlen => 5)");
sql("SELECT outbox_enqueue('gone', 'x')");
eventually { $redis->count('gone') == 1 } 'a queue is used';
sql("SELECT outbox_drop_queue('gone', true)");
sql("SELECT outbox_resend('d', now() - interval '1 hour')");
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.resend_request') eq '0' } 'sent again';
eventually {
	put($node, $db, 'q', 'passing by');
	ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'") eq '20'
	  && ask($node, $db, "SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) s JOIN journal j USING (id) WHERE body ~ '^(first|p[0-9])'") eq '0'
} 'staging is emptied, and what a paused queue had there is copied';
sql("SELECT outbox_resume_queue('p')");
my $old = relay_pid($node, $db);
kill 'TERM', $old;
another_relay($node, $db, $old, 'another relay');
audit($node, $db, $redis, [ 'q', 'p' ], 71, 'nothing is lost, nothing comes twice');
is(log_of($node) =~ /ERROR|PANIC|replica identity/ ? $& : '', '', 'nothing has failed');

# What others get of it.
my $decoded = sql("SELECT data FROM pg_logical_slot_get_changes('decoded', NULL, NULL)");
like($decoded, qr/table outbox\.deferred: INSERT/, 'deferred messages are decoded');
like($decoded, qr/table public\.journal: INSERT/, 'so are the application\'s rows');
unlike($decoded, qr/table outbox\.staging/, 'but no row of staging');
unlike($decoded, qr/TRUNCATE/, 'and no TRUNCATE');
my $published = "FROM pg_logical_slot_peek_binary_changes('published', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')";
cmp_ok(sql("SELECT count(*) $published WHERE encode(data, 'escape') ~ 'outbox.*deferred'"), '>', 0, 'deferred messages are published');
is(sql("SELECT count(*) $published WHERE encode(data, 'escape') ~ 'staging_'"), 0, 'but no staging table');
is(sql("SELECT count(*) $published WHERE get_byte(data, 0) = ascii('T')"), 0, 'and no TRUNCATE');

# What is held is released, in a copy of the database and in a restored dump.
put($node, $db, 'p', 'kept');
settle($node, $db, $redis, 'p');
sql("SELECT outbox_pause_queue('p')");
put($node, $db, 'p', 'waits');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'a dump');
$node->safe_psql('template1', "CREATE DATABASE copy TEMPLATE $db");
$node->safe_psql('template1', 'CREATE DATABASE restored TEMPLATE template0');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'is restored');
for my $of ('copy', 'restored')
{
	eventually { status($node, $of, 'state') eq 'held' } "$of: held";
	is($node->safe_psql($of, 'SELECT puballtables FROM pg_publication'), 't', "$of: all tables are published");
	my $count = $redis->count('p');
	$node->safe_psql($of, "SELECT outbox_release('$of')");
	eventually { status($node, $of, 'state') eq 'running' } "$of: released";
	$node->safe_psql($of, q{SELECT outbox_resume_queue('p')});
	eventually { $redis->count('p') > $count && $redis->last_of('p') eq 'waits' } "$of: delivers";
	is($node->safe_psql($of, "SELECT outbox_cancel('${id}3')"), 't', "$of: what was delayed is delayed still, and can be taken back");
}
is(log_of($node) =~ /PANIC|replica identity/ ? $& : '', '', 'nothing has failed');

done_testing();
