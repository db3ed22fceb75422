# Copyright (c) 2026, the outbox developers
#
# Promise: with wait_replicas in a Redis Cluster, what replicas of one node have had of a
# queue counts for nothing when its slot has moved to another node: rows are kept until the
# replicas of that one have it, too (I2).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Nodes;
use Test::More;

my $cluster = OutboxTest::Nodes->start(primaries => 2);
my $node = new_node('main', url => $cluster->url(2, '', 'wait_replicas=1', 'wait_timeout=200ms'), conf => "outbox.retention = 4s\n");
my $db = 'postgres';
install($node, $db, 'q', 'beside');

sub behind { return status($node, $db, 'replicas_behind'); }
sub kept { return ask($node, $db, q{SELECT count(*) FROM (SELECT queue FROM outbox.staging_1 UNION ALL SELECT queue FROM outbox.staging_2
	UNION ALL SELECT queue FROM outbox.deferred WHERE reason = 'evacuated') AS s JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name = 'q'}); }

my ($old, $new) = map { my $n = $_; $n } grep { $_->cmd('ROLE')->[0] eq 'master' } @{ $cluster->{nodes} };
($old, $new) = ($new, $old) if $cluster->node_of('q') == $new;
my ($replica) = $cluster->replicas_of($new);
my $slot = $cluster->slot('q');

# The rows must not be forgotten before the slot has moved; if this took too long, once more.
my $n = 0;
my $moved;
for (1 .. 5)
{
	put($node, $db, 'q', 'message ' . ++$n) for 1 .. 3;
	eventually { status($node, $db, 'delivered') == $n && behind() eq '' } 'a replica has what was delivered';
	$replica->pause;
	$cluster->move_slot($slot, $new);
	$moved = kept() > 0;
	last if $moved;
	$replica->resume;
	$cluster->move_slot($slot, $old);
	$cluster->wait_ok;
}
ok($moved, 'the slot has moved while rows were retained');
my $rows = kept();
eventually { behind() =~ /^1 replica is wanted, 0 have confirmed/ } 'the replica of its new node has not got it, which is said';
my $asked = $new->calls('wait');
eventually { $new->calls('wait') > $asked + 40 } 'longer than the retention and two looks';
is(kept(), $rows, 'all rows are kept');
is($cluster->count('q'), $n, 'what was delivered is there');
$replica->resume;
eventually { behind() eq '' } 'the replica has it';
eventually { kept() == 0 } 'and all is forgotten';
$cluster->wait_ok;
audit($node, $db, $cluster, ['q'], $n, 'nothing lost, nothing twice');
done_testing();
