# Copyright (c) 2026, the outbox developers
#
# Promise: a server that is gone without a word, so that nothing is refused and nothing
# answered, is noticed without any message being sent: by a PING where there is no queue, by
# looks at cursors else.  Other servers go on.  When it answers again, what waits goes there
# once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $other = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => "redis://127.0.0.1:@{[ $proxy->port ]}", conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db);

# It takes connections and bytes, and nobody reads them.
sub vanishes { kill 'STOP', $proxy->{pid}; return; }
sub returns { kill 'CONT', $proxy->{pid}; return; }

eventually { status($node, $db, 'state') eq 'running' } 'connected, without a queue';
vanishes();
eventually { status($node, $db, 'state, why') =~ /^waiting for redis\|no answer within / } 'a server that is gone is noticed by a PING';
returns();
eventually { status($node, $db, 'state') eq 'running' } 'it is back';

$node->safe_psql($db, "SELECT create_queue('q')");
$node->safe_psql($db, "CREATE SERVER other FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $other->url ]}')");
$node->safe_psql($db, q{SELECT outbox_create_queue('o', settings => '{"payload_type": "text", "server": "other"}')});
put($node, $db, $_, 'first') for qw(q o);
eventually { $redis->count('q') == 1 && $other->count('o') == 1 } 'delivered to both';
vanishes();
put($node, $db, 'o', 'meanwhile');
eventually { $other->last_of('o') eq 'meanwhile' } 'the other server goes on';
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'q'}) eq 'waiting for redis' } 'an idle queue says that its server is gone';
is(ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'o'}), 'flowing', 'the other one flows');
put($node, $db, $_, 'then') for qw(q o);
eventually { $other->last_of('o') eq 'then' } '... and delivers';
returns();
eventually { $redis->last_of('q') eq 'then' } 'what waited is delivered';
is(join(' ', map { $_->[1] } $redis->arrived('q')), 'first then', 'once');

done_testing();
