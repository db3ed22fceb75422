# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that rests wakes for whatever there is to do for it, not for messages
# alone (I2).  Guards relay/deliver/rest.c and the mine() of the parts it looks at.  A
# build with assertions ends if a queue rests that has something to do.

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
my $other = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 4s\n");
my $db = 'postgres';
install($node, $db, 'last', 'resent', 'paused', 'lost', 'cut', 'purged', 'moved', 'named', 'kept', 'dropped');
sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { my ($key) = @_; return join ' ', map { $_->[1] } $redis->arrived($key); }
sub state_of { my ($queue) = @_; return ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = '$queue'"); }

# All queues rest: what each of them had was delivered, and answers come in order.
sub all_rest
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $delivered = q{SELECT delivered FROM outbox.queue_status WHERE queue = 'last'};
	my $before = ask($node, $db, $delivered);
	put($node, $db, 'last', 'all rest');
	return eventually { ask($node, $db, $delivered) > $before } 'all queues rest';
}

put($node, $db, 'resent', 'once');
eventually { payloads('resent') eq 'once' } 'delivered';

# Behind a start nothing is enqueued: a queue has but the ticks of the past.
$node->restart;
wait_relay($node, $db);
eventually { ask($node, $db, q{SELECT count(*) FROM outbox.queue_status WHERE state <> 'flowing'}) eq '0' } 'all queues flow after a start';
sql(q{SELECT outbox_resend('resent', '-infinity')});
eventually { payloads('resent') eq 'once once' } 'a queue to which nothing was enqueued delivers again on request';

# Refused messages.
create_retrying($node, $db, 'refused', 'stream', retry_delay => 300, retry_max_delay => 1000, max_attempts => 1000);
sql(q{SELECT create_queue('dead', on_failure => 'dead_letter'); SELECT create_queue('still')});
my $relay = relay_pid($node, $db);
all_rest();
sql(q{SELECT outbox_enqueue(q, 'delayed', delay => '300 ms') FROM unnest('{refused,dead,still}'::text[]) AS q});
eventually { payloads('refused') eq 'delayed' && payloads('dead') eq 'delayed' && payloads('still') eq 'delayed' } 'a message that is due';
refuse($redis, 'refused', 'dead', 'still');
sql(q{SELECT outbox_enqueue('refused', 'r' || i, key => 'k') FROM generate_series(1, 3) AS i;
	SELECT outbox_enqueue('dead', 'd' || i) FROM generate_series(1, 3) AS i; SELECT outbox_enqueue('still', 's')});
eventually { held($node, $db, 'refused') eq '3' } 'some are refused';
eventually { letters($node, $db, 'count(*)') eq '3' } 'some are given up';
eventually { state_of('still') eq 'blocked' } 'one queue stands still';
all_rest();
mend($redis, 'refused', 'dead', 'still');
eventually { payloads('refused') eq 'delayed r1 r2 r3' } 'refused messages are tried again at their time';
eventually { payloads('still') eq 'delayed s' } 'and the one at which a queue stands still';
all_rest();
is(sql(q{SELECT outbox_replay_queue('dead')}), 3, 'dead letters');
eventually { payloads('dead') eq 'delayed d1 d2 d3' } 'are delivered again';
refuse($redis, 'still');
sql(q{SELECT outbox_enqueue('still', 'given up')});
eventually { state_of('still') eq 'blocked' } 'it stands still again';
sql(q{SELECT outbox_alter_queue('still', on_failure => 'dead_letter')});
eventually { letters($node, $db, 'count(*)', q{queue = 'still'}) eq '1' } 'until its policy is another one';
mend($redis, 'still');
sql(q{SELECT outbox_enqueue('still', 'again')});
eventually { payloads('still') eq 'delayed s again' } 'and it flows';

# Queues whose settings change.
all_rest();
sql(q{SELECT outbox_pause_queue('paused'); SELECT put('paused', 'one')});
eventually { state_of('paused') eq 'paused' } 'a pause';
all_rest();
sql(q{SELECT outbox_resume_queue('paused')});
eventually { payloads('paused') eq 'one' } 'and its end';
sql(q{SELECT outbox_purge_queue('purged', force => true); SELECT put('purged', 'one')});
eventually { payloads('purged') eq 'one' } 'a queue that is purged';
sql(q{SELECT outbox_alter_queue('named', settings => '{"redis_key": "renamed"}'); SELECT put('named', 'one')});
eventually { payloads('renamed') eq 'one' } 'one that has another name in Redis';
my $there = $other->url;
sql(qq{CREATE SERVER there FOREIGN DATA WRAPPER outbox OPTIONS (url '$there')});
sql(q{SELECT outbox_alter_queue('moved', settings => '{"server": "there"}')});
eventually { put($node, $db, 'moved', 'on the way'); $other->count('moved') > 0 } 'one that goes to another server';
all_rest();
sql(q{SELECT outbox_drop_queue('dropped')});
eventually { ask($node, $db, q{SELECT count(*) FROM outbox.queue_stats(false)}) eq sql(q{SELECT count(*) FROM outbox.queue}) } 'one that is dropped is gone';

# What consumers return, and that nobody wants to know for a while.  Redis hangs, so the
# answer to a look is on its way.
sql(q{SELECT create_queue('back', consumer_retry => true, on_failure => 'retry', retry_delay => '100 ms'); SELECT put('back', 'one')});
eventually { payloads('back') eq 'one' } 'a queue with consumers';
give_back($redis, 'back:retry', (deliveries($redis, 'back'))[0], 'not now');
eventually { payloads('back') eq 'one one' } 'what they return comes again';
frozen
{
	sql(q{SELECT put('last', 'meanwhile')});
	eventually { ask($node, $db, q{SELECT waiting FROM outbox.queue_status WHERE queue = 'last'}) eq '1' } 'a look is under way';
	sql(q{SELECT outbox_alter_queue('back', consumer_retry => false); SELECT outbox_pause_queue('back')});
	eventually { state_of('back') eq 'paused' } 'the relay knows';
}
$redis->pid;
eventually { $redis->last_of('last') eq 'meanwhile' } 'the answer has come';
sql(q{SELECT outbox_alter_queue('back', consumer_retry => true); SELECT outbox_resume_queue('back')});
give_back($redis, 'back:retry', (deliveries($redis, 'back'))[-1], 'not again');
eventually { payloads('back') eq 'one one one' } 'what they return is read again';

# Redis.
all_rest();
put($node, $db, 'lost', 'one');
eventually { payloads('lost') eq 'one' } 'delivered';
$redis->cmd('DEL', 'lost', grep { /^\{lost\}:outbox:/ } @{ $redis->cmd('KEYS', '*') });
eventually { payloads('lost') eq 'one' } 'what Redis loses is noticed';
all_rest();
$redis->drop_clients;
put($node, $db, 'cut', 'one');
eventually { payloads('cut') eq 'one' } 'a new connection';
is(relay_pid($node, $db), $relay, 'the relay has gone on all the time');

# Held and released, turned off and on.
sql(q{SELECT outbox_enable(false)});
eventually { status($node, $db, 'state') eq 'disabled' } 'turned off';
put($node, $db, 'kept', 'one');
sql(q{SELECT outbox_enable(true)});
eventually { payloads('kept') eq 'one' } 'turned on';
unlike(log_of($node), qr/TRAP/, 'nobody was forgotten');

done_testing();
