# Copyright (c) 2026, the outbox developers
#
# Promise: what a paused queue has in a staging table is copied before the table is
# emptied (I2), also what Redis had got when the copies were made and has lost since.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db, 'p');

sub sql { return $node->safe_psql($db, $_[0]); }

sub emptied
{
	my ($name) = @_;
	return eventually {
		sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0'
	} $name;
}

# A new relay may have its first messages in one table and the next ones in the other.
put($node, $db, 'p', 'first');
settle($node, $db, $redis, 'p');
emptied('staging is empty');
configure($node, 'outbox.retention' => '1h');

put($node, $db, 'p', 'kept');
settle($node, $db, $redis, 'p');
$redis->remember;
put($node, $db, 'p', map { "lost $_" } 1 .. 20);
settle($node, $db, $redis, 'p');
sql("SELECT outbox_pause_queue('p')");
put($node, $db, 'p', map { "waiting $_" } 1 .. 20);

# Somebody keeps staging, so it isn't emptied when the copies have been made.
my $reader = session($node, $db);
$reader->query_safe('BEGIN; LOCK TABLE outbox.staging_1, outbox.staging_2 IN ACCESS SHARE MODE');
configure($node, 'outbox.retention' => '1s');
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.deferred') eq '20' } 'what waits is copied';
$redis->come_back_as_remembered;
eventually { log_of($node) =~ /outbox is delivering to Redis again/ } 'Redis comes back without its last writes';
$reader->query_safe('COMMIT');
$reader->quit;
emptied('staging is emptied');
cmp_ok(sql('SELECT count(*) FROM outbox.deferred'), '>=', 40, 'what was lost has been copied, too');
sql("SELECT outbox_resume_queue('p')");
audit($node, $db, $redis, ['p'], 45, 'all of it comes');

done_testing();
