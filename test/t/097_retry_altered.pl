# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that is altered or paused while messages are held goes by its
# new settings; what is held then is neither lost nor doubled (I2, I3) and keeps
# the order of its keys (I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install_keyed($node, $db);

# Tried again all the time, and never given up.
my %quick = (retry_delay => 100, retry_max_delay => 100, max_attempts => 1000);

sub bodies { return join ' ', map { $_->[2] } arrivals($redis, $_[0]); }

# Altered while messages are held.
sub altered
{
	my ($queue, $policy) = @_;
	$node->safe_psql($db, "SELECT outbox_alter_queue('$queue', on_failure => '$policy')");
	return;
}

create_retrying($node, $db, 'altered', 'stream', max_attempts => 3);
refuse($redis, 'altered');
put_keyed($node, $db, 'altered', 'a', 'A1');
eventually { held($node, $db, 'altered') == 1 } 'one is held';
altered('altered', 'block');
put_keyed($node, $db, 'altered', 'b', 'B1');
put_keyed($node, $db, 'altered', 'a', 'A2');
eventually { queue_status($node, $db, 'altered', 'state') eq 'blocked' } 'now the queue stands still';
is(held($node, $db, 'altered'), 1, 'nothing else is held');
is($node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'"), 0,
	'and nothing is given up');
$node->safe_psql($db, "SELECT outbox_alter_queue('altered', retry_delay => '100 ms', retry_max_delay => '100 ms')");
altered('altered', 'retry');
let_due($node, $db, $redis);
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 3 }
'with policy retry all are given up in the end';
$node->safe_psql($db, "SELECT outbox_alter_queue('altered', max_attempts => 1000)");
put_keyed($node, $db, 'altered', 'c', 'C1');
put_keyed($node, $db, 'altered', 'c', 'C2');
eventually { deferred($node, $db, 'altered', 'max(d.attempts)') > 3 } 'max_attempts is what it is now';
altered('altered', 'dead_letter');
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 5 }
'with policy dead_letter they are given up at once';
is(held($node, $db, 'altered'), 0, 'and none is held any more');
put_keyed($node, $db, 'altered', 'c', 'C3');
eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'altered'") == 6 }
'nor is what comes then';
mend($redis, 'altered');
put_keyed($node, $db, 'altered', 'c', 'C4');
eventually { bodies('altered') eq 'C4' } 'mended, the queue flows';
my $died = $node->safe_psql($db, "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY dead_at, seq)"
	  . " FROM outbox.dead_letter AS d JOIN outbox.queue AS q ON q.id = d.queue WHERE q.name = 'altered' AND gone_at IS NULL");
is($node->safe_psql($db, "SELECT outbox_replay_queue('altered')"), 6, 'all dead letters are replayed');
eventually { bodies('altered') eq "C4 $died" } 'and arrive in the order in which they died';

# From block to retry, with held messages and a mended queue: what stood still
# goes on.
create_retrying($node, $db, 'other way', 'stream', %quick);
altered('other way', 'block');
refuse($redis, 'other way');
put_keyed($node, $db, 'other way', 'a', 'A1');
put_keyed($node, $db, 'other way', 'b', 'B1');
put_keyed($node, $db, 'other way', 'a', 'A2');
eventually { queue_status($node, $db, 'other way', 'state') eq 'blocked' } 'a queue that blocks';
altered('other way', 'retry');
eventually { held($node, $db, 'other way') == 3 } 'goes on with policy retry';
altered('other way', 'block');
mend($redis, 'other way');
put_keyed($node, $db, 'other way', 'a', 'A3');
eventually { held($node, $db, 'other way') == 0 && count_of($redis, 'other way') == 4 }
'blocking again, what is held goes when it can';
like(bodies('other way'), qr/A1.*A2.*A3/, 'in its order');

# Paused while messages are held.
create_retrying($node, $db, $_, 'stream', %quick) for 'paused', 'clock';
refuse($redis, 'paused', 'clock');
put_keyed($node, $db, $_, 'a', 'A1', 'A2') for 'paused', 'clock';
eventually { held($node, $db, $_) == 2 } "$_: two are held" for 'paused', 'clock';
$node->safe_psql($db, "SELECT outbox_pause_queue('paused')");
put_keyed($node, $db, 'paused', 'a', 'A3');
put_keyed($node, $db, 'paused', 'b', 'B1');
my $now = deferred($node, $db, 'clock', 'max(d.attempts)');
eventually { deferred($node, $db, 'clock', 'max(d.attempts)') > $now + 1 } 'another queue tries on';
my $tries = deferred($node, $db, 'paused', 'max(d.attempts)');
$now = deferred($node, $db, 'clock', 'max(d.attempts)');
mend($redis, 'paused');
eventually { deferred($node, $db, 'clock', 'max(d.attempts)') > $now + 3 } 'and on';
is(deferred($node, $db, 'paused', 'count(*), max(d.attempts)'), "2|$tries", 'a paused queue tries nothing');
is(count_of($redis, 'paused'), 0, 'and sends nothing');
is(queue_status($node, $db, 'paused', 'state'), 'paused', 'which the view says');
$node->safe_psql($db, "SELECT outbox_resume_queue('paused')");
eventually { count_of($redis, 'paused') == 4 } 'resumed, all arrive';
like(bodies('paused'), qr/A1.*A2.*A3/, 'in their order');
eventually { deferred($node, $db, 'paused', 'count(*)') eq '0' } 'and nothing is held';

done_testing();
