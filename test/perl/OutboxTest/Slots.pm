# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Slots: nodes of a Redis Cluster, and slots that are moved by hand.
#
# Each node is an OutboxTest::Redis that listens on a port.  There are no replicas:
# a node that is killed is away until it is started again.  Who has which slot is
# known here, so cmd() asks the right node, as audit() and settle() want it.

package OutboxTest::Slots;

use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time sleep);
use OutboxTest::Redis;

our $slots = 16384;

# nodes: how many; redis: directives of them.  Slots are spread evenly.
sub start
{
	my ($class, %opt) = @_;
	my $self = bless { nodes => [], owner => [] }, $class;
	my $n = $opt{nodes} // 3;

	push @{ $self->{nodes} }, _node(%{ $opt{redis} // {} }) for 1 .. $n;
	for my $i (0 .. $n - 1)
	{
		my $node = $self->{nodes}[$i];
		my ($from, $to) = (int($i * $slots / $n), int(($i + 1) * $slots / $n) - 1);
		$node->cmd('CLUSTER', 'ADDSLOTS', $from .. $to);
		$self->{owner}[$_] = $node for $from .. $to;
		$node->cmd('CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
	}
	$_->cmd('CLUSTER', 'MEET', '127.0.0.1', $self->{nodes}[0]{config}{port}) for @{ $self->{nodes} }[ 1 .. $n - 1 ];
	$self->wait_ok;
	return $self;
}

# A port that has another one ten thousand above it, for the bus.
sub _port
{
	for (1 .. 1000)
	{
		my $port = 20000 + int(rand 12000);
		my @free = grep {
			my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $_, Listen => 1);
			defined $s && close $s;
		} $port, $port + 10000;
		return $port if @free == 2;
	}
	die "no free port\n";
}

sub _node
{
	my (%config) = @_;
	return OutboxTest::Redis->start(port => _port(), 'cluster-enabled' => 'yes',
		'cluster-node-timeout' => 2000, %config);
}

# A further node, without slots.
sub add_node
{
	my ($self, %config) = @_;
	my $node = _node(%config);
	$node->cmd('CLUSTER', 'MEET', '127.0.0.1', $self->{nodes}[0]{config}{port});
	push @{ $self->{nodes} }, $node;
	$self->wait_ok;
	return $node;
}

# All nodes know each other, and all slots have a node.
sub wait_ok
{
	my ($self) = @_;
	my $n = @{ $self->{nodes} };
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	for my $node (@{ $self->{nodes} })
	{
		until ($node->cmd('CLUSTER', 'INFO') =~ /cluster_state:ok.*cluster_slots_ok:$slots.*cluster_known_nodes:$n\b/s)
		{
			die "the cluster is not well: " . $node->cmd('CLUSTER', 'INFO') if time > $deadline;
			sleep 0.02;
		}
	}
	return;
}

sub address { my ($node) = @_; return "127.0.0.1:$node->{config}{port}"; }

# The URL, with the first nodes.
sub url
{
	my ($self, $n, $login) = @_;
	my @nodes = @{ $self->{nodes} };
	return 'redis+cluster://' . ($login // '') . join ',', map { address($_) } @nodes[ 0 .. ($n // 2) - 1 ];
}

# CRC16 of what is in the first braces, or of the key.
sub slot
{
	my ($self, $key) = @_;
	my $crc = 0;
	for my $byte (unpack 'C*', $key =~ /^[^{]*\{([^}]+)\}/ ? $1 : $key)
	{
		$crc ^= $byte << 8;
		$crc = ($crc << 1 ^ ($crc & 0x8000 ? 0x1021 : 0)) & 0xffff for 1 .. 8;
	}
	return $crc % $slots;
}

sub node_of { my ($self, $key) = @_; return $self->{owner}[ $self->slot($key) ]; }

# A command of which the first argument is the key.  While the cluster is down, as for a
# moment when a node was missed, it is tried again.
sub _try
{
	my ($self, $key, $method, @args) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while (1)
	{
		my @result = eval { $self->node_of($key)->$method(@args) };
		return wantarray ? @result : $result[0] unless $@;
		die $@ if $@ !~ /CLUSTERDOWN|TRYAGAIN|LOADING/ || time > $deadline;
		sleep 0.05;
	}
	return;
}

sub cmd { my ($self, @command) = @_; return $self->_try($command[1], 'cmd', @command); }
sub arrived { my ($self, $key) = @_; return $self->_try($key, 'arrived', $key); }
sub count { my ($self, $key) = @_; return $self->_try($key, 'count', $key); }

# The keys that lie in a slot.
sub keys_in { my ($node, $slot) = @_; return @{ $node->cmd('CLUSTER', 'GETKEYSINSLOT', $slot, 1000) }; }

# The steps of a move: marked, keys moved one by one, assigned.
sub begin_move
{
	my ($self, $slot, $to) = @_;
	my $from = $self->{owner}[$slot];
	$to->cmd('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->cmd('CLUSTER', 'MYID'));
	$from->cmd('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->cmd('CLUSTER', 'MYID'));
	return;
}

sub move_key
{
	my ($self, $key, $to) = @_;
	return $self->node_of($key)->cmd('MIGRATE', '127.0.0.1', $to->{config}{port}, $key, 0, 10000);
}

sub end_move
{
	my ($self, $slot, $to) = @_;
	my $from = $self->{owner}[$slot];
	my $id = $to->cmd('CLUSTER', 'MYID');
	while (my @keys = keys_in($from, $slot))
	{
		$self->move_key($_, $to) for @keys;
	}
	$_->cmd('CLUSTER', 'SETSLOT', $slot, 'NODE', $id) for $to, $from, grep { $_ != $to && $_ != $from } @{ $self->{nodes} };
	$self->{owner}[$slot] = $to;
	return;
}

sub move_slot { my ($self, $slot, $to) = @_; $self->begin_move($slot, $to); return $self->end_move($slot, $to); }
sub entries { my ($self, $key) = @_; return $self->_try($key, 'entries', $key); }

# The cursor's key, which lies in the slot of a queue's own one.
sub cursor_of
{
	my ($self, $key) = @_;
	return grep { /:outbox:/ } keys_in($self->node_of($key), $self->slot($key));
}

1;
