# Copyright (c) 2026, the outbox developers
#
# Promise: what a master refuses because of its replicas, or because it is no master
# any more, is no message's fault, whatever the queue's policy (I9): messages wait,
# and arrive once, in order, when it is over (I2, I3, I4).  A queue that has a
# connection of its own follows the master like the others.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Sentinel;
use PostgreSQL::Test::Utils;
use Test::More;

my $sentinel = OutboxTest::Sentinel->start(
	replicas => 1,
	redis => { 'proto-max-bulk-len' => '1mb', 'min-replicas-max-lag' => 2 });
my $master = $sentinel->master;
my ($replica) = $sentinel->replicas;
my $node = new_node('main', url => $sentinel->url, conf => "outbox.retention = 5min\noutbox.max_message_size = '8MB'");
my $db = 'postgres';
my @queues = qw(block retry dead_letter);
install($node, $db);
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => '$_', max_attempts => 1)") for @queues;

sub waits
{
	my ($what, $why) = @_;
	$node->safe_psql($db, "SELECT put('$_', '$what ' || i) FROM generate_series(1, 100) AS i") for @queues;
	return eventually { status($node, $db, 'state') eq 'waiting for redis' && status($node, $db, 'last_error') =~ $why } "$what: messages wait, and the status says why";
}

sub over
{
	my ($what, $total) = @_;
	audit($node, $db, $master, \@queues, $total, "$what: nothing lost, nothing twice, all in order");
	return eventually {
		ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}) eq '0 0 0'
	} "$what: no attempt is counted, nothing is set aside";
}

# Too few replicas.
$master->cmd('CONFIG', 'SET', 'min-replicas-to-write', 1);
$replica->pause;
eventually { $master->cmd('INFO', 'replication') =~ /^min_slaves_good_slaves:0/m } 'the replica lags';
waits('NOREPLICAS', qr/NOREPLICAS/);
$replica->resume;
over('NOREPLICAS', 300);
$master->cmd('CONFIG', 'SET', 'min-replicas-to-write', 0);

# It is a replica from now on, and connections stay: writes are refused; then ROLE
# says so, until it is a master again.
$master->cmd('REPLICAOF', '127.0.0.1', $replica->{port});
waits('READONLY', qr/READONLY|is no master, though Sentinel \S+ says so/);
eventually { status($node, $db, 'last_error') =~ /is no master, though Sentinel \S+ says so/ } 'it is asked for its role';
$master->cmd('REPLICAOF', 'NO', 'ONE');
over('READONLY', 600);

# A message that Redis can't read: its queue gets a connection of its own.  The
# next master reads it.
$sentinel->wait_complete;
$node->safe_psql($db, q{SELECT create_queue('large')});
$node->safe_psql($db, q{SELECT outbox_enqueue('large', repeat('x', 2000000))});
eventually { ask($node, $db, q{SELECT state FROM outbox.queue_status WHERE queue = 'large'}) eq 'blocked' } 'a queue stands still at a large message';
my $old = $master;
$master = $sentinel->failover;
eventually { $master->cmd('CONFIG', 'SET', 'proto-max-bulk-len', '512mb') eq 'OK' } 'the next master can read it';
eventually { $master->cmd('XLEN', 'large') == 1 } 'and gets it';
over('failover', 600);
done_testing();
