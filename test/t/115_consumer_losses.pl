# Copyright (c) 2026, the outbox developers
#
# Promise: when Redis loses what consumers have given back, what is given back
# afterwards is taken, and what was taken before is not taken again (I2, I3); a
# dropped queue leaves nothing, and what is remembered of messages goes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }

sql(q{SELECT create_queue('q', on_failure => 'retry', max_attempts => 5, retry_delay => '0',
	retry_backoff => 1, consumer_retry => true)});

is(sql('SHOW outbox.retention'), '1h', 'what was read is kept for long');
sql(q{SELECT outbox_enqueue('q', 'kept')});
eventually { attempts($redis, 'q', 'kept') eq '1' } 'a message';

# Redis comes back with less than was read, and its clock has been set back:
# what is added there is read, what was read before is not taken again.
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'kept'))[0], 'e');
eventually { attempts($redis, 'q', 'kept') eq '1 2' } 'given back';
$redis->remember;
my ($kept) = grep { $_->{attempt} == 2 } deliveries($redis, 'q', 'kept');
my $future = (1000 * int time) + 3_600_000;
$redis->cmd('XADD', 'q:retry', "$future-0", @{ $kept->{fields} }, error => 'in an hour');
read_up_to($node, $db, 'q:retry', "$future-0");
eventually { attempts($redis, 'q', 'kept') eq '1 2 3' } 'given back in the future';
$redis->come_back_as_remembered;
eventually { attempts($redis, 'q', 'kept') eq '1 2 3' } 'what Redis has lost comes again';
my ($lost) = grep { $_->{attempt} == 3 } deliveries($redis, 'q', 'kept');
give_back($redis, 'q:retry', $lost, 'now');
eventually { attempts($redis, 'q', 'kept') eq '1 2 3 4' } 'what is given back now is not overlooked';
like(log_of($node), qr/WARNING:.*Redis has lost entries of stream "q:retry"/, 'which is told');
eventually { status($node, $db, 'waiting') eq '0' } 'nothing waits';
is(attempts($redis, 'q', 'kept') . waiting($node, $db), '1 2 3 40', 'nothing is taken twice');

# A Redis that has lost all.
$redis->kill9;
$redis->start_empty;
sql(q{SELECT outbox_enqueue('q', 'new')});
eventually { attempts($redis, 'q', 'new') eq '1' } 'an empty Redis';
my ($new) = deliveries($redis, 'q', 'new');
$redis->cmd('XADD', 'q:retry', '1-1', @{ $new->{fields} }, error => 'long ago');
eventually { attempts($redis, 'q', 'new') eq '1 2' } 'begins anew';

# Much that was given back is known of: once each.
sql(q{SELECT outbox_enqueue('q', 'many ' || i) FROM generate_series(1, 12) AS i});
my $many = sub { return grep { $_->{payload} =~ /^many/ } deliveries($redis, 'q'); };
eventually { $many->() == 12 } 'more messages';
give_back($redis, 'q:retry', $_, 'e') for $many->();
eventually { $many->() == 24 } 'all delivered again';

# A dropped queue leaves nothing, and one of its name knows nothing of it.
sql(q{SELECT create_queue('w', on_failure => 'retry', retry_delay => '0', consumer_retry => true);
	SELECT outbox_enqueue('w', 'one')});
eventually { attempts($redis, 'w', 'one') eq '1' } 'one more queue';
give_back($redis, 'w:retry', (deliveries($redis, 'w', 'one'))[0], 'e');
eventually { attempts($redis, 'w', 'one') eq '1 2' } 'of which something is given back';
sql(q{SELECT outbox_drop_queue('w', true); SELECT outbox_drop_queue('q', true)});
eventually { !$redis->cmd('EXISTS', 'q:retry', 'q:dead', 'w:retry', 'w:dead') } 'dropped';
is(sql('SELECT count(*) FROM outbox.deferred'), 0, 'with all it had');
sql(q{SELECT create_queue('q', on_failure => 'retry', retry_delay => '0', consumer_retry => true);
	SELECT outbox_enqueue('q', 'heir')});
eventually { attempts($redis, 'q', 'heir') eq '1' } 'another one';
give_back($redis, 'q:retry', (deliveries($redis, 'q', 'heir'))[0], 'e');
eventually { attempts($redis, 'q', 'heir') eq '1 2' } 'works';

# Dead letters that were replayed or discarded leave nothing, and what is a day
# old is forgotten, as is the dropped queue: by the relay when it starts, among
# other times.
give_back($redis, 'q:dead', (deliveries($redis, 'q', 'heir'))[1], 'e');
eventually { letters($node, $db, 'count(*)') eq '1' } 'a dead letter';
sql(q{SELECT outbox_discard(id) FROM outbox.dead_letters});
cmp_ok(sql('SELECT count(*) FROM outbox.returned'), '>', 10, 'much is remembered');
sql(q{UPDATE outbox.returned SET due_at = now() - interval '25 hours'
	WHERE queue NOT IN (SELECT id FROM outbox.queue)});
my $pid = relay_pid($node, $db);
sql("SELECT pg_terminate_backend($pid)");
eventually { sql('SELECT count(*) FROM outbox.returned') eq '1' } 'not for ever';
eventually { sql('SELECT count(*) FROM outbox.consumer_position') eq '1' } 'nor of queues that are no more';
eventually { sql('SELECT count(*) FROM outbox.dead_letter') eq '0' } 'a discarded dead letter goes';

done_testing();
