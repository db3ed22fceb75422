# Copyright (c) 2026, the outbox developers
#
# Promise: what outbox does with a queue's messages it does in their partition: one that is
# refused holds its own key, it is replayed into its key's partition, consumers return it
# there, captured rows and a backfill keep the order of keys, a restored dump goes on with
# it.  No two queues have an id in common, however they are made.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Partitions;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1s');
my $db = 'postgres';
install($node, $db);
sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }
sub list { my ($key) = @_; return join ' ', @{ $redis->cmd('LRANGE', $key, 0, -1) }; }

# Refused, by a function that knows the partition's key.
my ($held, $free, $other) = (key_for(1, 4), (grep { crc16($_) % 4 == 1 } map { "free$_" } 0 .. 99)[0], key_for(2, 4));
for my $policy (qw(retry dead_letter))
{
	my $attempts = $policy eq 'retry' ? 2 : 1;
	sql(qq{SELECT outbox_create_queue('$policy', 'function', on_failure => '$policy', max_attempts => 2, retry_delay => '300 ms',
		options => \$\${"function": "if payload == 'bad' then error('it is bad') end redis.call('RPUSH', key, payload)"}\$\$,
		settings => '{"partitions": 4, "payload_type": "text"}')});
	sql(qq{SELECT put_key('$policy', '$held', 'before'), put_key('$policy', '$held', 'bad'), put_key('$policy', '$held', 'behind'),
		put_key('$policy', '$free', 'free'), put_key('$policy', '$other', 'other')});
	eventually { list("{$policy:1}") eq 'before free behind' || list("{$policy:1}") eq 'before behind free' } "$policy: its key waits for it, others do not";
	is(list("{$policy:2}"), 'other', "$policy: another partition goes on") if $policy eq 'retry';
	eventually { sql('SELECT count(*) FROM outbox.dead_letters') == 1 } "$policy: it is a dead letter";
	is(sql('SELECT queue, key, attempts FROM outbox.dead_letters'), "$policy|$held|$attempts", "... of its queue");
	eventually { sql(qq{SELECT dead_letters, dead_lettered FROM outbox.queue_status WHERE queue = '$policy'}) eq '1|1' } '... and counted';
	is(sql(qq{SELECT partition FROM outbox.partition_status WHERE queue = '$policy' AND dead_letters = 1}), 1, '... in its partition');
	sql(qq{SELECT outbox_alter_queue('$policy', options => \$\${"function": "redis.call('RPUSH', key, payload)"}\$\$)});
	is(sql(qq{SELECT outbox_replay(id) FROM outbox.dead_letters}), 't', '... it is replayed') if $policy eq 'retry';
	is(sql(qq{SELECT outbox_replay_queue('$policy')}), 1, '... it is replayed') if $policy ne 'retry';
	eventually { list("{$policy:1}") =~ / bad$/ } '... into its partition';
}
sql(qq{SELECT outbox_alter_queue('retry', options => '{"function": "error(1)"}'); SELECT put_key('retry', 'a' || n, 'x') FROM generate_series(1, 20) AS n});
eventually { sql('SELECT count(*) FROM outbox.dead_letters') == 20 } 'dead letters of several partitions';
cmp_ok(sql('SELECT count(DISTINCT queue) FROM outbox.dead_letter WHERE gone_at IS NULL'), '>', 1, '... indeed');
is(sql(q{SELECT outbox_discard_queue('retry')}), 20, '... are discarded at once');

# Commands, lists, channels, topics.
sql(q{SELECT outbox_create_queue('c', 'commands', options => '{"commands": [["HSET", "{redis_key}", "{key}", "{payload}"]]}', settings => '{"partitions": 4}');
	SELECT outbox_create_queue('l', 'list', format => 'raw', redis_key => '{l}:list', settings => '{"partitions": 4}');
	SELECT outbox_create_queue('n', 'publish', format => 'raw', settings => '{"partitions": 4}')});
sql(qq{SELECT put_key('c', '$held', 'commands'), put_key('l', '$held', 'list')});
eventually { $redis->cmd('HGET', '{c:1}', $held) // '' eq 'commands' } 'commands get the key of the partition';
eventually { list('{l:1}:list') eq 'list' } 'a list';
my $subscriber = $redis->client;
$subscriber->cmd('SUBSCRIBE', '{n:1}');
sql(qq{SELECT put_key('n', '$held', 'channel')});
is_deeply($subscriber->reply, [ 'message', '{n:1}', 'channel' ], 'a channel');
sql(q{CREATE TABLE topic (uuid text, payload json, metadata json);
	SELECT outbox_forward_watermill('topic', '{"create_queues": {"settings": {"partitions": 4}}}');
	INSERT INTO topic (uuid, payload) SELECT gen_random_uuid(), json_build_object('destination_topic', 'topics', 'uuid', gen_random_uuid(), 'payload', 'eA==', 'metadata', '{}'::json)
		FROM generate_series(1, 100)});
eventually { my $n = 0; $n += $redis->count("{topics:$_}") for 0 .. 3; $n == 100 } "Watermill's messages are forwarded to partitions";

# Consumers return what they get to the partition's own streams.
sql(q{SELECT outbox_create_queue('r', on_failure => 'retry', retry_delay => '1 ms', max_attempts => 3, consumer_retry => true, settings => '{"partitions": 4, "payload_type": "text"}')});
my ($rc, undef, $err) = $node->psql($db, q{SELECT outbox_create_queue('r1', redis_key => '{r:1}', on_failure => 'retry', consumer_retry => true)});
like($err, qr/return messages to another queue/, 'a stream of a partition is no other queue\'s');
($rc, undef, $err) = $node->psql($db, q{SELECT outbox_create_queue('r1', redis_key => '{r}', on_failure => 'retry', consumer_retry => true, settings => '{"partitions": 2}')});
like($err, qr/return messages to another queue/, '... nor those of another queue with partitions');
sql(qq{SELECT put_key('r', '$held', 'returned'), put_key('r', '$other', 'given up')});
eventually { $redis->last_of('{r:1}') eq 'returned' && $redis->last_of('{r:2}') eq 'given up' } 'consumers have got them';
give_back($redis, '{r:1}:retry', (deliveries($redis, '{r:1}'))[0], 'not now');
give_back($redis, '{r:2}:dead', (deliveries($redis, '{r:2}'))[0], 'never');
eventually { attempts($redis, '{r:1}', 'returned') =~ /^\S+ 2$/ } 'it comes again in its partition';
eventually { sql(q{SELECT key, reason FROM outbox.dead_letters WHERE queue = 'r'}) eq "$other|consumer" } 'the other one is given up';
is(sql(q{SELECT outbox_replay_queue('r')}), 1, '... replayed');
eventually { () = attempts($redis, '{r:2}', 'given up') =~ /\S+/g; $redis->count('{r:2}') == 2 } '... and comes again';

# A relay forgets what was read for queues that are gone, when it starts and once a minute.
my $positions = q{SELECT count(*) FROM outbox.consumer_position AS p JOIN outbox.queue AS q ON p.queue BETWEEN q.id AND q.id + 3 WHERE q.name = 'r'};
my $n = sql($positions);
cmp_ok($n, '>', 1, 'what was read is noted for each partition');
sql(q{INSERT INTO outbox.consumer_position VALUES (2000000000, 'a', 'k', '0-0', '0-0'); SELECT pg_terminate_backend(pid) FROM outbox.status});
eventually { sql('SELECT count(*) FROM outbox.consumer_position WHERE queue = 2000000000') == 0 } 'what belongs to no queue is forgotten';
is(sql($positions), $n, '... and nothing of partitions');

# Captured rows.
sql(q{CREATE TABLE t (id int PRIMARY KEY, version int);
	INSERT INTO t SELECT n, 0 FROM generate_series(1, 200) AS n;
	SELECT outbox_create_queue('t', settings => '{"partitions": 5}'); SELECT outbox_capture('t', 't')});
my $writer = session($node, $db);
sql(q{DO $$ BEGIN FOR v IN 1 .. 20 LOOP UPDATE t SET version = v WHERE id <= 50; COMMIT; END LOOP; END $$});
sql(q{CALL outbox_backfill('t', 't', '{"chunk_rows": 20}')});
$writer->quit;
eventually { my $n = 0; $n += $redis->count("{t:$_}") for 0 .. 4; $n == 50 * 20 + 200 } 'changes and rows have arrived';
my (%version, %partition, @faults);
for my $p (0 .. 4)
{
	for my $entry ($redis->entries("{t:$p}"))
	{
		my %f = @{ $entry->[1] };
		my ($version) = $f{payload} =~ /"version": ?(\d+)/;
		push @faults, "$f{key} in $p" if crc16($f{key}) % 5 != $p;
		push @faults, "$f{key}: $version after $version{ $f{key} }" if defined $version{ $f{key} } && $version < $version{ $f{key} };
		$version{ $f{key} } = $version;
	}
}
is("@faults", '', 'each row in its partition, its versions in order');
is(scalar keys %version, 200, 'all rows');

# A dump that is restored.
sql(q{SELECT outbox_create_queue('d', settings => '{"partitions": 4, "payload_type": "text"}'); SELECT outbox_pause_queue('d')});
sql(q{SELECT put_key('d', 'key' || n, 'key' || n) FROM generate_series(1, 50) AS n});
sql(q{SELECT outbox_enqueue('d', 'later', key => 'key5', delay => '1 hour')});
my $file = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $file, $node->connstr($db) ], 'pg_dump');
$node->safe_psql($db, 'CREATE DATABASE copy');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $file ], 'it is restored');
wait_relay($node, 'copy');
$node->safe_psql('copy', q{SELECT outbox_resume_queue('d'); SELECT outbox_release('restored')});
eventually { my $n = 0; $n += $redis->count("{d:$_}") for 0 .. 3; $n == 50 } 'what waited is delivered there';
for my $p (0 .. 3) { is(scalar(grep { crc16($_->[1]) % 4 != $p } $redis->arrived("{d:$p}")), 0, "... partition $p"); }
is($node->safe_psql('copy', "SELECT outbox_cancel_key('d', 'key5')"), 1, 'what was delayed is, in its partition');
$node->safe_psql('copy', q{SELECT outbox_create_queue('next', settings => '{"partitions": 4}')});

# Many at once.
my @pids;
for my $session (1 .. 4)
{
	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		exec 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-c',
		  "SELECT count(outbox_create_queue('many ' || $session || ' ' || n, settings => jsonb_build_object('partitions', 1 + n % 7))) FROM generate_series(1, 40) AS n"
		  or POSIX::_exit(127);
	}
	push @pids, $pid;
}
waitpid $_, 0 for @pids;
is(sql(q{SELECT count(*) FROM outbox.queue WHERE name LIKE 'many %'}), 160, 'all queues are created');
is(sql(q{SELECT count(*) = count(DISTINCT id + partition) FROM outbox.partition_rows()}), 't', 'no two partitions have the same id');
sql('ALTER SEQUENCE outbox.queue_id INCREMENT BY 2');
($rc, undef, $err) = $node->psql($db, q{SELECT outbox_create_queue('gaps', settings => '{"partitions": 2}')});
like($err, qr/does not give out numbers one after the other/, '... nor do they share numbers that others have drawn meanwhile');
sql('ALTER SEQUENCE outbox.queue_id INCREMENT BY 1');
($rc, undef, $err) = $node->psql($db, q{UPDATE outbox.queue SET partitions = 1024 WHERE name = 'd'});
like($err, qr/queue_ids/, '... nor can they get it by hand');

done_testing();
