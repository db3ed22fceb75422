# Copyright (c) 2026, the outbox developers
#
# OutboxTest::OnNodes: what the tests of a cluster under load have in common: its nodes, a
# PostgreSQL, plain queues and one that has partitions on all of its shards, writers that
# write keys to all of them, and what has to be true in the end.

package OutboxTest::OnNodes;

use strict;
use warnings;
use OutboxTest;
use OutboxTest::Nodes;
use OutboxTest::Partitions;
use Test::More;

my $db = 'postgres';
my $password = 'of-the-nodes';

# What OutboxTest::Nodes->start takes, and conf: of PostgreSQL; parameters: of the URL.
sub begin
{
	my ($class, %opt) = @_;
	my $redis = delete $opt{redis} // {};
	my $parameters = delete $opt{parameters} // [];
	my $conf = delete $opt{conf} // 'outbox.retention = 5min';
	my $cluster = OutboxTest::Nodes->start(%opt, redis => {
		requirepass => $password, masterauth => $password, 'cluster-replica-validity-factor' => 0, %$redis });
	my $node = new_node('main', url => $cluster->url(2, ":$password\@", @$parameters), conf => $conf);
	my $self = bless { cluster => $cluster, node => $node, db => $db,
		partitions => { orders => 6, map { $_ => 0 } 'a' .. 'f', low_name() } }, $class;

	install($node, $db);
	run_sql($node, $db, '281_put_keys.sql');
	for my $queue ($self->queues)
	{
		my $of = $self->{partitions}{$queue} ? qq{, "partitions": $self->{partitions}{$queue}} : '';
		$node->safe_psql($db, qq{SELECT outbox_create_queue('$queue', settings => '{"payload_type": "text"$of}')});
	}
	$self->{load} = load($node, $db, writers => 2, queues => [ $self->queues ], max_delay => 0.01);
	$self->flow('messages flow');
	return $self;
}

# A queue in one of the first slots, which are those that redis-cli moves first, if it is to
# move some: a server may take half a second for each.
our $low = 20;

sub low_name
{
	my $n = 0;
	$n++ until slot("low$n") < $low;
	return "low$n";
}

sub queues { return sort keys %{ $_[0]{partitions} }; }
sub plain { my ($self) = @_; return grep { !$self->{partitions}{$_} } $self->queues; }

sub streams
{
	my ($self) = @_;
	return map { my $q = $_; my $of = $self->{partitions}{$q}; $of ? map { "{$q:$_}" } 0 .. $of - 1 : $q } $self->queues;
}

# The streams on a node, and those on others.
sub on { my ($self, $node) = @_; return grep { $self->{cluster}->node_of($_) == $node } $self->streams; }
sub elsewhere { my ($self, $node) = @_; return grep { $self->{cluster}->node_of($_) != $node } $self->streams; }

# A test: messages arrive in each of these streams, or in all.
sub flow
{
	my ($self, $name, @streams) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $cluster = $self->{cluster};
	@streams = $self->streams unless @streams;
	my %had;
	return eventually {
		$had{$_} //= $cluster->count($_) for @streams;
		@streams = grep { $cluster->count($_) < $had{$_} + 5 } @streams;
		!@streams;
	} $name;
}

# Nobody writes any more.
sub stop { my ($self) = @_; $self->{load}->stop; delete $self->{load}; return; }

# A replica gets nothing more, whatever its primary takes; and gets it again.
sub cut_off
{
	my ($self, $replica, $primary) = @_;
	$replica->cmd('CONFIG', 'SET', 'masterauth', 'wrong');
	$primary->cmd('CLIENT', 'KILL', 'TYPE', 'replica');
	return;
}
sub let_in { my ($self, $replica) = @_; OutboxTest::Nodes::_say($replica, 'CONFIG', 'SET', 'masterauth', $password); return; }

# Tests: what the journal has is there, each once, in order; no attempt was counted; the
# rest of what has to be true whatever happened.
sub end
{
	my ($self, $at_least) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($cluster, $node) = @$self{qw(cluster node)};
	if ($self->{load})
	{
		$self->flow('messages flow into all streams');
		$self->stop;
	}
	$cluster->wait_ok;
	audit_partitions($node, $db, $cluster, $self->{partitions}, $at_least, 'nothing lost, nothing twice, each stream in order');
	is(ask($node, $db, q{SELECT sum(failed) || ' ' || sum(dead_lettered) || ' ' || sum(retrying) FROM outbox.queue_status}),
		'0 0 0', 'no attempt is counted');
	eventually { ask($node, $db, q{SELECT string_agg(DISTINCT state, ' ') FROM outbox.partition_status}) eq 'flowing' } 'all flow';
	my $log = log_of($node);
	my @lost = $log =~ /WARNING:.*Redis has lost (\d+) acknowledged messages/g;
	note("acknowledged, lost and delivered again: @lost") if @lost;
	unlike($log, qr/ [1-9]\d* are beyond the retention/, 'all of what was lost was retained');
	unlike($log, qr/$password/, 'the password is not in the log');
	return scalar @lost;
}

1;
