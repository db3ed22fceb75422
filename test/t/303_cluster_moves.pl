# Copyright (c) 2026, the outbox developers
#
# Promise: a queue goes from one Redis to a Redis Cluster and back while messages
# come, and nothing is lost, doubled or out of order; who uses the wrong kind of URL
# is told which is right.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Checker;
use OutboxTest::Slots;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = OutboxTest::Slots->start;
my $redis = OutboxTest::Redis->start(port => PostgreSQL::Test::Cluster::get_free_port());
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1\n");
my $db = 'postgres';
my @queues = qw(a b c d);
install($node, $db, @queues);
$node->safe_psql($db, "CREATE SERVER cluster FOREIGN DATA WRAPPER outbox OPTIONS (url '@{[ $cluster->url ]}')");

sub alter { my ($queue, $to) = @_; return $node->safe_psql($db, "SELECT outbox_alter_queue('$queue', settings => '{\"server\": \"$to\"}')"); }
sub moved { my ($queue) = @_; return ask($node, $db, "SELECT moving_from IS NULL FROM outbox.queue_settings WHERE queue = '$queue'") eq 't'; }

# What has arrived at both, by the time at which it did: all have one clock.
sub arrived
{
	my ($queue) = @_;
	my @all;
	for my $entry ($redis->entries($queue), $cluster->entries($queue))
	{
		my %field = @{ $entry->[1] };
		push @all, [ split(/-/, $entry->[0]), $field{id}, $field{payload} ];
	}
	return map { [ @$_[ 2, 3 ] ] } sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @all;
}

my $load = load($node, $db, writers => 2, queues => \@queues, max_delay => 0.05);
for my $to (qw(cluster outbox_default cluster))
{
	my $there = $to eq 'cluster' ? $cluster : $redis;
	for my $queue (qw(a b c))
	{
		my $had = $there->count($queue);
		alter($queue, $to);
		eventually { moved($queue) && $there->count($queue) > $had + 2 } "$queue goes to $to";
	}
}
my ($other) = grep { $_ != $cluster->node_of('a') } @{ $cluster->{nodes} };
$cluster->move_slot($cluster->slot('a'), $other);
my $had = $cluster->count('a');
eventually { $cluster->count('a') > $had + 2 } 'there its slot moves';
$load->stop;
settle($node, $db, $cluster, qw(a b c));
settle($node, $db, $redis, 'd');
my @journal = @{ journal($node, $db) };
my %got = map { $_ => [ arrived($_) ] } @queues;
my @faults = OutboxTest::Checker::faults(\@journal, \%got);
ok(!@faults, 'nothing lost, nothing twice, all in order') or diag(join "\n", splice @faults, 0, 10);
cmp_ok(scalar @journal, '>', 100, 'of enough messages');
like(ask($node, $db, q{SELECT address FROM outbox.server_status WHERE server = 'cluster'}), qr/ \([23] nodes in use, 16384 of 16384 slots have one\)$/, 'the server says how many nodes are in use');

# The server's URL changes to that of no cluster.
$node->safe_psql($db, "ALTER SERVER cluster OPTIONS (SET url 'redis+cluster://127.0.0.1:$redis->{config}{port}')");
eventually { ask($node, $db, q{SELECT state || ': ' || why FROM outbox.server_status WHERE server = 'cluster'}) =~ /^waiting for redis: .*cluster support disabled/ } 'no cluster: it waits';
like(log_of($node), qr/HINT:  For a Redis that is no cluster use redis:\/\/ or rediss:\/\/\./, 'and says which URL is right');
my $a = OutboxTest::Slots::address($cluster->{nodes}[0]);
$node->safe_psql($db, "ALTER SERVER cluster OPTIONS (SET url 'redis://$a')");
put($node, $db, $_, 'to a node') for qw(a b c);
eventually { ask($node, $db, q{SELECT state || ': ' || why FROM outbox.server_status WHERE server = 'cluster'}) =~ /^waiting for redis: MOVED / } 'a node of a cluster: it waits';
like(log_of($node), qr/HINT:  It is a node of a Redis Cluster: use redis\+cluster:\/\/ or rediss\+cluster:\/\//, 'and says which URL is right');
$node->safe_psql($db, "ALTER SERVER cluster OPTIONS (SET url '@{[ $cluster->url ]}')");
settle($node, $db, $cluster, qw(a b c));
pass('with the right one messages flow');
done_testing();
