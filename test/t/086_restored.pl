# Copyright (c) 2026, the outbox developers
#
# Promise: what waited in whatever way when a database was dumped waits in the
# restored one until outbox_release(); then each message goes once, in order;
# delayed ones keep their time, dead letters stay dead until they are replayed,
# paused queues stay paused; and old numbers are not taken for new ones.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1s');
my $db = 'original';
$node->safe_psql('postgres', "CREATE DATABASE $db");
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { return join ' ', map { $_->[1] } $redis->arrived($_[0]); }
sub break_it { return $redis->cmd('SET', $_[0], 'of another type'); }
sub mend_it { return $redis->cmd('DEL', $_[0]); }

sub reasons
{
	return ask($node, $db, "SELECT string_agg(DISTINCT reason, ' ' ORDER BY reason) FROM outbox.deferred");
}

# One of each kind.
sql(<<'EOC');
SELECT create_queue('r', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour'),
	create_queue('d', on_failure => 'dead_letter'),
	create_queue('e'), create_queue('late');
EOC
sql("SELECT outbox_pause_queue('e')");
sql("SELECT outbox_enqueue('e', 'e' || i) FROM generate_series(1, 20) AS i");
eventually {
	sql("SELECT outbox_enqueue('q', 'x')");
	reasons() eq 'evacuated'
	  && ask($node, $db, "SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s"
		  . " JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name = 'e'") eq '0';
} 'evacuated';
# What comes from now on stays in staging too.
configure($node, 'outbox.retention' => '1h');
break_it($_) for 'r', 'd';
sql("SELECT outbox_enqueue('e', 'e' || i) FROM generate_series(21, 25) AS i");
sql("SELECT outbox_enqueue('r', 'r' || i, key => 'k' || i % 3) FROM generate_series(1, 9) AS i");
sql("SELECT outbox_enqueue('d', 'd' || i) FROM generate_series(1, 9) AS i");
sql("SELECT outbox_enqueue('late', 'far away', delay => '1 hour', id => 'aaaaaaaa-0000-7000-8000-000000000001')");
eventually { reasons() eq 'behind delayed evacuated retry' } 'refused, behind, delayed, evacuated';
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.dead_letters') eq '9' } 'and dead';
sql("SELECT outbox_discard(id) FROM outbox.dead_letters WHERE payload #>> '{}' IN ('d8', 'd9')");
sql("SELECT outbox_enqueue('late', 'soon ' || i, deliver_at => now() + interval '30 min' - i * interval '1 ms')"
	  . " FROM generate_series(1, 3) AS i");
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'pg_dump');
my $far = sql("SELECT due_at FROM outbox.deferred WHERE id = 'aaaaaaaa-0000-7000-8000-000000000001'");
my $seq = sql("SELECT last_value FROM outbox.seq");

# From here on the original is no more; Redis has other keys by these names.
$node->safe_psql('postgres', "DROP DATABASE $db WITH (FORCE)");
$redis->cmd('FLUSHALL');
$node->safe_psql('postgres', "CREATE DATABASE restored");
$db = 'restored';
command_ok([ 'pg_restore', '-d', $node->connstr($db), '--exit-on-error', $dump ], 'pg_restore');
eventually { status($node, $db, 'state') eq 'held' } 'held';
is(reasons(), 'restored', 'all that waited is restored');
is(sql('SELECT count(*) FROM outbox.dead_letters'), 7, 'so are dead letters, but for those discarded');
is(sql("SELECT string_agg(name, ' ') FROM outbox.queue WHERE paused_at IS NOT NULL"), 'e', 'a paused queue is paused');
sql("UPDATE outbox.deferred SET due_at = due_at - interval '1 hour' WHERE due_at < now() + interval '31 min'");
eventually { sql("SELECT count(*) FROM outbox.deferred WHERE due_at < now()") eq '3' } 'what was soon is due';
is(join(' ', map { $redis->count($_) } 'q', 'r', 'd', 'e', 'late'), '0 0 0 0 0', 'but held');
sql("SELECT outbox_enqueue('r', 'new', key => 'k1')");

is(sql(q{BEGIN; SELECT messages > 0 FROM outbox_release('restored'); ROLLBACK}), 't', 'released, but rolled back');
is(reasons(), 'restored', 'so they still wait');
sql(q{SELECT outbox_release('restored')});
eventually { status($node, $db, 'state') eq 'running' } 'running';
eventually { $redis->count('late') >= 3 } 'what was due meanwhile goes';
sql("SELECT outbox_enqueue('$_', 'last') FROM generate_series(1, 1)") for 'r', 'd', 'late';
eventually { $redis->last_of($_) eq 'last' } "$_: all has come" for 'r', 'd', 'late';
is(payloads('r'), join(' ', 'new', (map { "r$_" } 1 .. 9), 'last'), 'refused ones and those behind them: each once, in order');
is(payloads('late'), 'soon 1 soon 2 soon 3 last', 'those that were due, in order');
is(payloads('d'), 'last', 'dead letters stay dead');
is($redis->count('e'), 0, 'paused ones stay where they are');
is(reasons(), 'delayed', 'what isn\'t due yet is delayed');
is(sql("SELECT due_at = '$far' FROM outbox.deferred WHERE id = 'aaaaaaaa-0000-7000-8000-000000000001'"),
	't', 'until its time');
is(sql("SELECT outbox_cancel('aaaaaaaa-0000-7000-8000-000000000001')"), 't', 'and can be taken back');
sql("SELECT outbox_resume_queue('e')");
eventually { $redis->count('e') >= 25 } 'resumed, the paused ones go';
is(payloads('e'), join(' ', map { "e$_" } 1 .. 25), 'each once, in order');

# Dead letters of both databases: numbers are given out anew in this one, so
# some are the same.
my $taken = sql('SELECT last_value FROM outbox.seq');
break_it('q');
sql("SELECT outbox_alter_queue('q', on_failure => 'dead_letter')");
sql("SELECT setval('outbox.seq', (SELECT min(seq) FROM outbox.dead_letter) - 1)");
sql("SELECT outbox_alter_queue('d', on_failure => 'dead_letter')");
$redis->cmd('RENAME', 'd', 'd aside');
break_it('d');
sql("SELECT outbox_enqueue('d', 'n' || i) FROM generate_series(1, 9) AS i");
eventually { ask($node, $db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'd'") eq '16' }
'dead letters with numbers that restored ones have, too';
mend_it('d');
$redis->cmd('RENAME', 'd aside', 'd');
sql("SELECT setval('outbox.seq', greatest($taken, (SELECT last_value FROM outbox.seq), $seq))");
sql("SELECT outbox_discard(id) FROM outbox.dead_letters WHERE payload #>> '{}' = 'd7'");
is(sql("SELECT outbox_replay_queue('d')"), '15', 'all can be replayed');
eventually { $redis->count('d') >= 16 } 'and come';
is(payloads('d'), join(' ', 'last', (map { "d$_" } 1 .. 6), map { "n$_" } 1 .. 9), 'each once, in order');
my $relay = relay_pid($node, $db);
kill 'KILL', $relay;
eventually { my $new = relay_pid($node, $db); $new && $new ne $relay } 'another relay';
eventually { status($node, $db, 'state') eq 'running' } 'it runs';
sql("SELECT outbox_enqueue('$_', 'end')") for 'd', 'e', 'r';
eventually { $redis->last_of($_) eq 'end' } "$_ goes on" for 'd', 'e', 'r';
is(join(' ', map { $redis->count($_) } 'd', 'e', 'r'), '17 26 12', 'nothing comes again');

done_testing();
