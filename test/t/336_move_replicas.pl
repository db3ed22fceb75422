# Copyright (c) 2026, the outbox developers
#
# Promise: with wait_replicas a queue that has moved does not come twice when a replica of
# its new server takes over that does not know of the move, however long after (I3): where
# the queue came from is remembered until replicas have its cursor.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Servers;
use PostgreSQL::Test::Utils;
use Test::More;

my $servers = OutboxTest::Servers->start(names => ['events'], queues => [qw(q r)], conf => "outbox.retention = 60s\n");
my $node = $servers->node;
my $db = 'postgres';

# Who connects from now on comes to this one.
my $address = PostgreSQL::Test::Utils::tempdir_short() . '/redis.sock';
sub leads_to
{
	my ($to) = @_;
	symlink $to->socket, "$address.new" or die "could not make a link: $!";
	rename "$address.new", $address or die "could not rename a link: $!";
	return;
}

my $first = OutboxTest::Redis->start_primary;
my ($second, $third) = map { $first->start_replica } 1 .. 2;
leads_to($first);
my $copied = $servers->add('copied', $first, "url 'unix://$address', wait_replicas '1', wait_timeout '200ms'");
my $events = 1;

# Its replicas get nothing more.  Then a queue comes to it.
put($node, $db, 'q', map { "first $_" } 1 .. 5);
eventually { status($node, $db, 'delivered') == 5 } 'messages that are retained';
$_->cmd('REPLICAOF', '127.0.0.1', PostgreSQL::Test::Cluster::get_free_port()) for $second, $third;
is($servers->alter('q', $copied), '', 'their queue gets another server');
eventually
{
	my ($cursor) = grep { !/:replicas$/ } @{ $first->cmd('KEYS', '*q*:outbox:*') };
	defined $cursor && $first->cmd('HGET', $cursor, 'arrived');
}
'and has come';
put($node, $db, 'q', map { "second $_" } 1 .. 5);
eventually { $first->count('q') == 5 } 'others go there';

# The retention passes: the move of another queue, which is younger, ends.
configure($node, 'outbox.retention' => 1);
is($servers->alter('r', $events), '', 'another queue gets a server without replicas');
eventually { $servers->setting('r', 'server') eq 'events' && $servers->ended('r') } 'that move ends';
my $asked = $first->calls('wait');
eventually { $first->calls('wait') > $asked + 15 } 'replicas are asked, and do not answer';
is($servers->setting('q', 'moving_from'), 'outbox_default', 'the first one has not ended');

# One of them takes over.  It does not know of the queue.
$second->cmd('REPLICAOF', 'NO', 'ONE');
is_deeply($second->cmd('KEYS', '*'), [], 'a replica has nothing of it');
leads_to($second);
$first->drop_clients;
$first->pause;
$servers->is_now($copied, $second);
eventually { $second->count('q') >= 5 } 'what it lacks comes again';
is($servers->setting('q', 'moving_from'), 'outbox_default', 'where the queue came from is known still');
$third->follow($second);
eventually { $servers->ended('q') } 'a replica has it: the move ends';
$servers->check(10, 'nothing lost, nothing twice, in order');

done_testing();
