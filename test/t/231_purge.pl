# Copyright (c) 2026, the outbox developers
#
# Promise: a purge gives up what waits, wherever it does (staged, delayed, refused, behind
# a refused one, evacuated, with Redis away, with no relay), and nothing else: no dead
# letter, nothing of another queue, nothing that consumers return (I2); nothing of it
# comes later, nor twice, whatever crashes (I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1s\nwal_writer_delay = 10s\n");
my $db = 'postgres';
install($node, $db, 'o');

sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { my ($key) = @_; return join ' ', map { $_->[1] } $redis->arrived($key); }
sub purge { my ($queue) = @_; return sql("SELECT outbox_purge_queue('$queue', force => true)"); }

# Refused ones, those behind them, dead letters, delayed ones.
create_retrying($node, $db, 'r', 'stream');
sql(q{SELECT create_queue('d', on_failure => 'dead_letter')});
refuse($redis, 'r', 'd');
sql(q{SELECT outbox_enqueue('r', 'r' || i, key => 'k') FROM generate_series(1, 3) AS i;
	SELECT outbox_enqueue('r', 'later', delay => '1 hour');
	SELECT outbox_enqueue('d', 'd' || i) FROM generate_series(1, 2) AS i;
	SELECT outbox_enqueue('d', 'd later', key => 'x', delay => '1 hour');});
eventually { held($node, $db, 'r') eq '3' } 'one is refused, two wait behind it';
eventually { letters($node, $db, 'count(*)') eq '2' } 'two are dead letters';
my ($rc, undef, $err) = $node->psql($db, q{SELECT outbox_purge_queue('r')});
like($err, qr/queue "r" has messages waiting\nDETAIL:  4 messages are deferred.\nHINT:  .*force => true/, 'without force nothing is lost');
is(purge('r'), 4, 'a purge says how many');
is(purge('d'), 1, 'dead letters are none of them');
mend($redis, 'r', 'd');
sql(q{SELECT outbox_enqueue(q, 'new', key => 'k') FROM unnest(ARRAY['r', 'd']) AS q});
eventually { payloads('r') eq 'new' && payloads('d') eq 'new' } 'what comes afterwards is delivered, also of the key that was held';
is(sql(q{SELECT outbox_replay_queue('d')}), 2, 'dead letters can be replayed');
eventually { payloads('d') eq 'new d1 d2' } 'and come';
eventually { sql(q{SELECT dead_lettered FROM outbox.queue_status WHERE queue = 'd'}) eq '2' } 'totals are as they were';

# Staged, and moved out of staging, while the queue is paused; the rights stay.
sql(q{SELECT create_queue('p'); SELECT outbox_pause_queue('p'); SELECT outbox_enqueue('p', 'p' || i) FROM generate_series(1, 9) AS i});
eventually {
	put($node, $db, 'o', 'passing by');
	sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) eq '9'
} 'they are evacuated';
sql(q{SELECT outbox_enqueue('p', 'staged')});
eventually { sql(q{SELECT waiting FROM outbox.queue_status WHERE queue = 'p'}) eq '10' } 'and counted';
is(purge('p'), 10, 'all of them go');
is(sql(q{SELECT count(*) FROM outbox.deferred}), 0, 'no row is left');
sql(q{SELECT outbox_resume_queue('p'); SELECT outbox_enqueue('p', 'p new')});
eventually { payloads('p') eq 'p new' } 'it goes on with what is new';

# Redis is away: that changes nothing.  Nothing is counted twice.
sql(q{SELECT create_queue('a'); SELECT outbox_enqueue('a', 'before')});
eventually { payloads('a') eq 'before' } 'a message';
$redis->stop_saved;
eventually { status($node, $db, 'state') eq 'waiting for redis' } 'Redis is away';
sql(q{SELECT outbox_enqueue('a', 'a' || i) FROM generate_series(1, 5) AS i});
is(purge('a'), 5, 'messages are purged all the same');
sql(q{SELECT outbox_enqueue('a', 'after')});
$redis->start_again;
eventually { payloads('a') eq 'before after' } 'and the others come when it is back';

# What a consumer has returned before is delivered again as it would have been; what it
# returns just then is not lost, and taken once.
sql(q{SELECT create_queue('c', on_failure => 'retry', retry_delay => '0', max_attempts => 9, consumer_retry => true);
	SELECT outbox_enqueue('c', 'returned')});
eventually { attempts($redis, 'c', 'returned') eq '1' } 'a consumer has a message';
give_back($redis, 'c:retry', (deliveries($redis, 'c', 'returned'))[0], 'e');
eventually { attempts($redis, 'c', 'returned') eq '1 2' } 'returned, it comes again';
give_back($redis, 'c:retry', $_, 'e'), purge('c') for (deliveries($redis, 'c', 'returned'))[1];
sql(q{SELECT outbox_enqueue('c', 'mark')});
eventually { attempts($redis, 'c', 'mark') eq '1' } 'purged just then, the queue goes on';
my $n = $redis->cmd('XLEN', 'c:retry');
give_back($redis, 'c:retry', (deliveries($redis, 'c', 'mark'))[0], 'e');
eventually { attempts($redis, 'c', 'mark') eq '1 2' } 'streams of consumers are read on';
like(attempts($redis, 'c', 'returned'), qr/^1 2( 3)?$/, 'what had been read is not taken again');

# A crash loses a purge that was not on disk, and what had been delivered does not come again.
sql(q{SELECT create_queue('l'); SELECT outbox_enqueue('l', 'l' || i) FROM generate_series(1, 3) AS i});
eventually { payloads('l') eq 'l1 l2 l3' } 'delivered, and retained';
my $id = sql(q{SELECT id FROM outbox.queue WHERE name = 'l'});
for my $known (0, 1)
{
	kill 'STOP', relay_pid($node, $db) if !$known;
	sql(q{SET synchronous_commit = off; SELECT outbox_purge_queue('l', force => true)});
	my $new = sql(q{SELECT id FROM outbox.queue WHERE name = 'l'});
	eventually { !$known || grep { /:$new$/ } @{ $redis->cmd('KEYS', '{l}:outbox:*') } } 'the relay knows it' . ($known ? '' : ' not yet');
	kill_hard($node);
	$node->start;
	note('the purge ', sql(q{SELECT id FROM outbox.queue WHERE name = 'l'}) == $id ? 'is lost' : 'was on disk');
	wait_relay($node, $db);
}
sql(q{SELECT outbox_enqueue('l', 'l4')});
eventually { payloads('l') =~ /l4/ } 'it goes on';
is(payloads('l'), 'l1 l2 l3 l4', 'nothing comes twice');

# No relay: what is staged is given up, though nobody can say what had been delivered.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
sql(q{SELECT outbox_enqueue('l', 'nobody'); SELECT outbox_enqueue('o', 'somebody')});
($rc, undef, $err) = $node->psql($db, q{SELECT outbox_purge_queue('l')});
like($err, qr/The relay could not say how many/, 'without a relay, without force: an error');
cmp_ok(purge('l'), '>=', 1, 'with force they go');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'outbox'");
$node->restart;
sql(q{SELECT outbox_enqueue('l', 'end')});
eventually { payloads('l') =~ /end/ && $redis->last_of('o') eq 'somebody' } 'a relay again';
is(payloads('l'), 'l1 l2 l3 l4 end', 'what was purged does not come');
is(purge('l'), 0, 'nothing waits: nothing is purged');

done_testing();
