# Copyright (c) 2026, the outbox developers
#
# Promise: a queue may have 1,024 partitions, beside other queues with some.  It starts and
# ends without a long turn of the relay's loop, so that other queues need not wait (I8), and
# is gone without a trace.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Partitions;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'fsync = off');
my $db = 'postgres';
install($node, $db, 'q');
sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }
sub delivered { my ($queue) = @_; return ask($node, $db, "SELECT delivered FROM outbox.queue_status WHERE queue = '$queue'") || 0; }

sub short_turn
{
	my ($name) = @_;
	my ($ms, $what) = longest_turn($node, $db);
	cmp_ok($ms, '<', 50, "$name: the longest turn took $ms ms of CPU: $what");
	reset_turns($node, $db);
	return;
}

sql(q{SELECT outbox_create_queue('small', settings => '{"partitions": 16, "payload_type": "text"}')});
sql(q{SELECT put_key('small', 'key' || n, 'first') FROM generate_series(1, 100) AS n});
eventually { delivered('small') == 100 } 'a queue with some partitions';
is(sql(q{SELECT count(*) FROM outbox.partition_status WHERE delivered > 0 AND queue = 'small'}), 16, '... whose figures are there');

reset_turns($node, $db);
sql(q{SELECT outbox_create_queue('many', settings => '{"partitions": 1024, "payload_type": "text"}')});
sql(q{SELECT put_key('many', 'key' || n, 'key' || n) FROM generate_series(1, 4000) AS n});
eventually { delivered('many') == 4000 } 'a queue with 1,024 partitions is delivered';
short_turn('created');
my $wrong = 0;
for my $p (map { $_ * 93 } 0 .. 11)
{
	$wrong += grep { crc16($_->[1]) % 1024 != $p } $redis->arrived("{many:$p}");
}
is($wrong, 0, '... each to its partition');

eventually { sql(q{SELECT string_agg(state, ' ') FROM outbox.queue_status}) eq 'flowing flowing flowing' } 'the state of all queues is known';
is(delivered('small'), 100, '... and their figures');
eventually { sql(q{SELECT count(*) FROM outbox.queue_total WHERE delivered > 0}) >= 900 } 'the totals of partitions are written';
eventually { sql(q{SELECT sum(delivered) FROM outbox.partition_status WHERE queue = 'small'}) == 100 } '... and shown';
$redis->cmd('DEL', '{many:701}');
$redis->cmd('SET', '{many:701}', 'no stream');
my $key = key_for(701, 1024);
sql(qq{SELECT put_key('many', '$key', 'refused')});
eventually { sql(q{SELECT state, why FROM outbox.queue_status WHERE queue = 'many'}) =~ /^blocked\|partition 701: / } 'one that stands still is told';
$redis->cmd('DEL', '{many:701}');
eventually { delivered('many') == 4001 } '... and goes on';

# A pause of all of them, and another start.
reset_turns($node, $db);
sql(q{SELECT outbox_pause_queue('many')});
sql(q{SELECT put_key('many', 'key' || n, 'again') FROM generate_series(1, 4000) AS n});
eventually { sql(q{SELECT waiting FROM outbox.queue_status WHERE queue = 'many'}) eq '4000' } 'all of them are paused';
sql(q{SELECT outbox_resume_queue('many')});
eventually { delivered('many') == 8001 } 'all of them go on';
short_turn('paused');
$node->restart;
put($node, $db, 'q', 'after the start');
sql(q{SELECT put_key('many', 'key' || n, 'after the start') FROM generate_series(1, 2000) AS n});
eventually { $redis->last_of('q') eq 'after the start' } 'another queue flows after a start';
eventually { delivered('many') == 10001 } 'and this one';
short_turn('started');

# Renamed, as nothing of it is retained any more, and dropped.
sql(q{SELECT outbox_purge_queue('many', force => true)});
sql(q{SELECT put_key('many', 'key' || n, 'purged') FROM generate_series(1, 2000) AS n});
eventually { delivered('many') == 12001 } 'a purged queue goes on with its totals';
short_turn('purged');
sql(q{SELECT outbox_drop_queue('many', force => true), outbox_drop_queue('small', force => true)});
put($node, $db, 'q', 'after the end');
eventually { $redis->last_of('q') eq 'after the end' } 'another queue flows after the end';
eventually { sql('SELECT count(*) FROM outbox.queue_total') <= 1 } 'no totals are left';
eventually {
	sql(q{SELECT count(*) FROM outbox.queue_stats(true)}) == 1
} 'no figures are left';
short_turn('dropped');
my @cursors = grep { !/^\{q\}/ } @{ $redis->cmd('KEYS', '*:outbox:*') };
cmp_ok(scalar @cursors, '<=', 1040, 'cursors of before the purge are left in Redis, no others');

done_testing();
