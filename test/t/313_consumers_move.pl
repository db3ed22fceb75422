# Copyright (c) 2026, the outbox developers
#
# Promise: what consumers return while the slot of their queue moves from one node of a
# Redis Cluster to another is read once, in whichever order the queue's four keys go: it
# waits without a warning, and goes on when the slot is there (I2, I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Consumer;
use OutboxTest::Nodes;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $cluster = OutboxTest::Nodes->start(primaries => 2, replicas => 0);
my @nodes = @{ $cluster->{nodes} };
my $node = new_node('main', url => $cluster->url, conf => "outbox.retention = 1\nlog_min_messages = log");
my $db = 'postgres';
my @queues = 'a' .. 'd';
install($node, $db);
$node->safe_psql($db, "SELECT create_queue('$_', redis_key => '{$_}', consumer_retry => true, on_failure => 'retry',"
	  . " max_attempts => 5, retry_delay => '0')") for @queues;

# Each third message is just taken, each third one is returned and then taken, each third
# one is returned and then given up.  What is returned is returned twice.
my (%sent, %seen, %returned);

sub enqueue
{
	my ($queue) = @_;
	my $n = ++$sent{$queue};
	$node->safe_psql($db, "SELECT outbox_enqueue('$queue', 'm$n')");
	return;
}

sub consume
{
	my ($queue) = @_;
	my $from = $seen{$queue} // '-';
	for my $entry (@{ $cluster->cmd('XRANGE', "{$queue}", $from, '+') })
	{
		my %f = @{ $entry->[1] };
		$seen{$queue} = "($entry->[0]";
		my ($kind) = map { $_ % 3 } $f{payload} =~ /(\d+)/;
		next unless $kind;
		my $to = $f{attempt} == 1 ? 'retry' : $kind == 2 ? 'dead' : next;
		$returned{"{$queue}:$to"} = $cluster->cmd('XADD', "{$queue}:$to", '*', @{ $entry->[1] }, error => 'e') for 1 .. 2;
	}
	return;
}

sub expected { my ($n) = @_; return $n % 3 ? '1 2' : '1'; }
sub all_done
{
	my ($queue) = @_;
	consume($queue);
	my %got;
	push @{ $got{ $_->{payload} } }, $_->{attempt} for deliveries($cluster, "{$queue}");
	for my $n (1 .. $sent{$queue})
	{
		return 0 if join(' ', @{ $got{"m$n"} // [] }) ne expected($n);
	}
	my $given_up = grep { $_ % 3 == 2 } 1 .. $sent{$queue};
	return letters($node, $db, 'count(*)', "queue = '$queue'") eq $given_up;
}

sub why { my ($queue) = @_; return ask($node, $db, "SELECT coalesce(why, '') FROM outbox.queue_status WHERE queue = '$queue'"); }
sub read_all
{
	my ($queue) = @_;
	my $read = ask($node, $db, "SELECT retry_id || ' ' || dead_id FROM outbox.consumer_position AS p JOIN outbox.queue AS q ON q.id = p.queue WHERE q.name = '$queue'");
	return $read eq join ' ', map { $returned{"{$queue}:$_"} // '0-0' } 'retry', 'dead';
}

# While its slot is between the nodes, a queue either goes on or says that it waits.
sub waits_or_goes_on { my ($queue) = @_; return why($queue) =~ /slot \d+ is moving/ || read_all($queue); }

sub move
{
	my ($to, %order) = @_;
	my (%slot, %from);
	for my $queue (sort keys %order)
	{
		$slot{$queue} = $cluster->slot("{$queue}");
		$from{$queue} = $cluster->owner_of($slot{$queue});
		$to->cmd('CLUSTER', 'SETSLOT', $slot{$queue}, 'IMPORTING', $from{$queue}{id});
		$from{$queue}->cmd('CLUSTER', 'SETSLOT', $slot{$queue}, 'MIGRATING', $to->{id});
	}
	for my $step (0 .. 4)
	{
		enqueue($_), consume($_) for sort keys %order;
		my $ok = wait_for { !grep { !waits_or_goes_on($_) } keys %order };
		ok($ok, "step $step: each queue waits and says so, or goes on") unless $ok;
		for my $queue (sort keys %order)
		{
			my $key = $order{$queue}[$step] or next;
			$from{$queue}->cmd('MIGRATE', '127.0.0.1', OutboxTest::Nodes::port($to), $key, 0, 10000);
		}
	}
	for my $queue (sort keys %order)
	{
		$from{$queue}->cmd('MIGRATE', '127.0.0.1', OutboxTest::Nodes::port($to), $_, 0, 10000)
		  for OutboxTest::Slots::keys_in($from{$queue}, $slot{$queue});
		$_->cmd('CLUSTER', 'SETSLOT', $slot{$queue}, 'NODE', $to->{id}) for $to, $from{$queue};
	}
	return;
}

sub cursor_of
{
	my ($queue) = @_;
	my $slot = $cluster->slot("{$queue}");
	return (grep { /:outbox:/ && !/:replicas$/ } map { OutboxTest::Slots::keys_in($_, $slot) } @nodes)[0];
}

# All slots begin at one node.
for my $queue (@queues)
{
	$cluster->move_slot($cluster->slot("{$queue}"), $nodes[0]);
	enqueue($queue) for 1 .. 3;
}
eventually { !grep { !cursor_of($_) } @queues } 'messages flow';

# At first there are no streams, or some are missing.
move($nodes[1], map { my $q = $_; $q => [ cursor_of($q), "{$q}" ] } @queues);
eventually { !grep { !all_done($_) } @queues } 'before anything was returned, and while it is';

# Then each order of the four keys, four orders at a time.
my @orders = ([]);
@orders = map { my $o = $_; map { my $k = $_; (grep { $_ eq $k } @$o) ? () : [ @$o, $k ] } qw(cursor data retry dead) } @orders for 1 .. 4;
is(scalar @orders, 24, 'four keys have 24 orders');
for my $round (1 .. 6)
{
	my %order;
	for my $queue (@queues)
	{
		my %key = (cursor => cursor_of($queue), data => "{$queue}", retry => "{$queue}:retry", dead => "{$queue}:dead");
		$order{$queue} = [ map { $key{$_} } @{ shift @orders } ];
	}
	move($nodes[ ($round + 1) % 2 ], %order);
	eventually { !grep { !all_done($_) } @queues } "round $round: all that was returned came again once, or was given up once";
}
is(scalar keys %returned, 8, 'all streams were used');

# Once and no more.
eventually { !grep { !read_all($_) } @queues } 'all was read';
ok(!(grep { !all_done($_) } @queues), 'nothing came twice');
my $log = log_of($node);
unlike($log, qr/cannot read what consumers/, 'that a slot moves is no warning');
unlike($log, qr/has lost/, 'nothing was taken for lost');
like($log, qr/LOG:  what consumers of queue "\w" return has to wait: slot \d+ is moving/, 'but it is said');
# Entries that were read are trimmed at the node that has them now.
eventually { !grep { $cluster->cmd('XLEN', "{$_}:retry") + $cluster->cmd('XLEN', "{$_}:dead") } @queues } 'what was read is trimmed';

# Nodes that name each other for a slot are not asked for these streams as fast as they answer.
my $queue = 'a';
my $slot = $cluster->slot("{$queue}");
my $owner = $cluster->owner_of($slot);
my ($other) = grep { $_ != $owner } @nodes;
$other->cmd('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $owner->{id});
$owner->cmd('MIGRATE', '127.0.0.1', OutboxTest::Nodes::port($other), $_, 0, 10000) for OutboxTest::Slots::keys_in($owner, $slot);
$other->cmd('CLUSTER', 'SETSLOT', $slot, 'STABLE');
sub rejected { my $n = 0; $n += $_ for map { $_->cmd('INFO', 'commandstats') =~ /^cmdstat_(?:xinfo|xread)\S*:.*rejected_calls=([1-9]\d*)/mg } @nodes; return $n; }
is($owner->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $other->{id}), 'OK', 'a slot is given away, and the other one has not heard of it');
eventually { why($queue) =~ /nodes of the cluster name each other/ } 'the queue waits, and says why';
my ($began, $had) = (time, rejected());
wait_for { time > $began + 3 };
my $each_second = (rejected() - $had) / (time - $began);
cmp_ok($each_second, '<', 2, sprintf 'they are asked for streams %.1f times a second', $each_second);
is($other->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $other->{id}), 'OK', 'the other one takes it');
enqueue($queue);
eventually { all_done($queue) } 'it goes on';
done_testing();
