# Copyright (c) 2026, the outbox developers
#
# Promise: the streams in which consumers answer are read when the queue says so,
# also while it is paused; one that can't be read stops nobody else (I8) and is
# told once; what was read goes when it has been kept for outbox.retention.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db, 'other');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 5, retry_delay => '0',
	retry_backoff => 1, consumer_retry => true)});

# A stream that can't be read stops nobody else, and is told once.
sql(q{SELECT create_queue('w', on_failure => 'dead_letter', consumer_retry => true);
	SELECT outbox_enqueue('w', 'one')});
eventually { $redis->count('w') == 1 } 'a queue that gives up at once';
refuse($redis, 'w:retry');
eventually { log_of($node) =~ /WARNING:.*consumers of queue "w" return: WRONGTYPE/ } 'its stream is none';
put($node, $db, 'other', 'flows too');
sql(q{SELECT outbox_enqueue('w', 'two')});
eventually { $redis->count('other') == 1 && $redis->count('w') == 2 } 'all queues flow';
sql(q{SELECT outbox_enqueue('q', 'beside')});
eventually { attempts($redis, 'q', 'beside') eq '1' } 'a message';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'beside'))[0], 'e');
eventually { attempts($redis, 'q', 'beside') eq '1 2' } 'what is given back of others is read';
is(() = log_of($node) =~ /WARNING:.*consumers of queue "w"/g, 1, 'told once');
mend($redis, 'w:retry');
give_back($redis, 'w:retry', (deliveries($redis, 'w', 'two'))[0], 'gone');
eventually { letters($node, $db, q{payload #>> '{}', attempts, reason}) eq 'two|1|consumer' } 'mended; a dead letter at its first attempt';

# While a queue is paused, what is given back is recorded and waits.
sql(q{SELECT outbox_enqueue('q', 'pause')});
eventually { attempts($redis, 'q', 'pause') eq '1' } 'a message';
sql(q{SELECT outbox_pause_queue('q')});
eventually { queue_status($node, $db, 'q', 'state') eq 'paused' } 'paused';
read_up_to($node, $db, 'q:retry', give_back($redis, 'q:retry', (deliveries($redis, 'q', 'pause'))[0], 'e'));
eventually { queue_status($node, $db, 'q', 'waiting') eq '1' } 'it waits';
is(attempts($redis, 'q', 'pause'), '1', 'and is not delivered');
my ($rc, $out, $err) = $node->psql($db, q{SELECT outbox_drop_queue('q')});
like($err, qr/has messages waiting/, 'nor is the queue dropped');
sql(q{SELECT outbox_resume_queue('q')});
eventually { attempts($redis, 'q', 'pause') eq '1 2' } 'until it is resumed';

# Not read unless the queue says so; what was added meanwhile is read then.
sql(q{SELECT outbox_alter_queue('q', consumer_retry => false); SELECT outbox_enqueue('q', 'off')});
eventually { attempts($redis, 'q', 'off') eq '-' } 'without consumer_retry there are no attempts';
my $reads = $redis->calls('xread');
sql(q{SELECT outbox_alter_queue('w', consumer_retry => false)});
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'off'))[0], 'e');
my $idle;
eventually {
	my $n = $redis->calls('xread');
	my $same = defined $idle && $n == $idle->[0];
	$idle = [ $n, time ] unless $same;
	$same && time - $idle->[1] > 0.5;
} 'and nobody reads';
is(attempts($redis, 'q', 'off'), '-', 'what is given back stays');
sql(q{SELECT outbox_alter_queue('q', consumer_retry => true)});
eventually { attempts($redis, 'q', 'off') eq '- 2' } 'until somebody does';

# Read entries go when they have been kept for outbox.retention.
my ($off) = deliveries($redis, 'q', 'off');
my @again = map { give_back($redis, 'q:retry', $off, 'e') } 1 .. 10;
read_up_to($node, $db, 'q:retry', $again[-1]);
cmp_ok($redis->count('q:retry'), '>', 10, 'they have not gone yet');
configure($node, 'outbox.retention' => '1s');
$redis->drop_clients;
eventually { $redis->count('q:retry') == 0 && $redis->count('q:dead') == 0 } 'they go';

done_testing();
