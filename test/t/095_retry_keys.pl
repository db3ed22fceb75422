# Copyright (c) 2026, the outbox developers
#
# Promise: messages of a refused one's key wait behind it, in order (I4), also
# those of an older transaction that commits later; other keys and messages
# without a key pass (I8).

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

sub bodies { return join ' ', map { $_->[2] } arrivals($redis, $_[0]); }

# Others pass, the same key waits.
create_retrying($node, $db, 'q', 'stream');
put_keyed($node, $db, 'q', undef, 'before');
eventually { count_of($redis, 'q') == 1 } 'the queue flows';
refuse($redis, 'q');
put_keyed($node, $db, 'q', 'a', 'A1');
eventually { held($node, $db, 'q') == 1 } 'a message is held';
mend($redis, 'q');
put_keyed($node, $db, 'q', 'b', 'B');
put_keyed($node, $db, 'q', 'a', 'A2');
put_keyed($node, $db, 'q', undef, 'alone');
put_keyed($node, $db, 'q', 'a', 'A3');
put_keyed($node, $db, 'q', '', 'empty');
eventually { bodies('q') eq 'before B alone empty' } 'other keys pass it, no key, an empty key';
is(held($node, $db, 'q'), 3, 'those of its key are held behind it');
let_due($node, $db, $redis);
eventually { bodies('q') eq 'before B alone empty A1 A2 A3' } 'then they go in their order';
put_keyed($node, $db, 'q', 'a', 'A4');
eventually { bodies('q') =~ / A3 A4$/ } 'and the key is free';
eventually { queue_status($node, $db, 'q', 'failed, dead_lettered, retrying') eq '1|0|0' }
'one attempt was refused';
audit_keyed($node, $db, $redis, ['q'], 8, 'keys');

# A transaction that enqueued before the refused message, and commits after it:
# its messages have lower numbers, wait behind it, and keep their order.  There
# are more of them than go along with one that is tried again.  The connection
# stays: each connect puts a key's messages in order, whatever a retry does.
$node->safe_psql($db, "SELECT outbox_alter_queue('q', retry_delay => '200 milliseconds', max_attempts => 1000)");
my $early = session($node, $db);
$early->query_safe('BEGIN');
$early->query_safe("SELECT put_keyed('q', 'a', 'early ' || i) FROM generate_series(1, 150) AS i");
refuse($redis, 'q');
put_keyed($node, $db, 'q', 'a', 'refused');
eventually { held($node, $db, 'q') == 1 } 'a message is held';
$early->query_safe('COMMIT');
put_keyed($node, $db, 'q', 'a', 'late');
eventually { held($node, $db, 'q') == 152 } 'an older transaction waits behind it';
mend($redis, 'q');
audit_keyed($node, $db, $redis, ['q'], 160, 'older transactions');
$node->safe_psql($db, "SELECT outbox_alter_queue('q', retry_delay => '1 hour')");
refuse($redis, 'q');
$early->query_safe('BEGIN');
$early->query_safe("SELECT put_keyed('q', 'a', 'early again ' || i) FROM generate_series(1, 150) AS i");
put_keyed($node, $db, 'q', 'a', 'refused again');
eventually { held($node, $db, 'q') == 1 } 'once more';
$early->query_safe('COMMIT');
$early->quit;
put_keyed($node, $db, 'q', 'a', 'late again');
eventually { held($node, $db, 'q') == 152 } 'an older transaction waits';
$redis->drop_clients;
eventually { deferred($node, $db, 'q', "max(d.seq) FILTER (WHERE d.reason = 'retry') = min(d.seq)") eq 't' }
'at every connect the first of each key is the one that may go';
mend($redis, 'q');
let_due($node, $db, $redis);
audit_keyed($node, $db, $redis, ['q'], 312, 'older transactions and a new connection');

done_testing();
