# Copyright (c) 2026, the outbox developers
#
# Promise: a dump has each message that waited, or was given up, once (I3), whatever the
# relay writes about it while the dump is made.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Staging is not emptied meanwhile: what is refused is there, and in outbox.deferred.
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");
my $db = 'original';
my $base = $node->basedir;
$node->safe_psql('postgres', "CREATE DATABASE $db");
install($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }

sub dump_with
{
	my ($file, @snapshot) = @_;
	command_ok([ 'pg_dump', '-Fc', '-f', "$base/$file", @snapshot, $node->connstr($db) ], "$file: dumped");
	return;
}

sub has
{
	my ($file, $deferred, $dead) = @_;
	my $copy = $file =~ s/ /_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $copy");
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($copy), "$base/$file" ], "$file: restored");
	is($node->safe_psql($copy, "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY seq) FROM outbox.deferred"), $deferred, "$file: what waits");
	is($node->safe_psql($copy, "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY seq) FROM outbox.dead_letter"), $dead, "$file: dead letters");
	return;
}

sql(<<'EOC');
SELECT create_queue('r', on_failure => 'retry', max_attempts => 1000, retry_delay => '100ms', retry_max_delay => '100ms'),
	create_queue('d', on_failure => 'dead_letter');
SELECT outbox_pause_queue('r'), outbox_pause_queue('d');
SELECT outbox_enqueue('r', 'r' || i) FROM generate_series(1, 2) AS i;
SELECT outbox_enqueue('d', 'd' || i) FROM generate_series(1, 2) AS i;
EOC
$redis->cmd('SET', $_, 'of another type') for 'r', 'd';

# A snapshot that sees them staged, and one that sees them refused.
my $staged = session($node, $db);
my $first = $staged->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT pg_export_snapshot()");
sql("SELECT outbox_resume_queue('r'), outbox_resume_queue('d')");
eventually { ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE attempts > 0") eq '2' && ask($node, $db, 'SELECT count(*) FROM outbox.dead_letter') eq '2' } 'they are refused';
my $refused = session($node, $db);
my $second = $refused->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT pg_export_snapshot()");
my $attempts = sql('SELECT min(attempts) FROM outbox.deferred');
eventually { ask($node, $db, 'SELECT min(attempts) FROM outbox.deferred') > $attempts } 'and refused again';
sql('UPDATE outbox.dead_letter SET skipped = skipped');

dump_with('staged', "--snapshot=$first");
dump_with('refused', "--snapshot=$second");
dump_with('now');
has($_, 'r1 r2', 'd1 d2') for 'refused', 'now';

# Whether they are dead or wait is as they were, or as they are.
has('staged', 'r1 r2 d1 d2', '');

done_testing();
