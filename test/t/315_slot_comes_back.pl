# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that was paused while its slot was on its way waits for nothing when the
# slot has come: what consumers return is read, as of any queue that is paused.  Guards
# outbox_queue_lacks_slot().

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Slots;
use Test::More;

my $cluster = OutboxTest::Slots->start;
my $node = new_node('main', url => $cluster->url, conf => 'outbox.retention = 5min');
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, q{SELECT create_queue('q', redis_key => '{q}', consumer_retry => true, on_failure => 'retry', retry_delay => '1 hour')});
sub state_of { return ask($node, $db, q{SELECT state || ': ' || coalesce(why, '') FROM outbox.queue_status WHERE queue = 'q'}); }

$node->safe_psql($db, q{SELECT outbox_enqueue('q', 'first')});
eventually { $cluster->count('{q}') == 1 } 'a message';
my ($entry) = deliveries($cluster, '{q}');

# Its cursor goes before its stream, and it is paused while it waits.
my $slot = $cluster->slot('{q}');
my ($to) = grep { $_ != $cluster->node_of('{q}') } @{ $cluster->{nodes} };
$cluster->begin_move($slot, $to);
$cluster->move_key($cluster->cursor_of('{q}'), $to);
$node->safe_psql($db, q{SELECT outbox_enqueue('q', 'second')});
eventually { state_of() =~ /^waiting for redis: slot $slot is moving: / } 'the queue waits for its slot';
$node->safe_psql($db, q{SELECT outbox_pause_queue('q')});
$cluster->end_move($slot, $to);
eventually { state_of() =~ /^paused/ && $to->cmd('INFO', 'commandstats') =~ /^cmdstat_hgetall:calls=[1-9]/m } 'it is paused, and its slot has come';
give_back($cluster, '{q}:retry', $entry, 'no');
eventually { waiting($node, $db) == 1 } 'what a consumer returns is read';
is($cluster->count('{q}'), 1, 'and nothing is delivered');
$node->safe_psql($db, q{SELECT outbox_resume_queue('q')});
eventually { $cluster->count('{q}') == 2 } 'until it goes on';
done_testing();
