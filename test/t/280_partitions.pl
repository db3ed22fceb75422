# Copyright (c) 2026, the outbox developers
#
# Promise: a queue with partitions has a stream for each of them, and a key's messages are
# all in the one that CRC16 of the key says, which is the function of Redis Cluster.  A
# partition that stands still holds nothing but its own messages.  What is done with a queue
# is done with all its partitions; their number does not change.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 10min');
my $db = 'postgres';
install($node, $db);

sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }

sub refused
{
	my ($query, $why, $name) = @_;
	my ($rc, undef, $err) = $node->psql($db, $query);
	return ok($rc != 0 && $err =~ $why, $name) || diag($err);
}

my $create = q{SELECT outbox_create_queue('orders', on_failure => 'block', settings => '{"partitions": 16, "payload_type": "text"}')};
sql($create);
is(sql('SELECT partitions FROM outbox.queue_settings'), 16, 'a queue has its partitions');

# Where consumers find them.
my @partitions = split /\n/, sql('SELECT queue, partition, redis_key, slot FROM outbox.partitions ORDER BY partition');
is(scalar @partitions, 16, 'the view has a row for each');
is($partitions[3], 'orders|3|{orders:3}|' . slot('orders:3'), '... with its key and slot');
is_deeply([ map { (split /\|/)[3] } @partitions ], [ map { slot("orders:$_") } 0 .. 15 ], 'no two of them have the same slot');

# The rules of redis_key.
for my $case ([ 'a', '{a:1}' ], [ '{a}', '{a:1}' ], [ 'x:{a}:y{b}', 'x:{a:1}:y{b}' ])
{
	my ($key, $partition) = @$case;
	sql("SELECT outbox_create_queue('key', redis_key => '$key', settings => '{\"partitions\": 2}')");
	is(sql(q{SELECT redis_key FROM outbox.partitions WHERE queue = 'key' AND partition = 1}), $partition, "redis_key $key");
	sql("SELECT outbox_drop_queue('key')");
}
refused(qq{SELECT outbox_create_queue('key', redis_key => '$_', settings => '{"partitions": 2}')}, qr/no hash tag/, "redis_key $_ is refused")
  for 'a}', '{}a', '{a', 'a}{b';
sql(q{SELECT outbox_create_queue('key', redis_key => 'x{}', settings => '{"partitions": 1}'); SELECT outbox_drop_queue('key')});

# Who has them.
sql(qq{SELECT outbox_create_queue('t', target => '$_', settings => '{"partitions": 2}'); SELECT outbox_drop_queue('t')})
  for qw(stream list publish watermill);
refused(qq{SELECT outbox_create_queue('t', target => '$_', settings => '{"partitions": 2}')}, qr/has no partitions.*HINT/s, "target $_ has none")
  for qw(asynq celery sidekiq rq dramatiq);
refused(qq{SELECT outbox_create_queue('t', settings => '{"partitions": $_}')}, qr/partitions/, "partitions $_ are refused")
  for '0', '-1', '1025', '"2"', 'null', '1e9';
refused(q{SELECT outbox_alter_queue('orders', settings => '{"partitions": 8}')}, qr/cannot change the number of partitions.*HINT/s, 'their number does not change');
sql(q{SELECT outbox_alter_queue('orders', settings => '{"partitions": 16}')});
refused(q{SELECT outbox_alter_queue('orders', settings => '{"target": "asynq"}')}, qr/has no partitions/, 'nor the target to one without');
refused($create, qr/already exists/, 'it exists');
like($node->psql($db, $create =~ s/\)$/, if_not_exists => true)/r, on_error_stop => 1) // '', qr/^0?$/, 'if_not_exists');
refused($create =~ s/16/8/r =~ s/\)$/, if_not_exists => true)/r, qr/differs in partitions/, 'if_not_exists compares them');

# The same function as that of Redis.
my @keys = ('', 'a', '123456789', 'alice', "\xc3\xa4\xc3\xb6\xc3\xbc", 'user:4711', map { "key $_" } 1 .. 50);
my $cluster = OutboxTest::Redis->start('cluster-enabled' => 'yes');
is(crc16($_) % 16384, $cluster->cmd('CLUSTER', 'KEYSLOT', $_), "CRC16 of '$_'") for @keys;
is($cluster->cmd('CLUSTER', 'KEYSLOT', (split /\|/)[2]), (split /\|/)[3], "slot of $_") for @partitions[ 0 .. 2 ];

# Each key goes where it says.
sql("SELECT put_key('orders', '$_', '$_')") for @keys;
eventually { sql(q{SELECT delivered FROM outbox.queue_status}) == @keys } 'all are delivered';
for my $p (0 .. 15)
{
	is_deeply([ map { $_->[1] } $redis->arrived("{orders:$p}") ], [ grep { crc16($_) % 16 == $p } @keys ], "partition $p");
}
is(sql(q{SELECT sum(delivered) FROM outbox.partition_status}), scalar @keys, 'the figures of partitions');

# Without a key by its number: all get some.
sql(q{SELECT put('orders', 'no key') FROM generate_series(1, 400)});
eventually { sql(q{SELECT delivered FROM outbox.queue_status}) == @keys + 400 } 'those without keys are delivered';
is(sql(q{SELECT count(*) FROM outbox.partition_status WHERE delivered > 10}), 16, '... to all partitions');
my %seq = map { split /\|/ } split /\n/, sql('SELECT id, seq FROM outbox.messages WHERE key IS NULL');
my @wrong;
for my $p (0 .. 15)
{
	push @wrong, grep { $_->[1] eq 'no key' && crc16($seq{ $_->[0] }) % 16 != $p } $redis->arrived("{orders:$p}");
}
is(scalar @wrong, 0, '... as CRC16 of the digits says');

# A partition stands still, for itself.
my ($bad) = grep { crc16("key $_") % 16 == 5 } 1 .. 1000;
my ($good) = grep { crc16("key $_") % 16 == 6 } 1 .. 1000;
$redis->cmd('RENAME', '{orders:5}', 'kept');
$redis->cmd('SET', '{orders:5}', 'no stream');
sql("SELECT put_key('orders', 'key $bad', 'refused'); SELECT put_key('orders', 'key $good', 'goes on')");
eventually { $redis->last_of('{orders:6}') eq 'goes on' } 'others go on';
eventually { sql(q{SELECT state, why FROM outbox.queue_status}) =~ /^blocked\|partition 5: .*WRONGTYPE/ } 'the queue tells which partition stands still';
is(sql(q{SELECT string_agg(partition::text, ' ') FROM outbox.partition_status WHERE state = 'blocked'}), 5, '... so does the view');
like(status($node, $db, 'summary'), qr/^queue orders blocked.*partition 5|^queue orders blocked/, 'the summary has it once');
like(log_of($node), qr/partition 5 of queue "orders" stands still/, 'the log has it');
is(sql(q{SELECT waiting FROM outbox.queue_status}), 1, 'one message waits');
sql("SELECT put_key('orders', 'key $good', 'still')");
eventually { $redis->last_of('{orders:6}') eq 'still' } 'others go on still';
$redis->cmd('DEL', '{orders:5}');
$redis->cmd('RENAME', 'kept', '{orders:5}');
eventually { $redis->last_of('{orders:5}') eq 'refused' } 'it goes on when Redis takes the message';
eventually { sql('SELECT state FROM outbox.queue_status') eq 'flowing' } 'the queue flows';

# A pause is the queue's.
sql(q{SELECT outbox_pause_queue('orders')});
eventually { sql(q{SELECT count(*) FROM outbox.partition_status WHERE state = 'paused'}) == 16 } 'all are paused';
sql("SELECT put_key('orders', 'key $_', 'paused') FROM generate_series(1, 3)") for 1 .. 20;
eventually { sql('SELECT waiting FROM outbox.queue_status') == 60 } 'all of them wait';
like(status($node, $db, 'summary'), qr/^queue orders paused/, 'the summary counts one queue');
unlike(status($node, $db, 'summary'), qr/more queue/, '... not its partitions');

# A look at a message.
my ($id, $seen) = split /\|/, sql(qq{SELECT id, (SELECT string_agg(c[2], ',') FROM outbox_preview(m.id) AS c)
	FROM outbox.messages AS m WHERE key = 'key $bad' AND state = 'staged' LIMIT 1});
SKIP: { skip 'no such key', 1 unless defined $id; is($seen, '{orders:5}', 'the preview has the key of the partition'); }
sql(q{SELECT outbox_resume_queue('orders')});
eventually { sql('SELECT waiting FROM outbox.queue_status') == 0 } 'they go on';

# Delayed ones.
sql(qq{SELECT outbox_enqueue('orders', 'later', key => 'key $bad', delay => '1 hour'), outbox_enqueue('orders', 'never', key => 'key $good', delay => '1 hour')});
is(sql("SELECT outbox_cancel_key('orders', 'key $good')"), 1, 'a key is cancelled');
is(sql("SELECT outbox_cancel_key('orders', 'key $good')"), 0, '... once');
$id = sql(q{SELECT outbox_enqueue('orders', 'nor this', key => 'x', delay => '1 hour')});
is(sql("SELECT outbox_cancel('$id')"), 't', 'a message is cancelled');
$redis->cmd('DEL', "{orders:$_}") for 0 .. 15;
sql(q{UPDATE outbox.deferred SET due_at = now(); SELECT outbox_enqueue('orders', 'wakes', key => 'y', delay => '1 ms')});
eventually { $redis->last_of('{orders:5}') eq 'later' } 'a delayed one is due in its partition';

# Again.
my $before = sql('SELECT delivered FROM outbox.queue_status');
my $retained = sql(q{SELECT count(*) FROM outbox.messages WHERE state = 'delivered'});
$redis->cmd('DEL', "{orders:$_}") for 0 .. 15;
sql(q{SELECT outbox_resend('orders', '-infinity')});
eventually { sql('SELECT delivered FROM outbox.queue_status') >= $before + $retained } "all $retained are delivered again";
for my $p (0 .. 15)
{
	my @astray = grep { my %f = @{ $_->[1] }; defined $f{key} && crc16($f{key}) % 16 != $p } $redis->entries("{orders:$p}");
	is(scalar @astray, 0, "... each to its partition ($p)");
}

# Purged, renamed, dropped.
sql(q{SELECT outbox_pause_queue('orders')});
sql("SELECT put_key('orders', 'key ' || n, 'given up') FROM generate_series(1, 40) AS n");
eventually { sql('SELECT waiting FROM outbox.queue_status') == 40 } 'they wait';
refused(q{SELECT outbox_drop_queue('orders')}, qr/40 messages have not been delivered/, 'a queue with messages is not dropped');
my $total = sql('SELECT delivered FROM outbox.queue_status');
is(sql(q{SELECT outbox_purge_queue('orders', force => true)}), 40, 'all partitions are purged');
sql(q{SELECT outbox_alter_queue('orders', settings => '{"name": "renamed", "redis_key": "elsewhere"}'); SELECT outbox_resume_queue('renamed')});
sql(q{TRUNCATE journal; SELECT put_key('renamed', 'key ' || n, 'key ' || n) FROM generate_series(1, 40) AS n});
eventually { sql(q{SELECT delivered FROM outbox.queue_status}) == $total + 40 } 'totals go on';
my $n = 0;
$n += $redis->count("{elsewhere:$_}") for 0 .. 15;
is($n, 40, 'a queue with another redis_key is delivered there');
is(scalar(grep { /given up/ } map { $_->[1] } map { $redis->arrived("{orders:$_}") } 0 .. 15), 0, 'what was given up has not arrived');
my @cursors = grep { /^\{elsewhere:/ } @{ $redis->cmd('KEYS', '*:outbox:*') };
is(scalar @cursors, 16, 'each partition has a cursor');
sql(q{SELECT outbox_drop_queue('renamed', force => true)});
eventually { !grep { /^\{elsewhere:/ } @{ $redis->cmd('KEYS', '*:outbox:*') } } 'they go with the queue';
is(sql('SELECT (SELECT count(*) FROM outbox.queue_total) + (SELECT count(*) FROM outbox.partitions)'), 0, 'nothing is left');

done_testing();
