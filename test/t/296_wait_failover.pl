# Copyright (c) 2026, the outbox developers
#
# Promise: with wait_replicas nothing is lost when a replica takes over that lags, however
# far (I2): what it lacks is still in staging, or copied, and comes again, in order; and
# nothing comes twice.  Of a queue that flows, one that is paused, and messages that were
# refused before.
#
# The relay may be connected to the old Redis while its address leads to the new one:
# what replicas of that one have is no answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $first = OutboxTest::Redis->start_primary;
my $second = $first->start_replica;
my $third = $first->start_replica;
my $address = PostgreSQL::Test::Utils::tempdir_short() . '/redis.sock';
leads_to($first);
my $node = new_node('main', url => "unix://$address?wait_replicas=1&wait_timeout=200ms", conf => <<'EOC');
outbox.retention = 1s
log_min_messages = debug1
EOC
my $db = 'postgres';
my @queues = ('q', 'r', 's');
install($node, $db, @queues);

sub behind { return status($node, $db, 'replicas_behind'); }
sub emptied { my @lines = log_of($node) =~ /outbox has emptied/g; return scalar @lines; }
sub staged { return ask($node, $db, q{SELECT count(*) FROM outbox.messages WHERE state <> 'delivered'}); }

# A turn of the tables: all that may be forgotten is.  True if a table was emptied.
my $filler = 0;
sub turn
{
	my ($most) = @_;
	my $before = emptied();
	my $end = time + $most;
	while (emptied() == $before && time < $end)
	{
		put($node, $db, 'q', 'filler ' . ++$filler);
		select undef, undef, undef, 0.1;
	}
	return emptied() > $before;
}

# Who connects from now on comes to this one.
sub leads_to
{
	my ($to) = @_;
	symlink $to->socket, "$address.new" or die "could not make a link: $!";
	rename "$address.new", $address or die "could not rename a link: $!";
	return;
}

# It gets nothing more, and keeps what it has.
my $nowhere = PostgreSQL::Test::Cluster::get_free_port();
sub cut_off { my ($replica) = @_; $replica->cmd('REPLICAOF', '127.0.0.1', $nowhere); return; }

# Nothing is behind.
put($node, $db, $_, map { "first $_" } 1 .. 20) for @queues;
eventually { staged() == 0 && behind() eq '' } 'the replicas have it';
ok(turn(60), 'and it is forgotten');

# Both replicas are cut off.  What Redis gets now they do not have.
cut_off($_) for $second, $third;
$node->safe_psql($db, q{SELECT outbox_pause_queue('r')});
put($node, $db, $_, map { "second $_" } 1 .. 20) for 'q', 's';
eventually { $first->count('s') == 40 } 'messages that no replica has';

# A queue that stands still for a while.
$first->cmd('RENAME', 's', 'moved');
$first->cmd('SET', 's', 'of another type');
put($node, $db, 's', 'refused');
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 's'}) eq 'blocked' } 'a queue that Redis refuses';
turn(6);
$first->cmd('DEL', 's');
$first->cmd('RENAME', 'moved', 's');
eventually { $first->count('s') == 41 } 'and does not any more';
put($node, $db, 'r', map { "paused $_" } 1 .. 20);
$node->safe_psql($db, q{SELECT outbox_resume_queue('r')});
eventually { $first->count('r') == 40 } 'a queue that was paused goes on';
eventually { behind() =~ /^1 replica is wanted, 0 have confirmed, and Redis has 0/ } 'it is said';
turn(6);
is(ask($node, $db, q{SELECT count(*) FROM journal WHERE body ~ '^(second|refused|paused)'}), 61, 'all of that was enqueued');
is(ask($node, $db, <<'EOC'), 61, 'and is still kept');
SELECT count(*) FROM journal AS j WHERE body ~ '^(second|refused|paused)' AND
(EXISTS (SELECT FROM outbox.staging_1 AS s WHERE s.id = j.id) OR EXISTS (SELECT FROM outbox.staging_2 AS s WHERE s.id = j.id) OR
 EXISTS (SELECT FROM outbox.deferred AS s WHERE s.id = j.id))
EOC

# One of them takes over.  It has none of that, and no replica.
$second->cmd('REPLICAOF', 'NO', 'ONE');
is($second->count('s'), 20, 'it lags');
leads_to($second);
$first->drop_clients;
$first->pause;
eventually { $second->count('s') == 41 && $second->count('r') == 40 } 'what it lacks comes again';
eventually { behind() =~ /and Redis has 0/ } 'it has no replica: that is said';
$third->follow($second);
eventually { behind() eq '' && staged() == 0 } 'it has one: all is delivered';
ok(turn(60), 'and forgotten');
audit($node, $db, $second, \@queues, 100, 'nothing lost, nothing twice, in order');

# The address leads to another Redis while the relay has the old one.
my $fourth = $second->start_replica;
$fourth->cmd('REPLICAOF', 'NO', 'ONE');
my $fifth = $fourth->start_replica;
leads_to($fourth);
put($node, $db, 'q', 'seen by the old one only');
$second->cmd('CLIENT', 'KILL', 'ID', (map { /\bid=(\d+) .*\bname=outbox-replicas/ ? $1 : () } split /\n/, $second->cmd('CLIENT', 'LIST'))[0]);
put($node, $db, 'q', 'seen by the old one only, too');
eventually { behind() =~ /^asking for them fails: another Redis answers/ } 'another Redis is noticed';
cmp_ok(staged(), '>', 0, 'its replicas are not asked');
$second->drop_clients;
eventually { behind() eq '' && staged() == 0 } 'the relay comes to the new one';
audit($node, $db, $fourth, \@queues, 100, 'nothing lost, nothing twice, in order');

done_testing();
