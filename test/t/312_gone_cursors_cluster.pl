# Copyright (c) 2026, the outbox developers
#
# Promise: cursors of databases that are gone are found on all nodes of a Redis Cluster,
# each once, also where no queue of ours is, and removed at the node that has their slot
# now.  A node that is away hides nobody else's; what can't be seen is said.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Slots;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = OutboxTest::Slots->start(redis => { 'cluster-require-full-coverage' => 'no' });
my @nodes = @{ $cluster->{nodes} };
my $node = new_node('main', url => $cluster->url(1), conf => 'max_worker_processes = 20');
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql('postgres', 'CREATE DATABASE dropped');
install($node, 'dropped', 'q');
$node->safe_psql('dropped', q{SELECT outbox_create_queue('p', settings => '{"partitions": 20}')});

my $system = $node->safe_psql($db, 'SELECT system_identifier FROM pg_control_system()');
my $oid = $node->safe_psql($db, q{SELECT oid FROM pg_database WHERE datname = 'dropped'});
my @streams = ('q', map { "{p:$_}" } 0 .. 19);

sub marked
{
	my %of;
	for my $stream (@streams)
	{
		for my $name ($cluster->cursor_of($stream))
		{
			my $mark = $cluster->cmd('HGET', $name, 'owner') // '';
			push @{ $of{$stream} }, $name if $mark =~ /^$system $oid \d{10}$/;
		}
	}
	return %of;
}
eventually { my %of = marked(); keys %of == @streams } 'each cursor of the other database is marked, wherever it is';
my %cursor = marked();
my @gone = map { @$_ } values %cursor;
my ($mine) = grep { my $name = $_; !grep { $_ eq $name } @gone } $cluster->cursor_of("q");
is(scalar @gone, 21, 'one of each partition and queue');
$node->safe_psql('postgres', 'DROP DATABASE dropped WITH (FORCE)');

my ($rc, $out, $err);
sub listed
{
	($rc, $out, $err) = $node->psql($db, 'SELECT name FROM outbox_gone_cursors()');
	return join ' ', sort split /\n/, $out;
}
sub remove
{
	my ($name) = @_;
	($rc, $out, $err) = $node->psql($db, "SELECT outbox_remove_cursor('$name')");
	return $err;
}
sub outdate { my ($name) = @_; return $cluster->cmd('HSET', $name, 'owner', "$system $oid " . ($nodes[0]->cmd('TIME')->[0] - 86401)); }

# The database that is left has one queue, so two of the nodes have none.
is(listed(), join(' ', sort @gone), 'they are found on all nodes');
is($err, '', 'and nothing is said');
my %at = map { $cluster->node_of($_) => 1 } @streams;
is(scalar keys %at, 3, 'they are on all nodes');
is_deeply([ map { $_->calls('keys') } @nodes ], [ 0, 0, 0 ], 'never by KEYS');

# Many on each, in many pieces.
my @many;
for my $i (0 .. $#nodes)
{
	my $made = 0;
	for (my $n = 0; $made < 300; $n++)
	{
		next unless $cluster->node_of("many $n") == $nodes[$i];
		push @many, sprintf "{many $n}:outbox:%08x-0000-4000-8000-000000000000:1", $n;
		$nodes[$i]->cmd('HSET', $many[-1], 'owner', "$system 99999 1");
		$made++;
	}
	for (my $n = 0, my $put = 0; $put < 3000; $n++)
	{
		next unless $cluster->node_of("key $n") == $nodes[$i];
		$nodes[$i]->cmd('SET', "key $n", $n);
		$put++;
	}
}
is($node->safe_psql($db, q[SELECT count(*), count(DISTINCT name), count(*) FILTER (WHERE name LIKE '{many%' AND removable) FROM outbox_gone_cursors()]),
	'921|921|900', 'many, each once');

$cluster->cmd('DEL', $_) for @many;

# One is removed from whichever node has it, and no other.
outdate($_) for @gone;
for my $i (0 .. 2)
{
	my ($stream) = grep { $cluster->node_of($_) == $nodes[$i] } @streams;
	my $name = shift @{ $cursor{$stream} };
	@streams = grep { $_ ne $stream } @streams;
	is(remove($name), '', "one is removed from node $i");
	is($cluster->cmd('EXISTS', $name), 0, 'it is gone');
	like(remove($name), qr/it is not there, or has no mark/, 'a second time');
}
is($node->safe_psql($db, 'SELECT count(*) FROM outbox_gone_cursors()'), '18', 'the others are there');
like(remove($mine), qr/not removed: its database exists/, 'one that is in use is not removed');

# The slot has moved, and the map is not asked for meanwhile: it is found all the same.
sub one_at
{
	my ($redis) = @_;
	my ($stream) = grep { $cluster->node_of($_) == $redis } @streams;
	@streams = grep { $_ ne $stream } @streams;
	return ($stream, $cursor{$stream}[0]);
}
my ($stream, $name) = one_at($nodes[1]);
$cluster->move_slot($cluster->slot($stream), $nodes[2]);
is(remove($name), '', 'a cursor whose slot has moved is removed');
is($cluster->cmd('EXISTS', $name), 0, '... where it is now');

# While it moves: whoever has it is told apart from nobody.
($stream, $name) = one_at($nodes[1]);
my $slot = $cluster->slot($stream);
$cluster->begin_move($slot, $nodes[2]);
# Redis 8.0 takes some keys of such a slot for absent
like(listed() . $err, qr/\Q$name\E|their slots are moving/, 'marked as moving, it is listed, or it is said');
$cluster->move_key($name, $nodes[2]);
unlike(listed(), qr/\Q$name\E/, 'moved before its slot it cannot be read');
like($err, qr/WARNING:  1 cursors are not listed, as .* or their slots are moving/, '... which is said');
like(remove($name), qr/ERROR:  the relay cannot ask Redis: node 127.0.0.1:\d+: its slot is moving, ask again later: ASK $slot /, 'nor removed');
is($nodes[2]->cmd('CLUSTER', 'COUNTKEYSINSLOT', $slot), 1, 'it is there');
$cluster->end_move($slot, $nodes[2]);
like(listed(), qr/\Q$name\E/, 'assigned, it is listed');
is(remove($name), '', 'and removed');

# A node is away.
my @left = $node->safe_psql($db, 'SELECT count(*) FROM outbox_gone_cursors()');
my $away = (grep { $_ != $cluster->node_of('q') && $_ != $nodes[0] } @nodes)[0];
($stream, $name) = one_at((grep { $_ != $away && $_ != $cluster->node_of('q') } @nodes)[0]);
my ($lost_stream, $lost) = one_at($away);
my $address = OutboxTest::Slots::address($away);
$away->stop_saved;
eventually { listed() !~ /\Q$lost\E/ } 'a node is away, and its cursors are not listed';
like($err, qr/WARNING:  the relay cannot ask Redis: node $address: it is not connected to Redis/, '... which is said');
like($out, qr/\Q$name\E/, 'those of the others are');
like(remove($lost), qr/ERROR:  the relay cannot ask Redis: node $address: it is not connected to Redis/, 'what is there is not removed');
is(remove($name), '', 'what is elsewhere is');
$away->start_again;
eventually { listed() =~ /\Q$lost\E/ && $err eq '' } 'it is back, and so are its cursors';

# The nodes of which no queue has need are left, and the queue has been in nobody's way.
eventually { ask($node, $db, 'SELECT address FROM outbox.server_status') =~ / \(1 nodes in use/ } 'nodes without queues are left';
put($node, $db, 'q', 'hello');
audit($node, $db, $cluster, ['q'], 1, 'delivery is not concerned');

# The cluster is down for all: nothing is found, and that is an error.  Nodes answer as long
# as no cursor is met, so among many keys the first pieces are likely to be answered.
for my $alive (grep { $_ != $away } @nodes)
{
	my ($tag) = grep { $cluster->node_of($_) == $alive } map { "fill $_" } 0 .. 1000;
	$alive->cmd('EVAL', q{for i = 1, 30000 do redis.call('SET', '{' .. KEYS[1] .. '}' .. i, 1) end}, 1, $tag);
}
$_->cmd('CONFIG', 'SET', 'cluster-require-full-coverage', 'yes') for @nodes;
$away->kill9;
eventually { $nodes[0]->cmd('CLUSTER', 'INFO') =~ /cluster_state:fail/ } 'the cluster is down';
eventually { listed() eq '' && $rc != 0 && $err =~ /cluster is down|CLUSTERDOWN|it is not connected to Redis/ } 'it says so';

# Nobody of it answers.
$_->kill9 for grep { $_ != $away } @nodes;
eventually { listed() eq '' && $rc != 0 && $err =~ /ERROR:  the relay cannot ask Redis: .*it is not connected to Redis/ } 'no node answers: an error';
done_testing();
