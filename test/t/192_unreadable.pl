# Copyright (c) 2026, the outbox developers
#
# Promise: a message that can't be read holds up its own queue and nobody else (I8), is
# not lost when it can be read again (I2), and is said in the views and in the log.  Here:
# rows whose payload is damaged, among those that are staged for all queues together:
# delayed ones that are due, and those that outbox_resend() asks for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1h');
my $db = 'postgres';
install($node, $db, 'bad', 'good', 'other');
$node->safe_psql($db, 'CREATE EXTENSION pg_surgery');
my $pid = relay_pid($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }
sub why { return status($node, $db, 'why'); }
sub last_error { return ask($node, $db, "SELECT last_error FROM outbox.queue_status WHERE queue = 'bad'"); }

# Take away what rows of these tables have in their toast tables.
sub damage
{
	for my $table (@_)
	{
		my $toast = sql("SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'outbox.$table'::regclass");
		sql("SELECT heap_force_kill('$toast', ARRAY(SELECT ctid FROM $toast))");
	}
	return;
}

my $id = 'aaaaaaaa-0000-7000-8000-000000000001';
my $large = "(SELECT 'secret' || string_agg(md5(i::text), '') FROM generate_series(1, 1000) AS i)";

# It is due first.
frozen {
	sql("SELECT outbox_enqueue('bad', $large, id => '$id', delay => '1 ms')");
	sql("SELECT outbox_enqueue('good', 'good ' || i, delay => '2 ms') FROM generate_series(1, 5) AS i");
	sql(q{SELECT outbox_enqueue('bad', 'small', delay => '3 ms')});
	damage('deferred');
	wait_for { sql(q{SELECT max(due_at) < now() FROM outbox.deferred WHERE reason = 'delayed'}) eq 't' };
} $pid;
eventually { $redis->count('good') == 5 } 'delayed: what is due at the same time is staged';
eventually { $redis->count('bad') == 1 } 'also of the same queue';
eventually { why() =~ /cannot stage the delayed message $id of queue "bad": / } 'status says which one cannot be';
eventually { last_error() =~ /cannot stage the delayed message $id/ } 'so does its queue';
like(log_of($node), qr/WARNING:  outbox cannot stage the delayed message $id of queue "bad"/, 'and the log');
put($node, $db, 'other', 'passing by');
eventually { $redis->count('other') == 1 } 'delivery goes on';
sql("SELECT outbox_enqueue('good', 'later', delay => '1 ms')");
eventually { $redis->count('good') == 6 } 'so does staging what is due';
sql("UPDATE outbox.deferred SET payload = 'mended' WHERE id = '$id'");
eventually { $redis->last_of('bad') eq 'mended' } 'mended, it comes';

# Of these, some are read before the one that can't be.
put($node, $db, 'bad', map { "bad $_" } 1 .. 10);
my $second = $id =~ s/1$/2/r;
sql("SELECT outbox_enqueue('bad', $large, id => '$second')");
put($node, $db, 'bad', map { "bad $_" } 11 .. 20);
settle($node, $db, $redis, 'bad', 'good', 'other');
damage('staging_1', 'staging_2');
my %had = map { $_ => $redis->count($_) } 'bad', 'good', 'other';
sql("SELECT outbox_resend('$_', now() - interval '1 hour')") for 'bad', 'good', 'other';
for my $queue ('good', 'other')
{
	eventually { $redis->count($queue) == 2 * $had{$queue} } "sent again: all of queue \"$queue\"";
}
eventually { why() =~ /cannot deliver messages of queue "bad" again: / } 'status says whose cannot be';
eventually { last_error() =~ /cannot deliver messages of queue "bad" again/ } 'so does the queue';
sql("DELETE FROM outbox.$_ WHERE id = '$second'") for 'staging_1', 'staging_2';
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.resend_request') eq '0' } 'without it, the rest is sent again';
settle($node, $db, $redis, 'bad');
is($redis->count('bad'), 2 * $had{bad}, 'each message once');
is(relay_pid($node, $db), $pid, 'the relay has never ended');
unlike(log_of($node), qr/secret/, 'and has told no payload');

done_testing();
