# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Nodes: a Redis Cluster of primaries with a replica each, whose slots
# anybody may have.
#
# OutboxTest::Slots knows who has which slot, as only the test moves them.  Here
# replicas take over, so the nodes are asked: cmd() follows MOVED and ASK, and goes on
# asking while the cluster is down.  What has arrived is read through that.
#
# With tls (an OutboxTest::Tls with a certificate "node") clients, replicas and the bus
# use TLS.

package OutboxTest::Nodes;

use strict;
use warnings;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time sleep);
use OutboxTest::Redis;
use OutboxTest::Slots;

our @ISA = ('OutboxTest::Slots');

# What is read of a stream is read by cmd().
{
	no strict 'refs';
	*{$_} = \&{"OutboxTest::Redis::$_"} for qw(entries arrived last_of count);
}

# primaries, replicas: how many, and of each; redis: directives; tls; first_has: so many
# slots, of which the others have as many each.
sub start
{
	my ($class, %opt) = @_;
	my $self = bless { nodes => [], tls => $opt{tls}, redis => $opt{redis} // {}, clients => {} }, $class;
	my $n = $opt{primaries} // 3;
	my @primaries = map { $self->_node } 1 .. $n;

	my $first_has = $opt{first_has} // int($OutboxTest::Slots::slots / $n);
	my $each = ($OutboxTest::Slots::slots - $first_has) / ($n - 1);
	for my $i (0 .. $n - 1)
	{
		my ($from, $to) = map { $_ < 0 ? 0 : int($first_has + $_ * $each) } $i - 1, $i;
		$primaries[$i]->cmd('CLUSTER', 'ADDSLOTS', $from .. $to - 1);
		$primaries[$i]->cmd('CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
	}
	push @{ $self->{nodes} }, @primaries;
	my @replicas = map { $self->_node } 1 .. $n * ($opt{replicas} // 1);
	push @{ $self->{nodes} }, @replicas;
	$_->cmd('CLUSTER', 'MEET', '127.0.0.1', port($primaries[0])) for @{ $self->{nodes} }[ 1 .. $#{ $self->{nodes} } ];
	$self->until('all nodes know each other', sub {
		!grep { $self->info($_) !~ /cluster_known_nodes:${\ scalar @{ $self->{nodes} }}\b/ } @{ $self->{nodes} };
	});
	$self->replicate($replicas[$_], $primaries[ $_ % $n ]) for 0 .. $#replicas;
	$self->wait_ok;
	return $self;
}

sub port { my ($node) = @_; return $node->{config}{'tls-port'} // $node->{config}{port}; }

sub _node
{
	my ($self) = @_;
	my $port = OutboxTest::Slots::_port();
	my $tls = $self->{tls};
	my $node = OutboxTest::Redis->start(
		'cluster-enabled' => 'yes', 'cluster-node-timeout' => 2000, 'repl-diskless-sync-delay' => 0,
		$tls ? (port => 0, 'tls-port' => $port, 'tls-cluster' => 'yes', 'tls-replication' => 'yes',
			'tls-auth-clients' => 'no', 'tls-ca-cert-file' => $tls->file('ca.crt'),
			map { ("tls-$_->[0]-file" => $tls->file("node.$_->[1]")) } [ cert => 'crt' ], [ key => 'key' ])
		: (port => $port),
		%{ $self->{redis} });
	$node->{id} = $node->cmd('CLUSTER', 'MYID');
	return $node;
}

sub until
{
	my ($self, $what, $true) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (eval { $true->() })
	{
		if (time > $deadline)
		{
			my ($any) = $self->living;
			die "cluster: $what: never\n$@" . ($any ? $any->cmd('CLUSTER', 'NODES') : '');
		}
		sleep 0.02;
	}
	return;
}

sub living { my ($self) = @_; return grep { $_->{pid} && !$_->{paused} } @{ $self->{nodes} }; }
sub info { my ($self, $node) = @_; return _say($node, 'CLUSTER', 'INFO'); }

# A node that becomes a replica may close its connections.
sub _say
{
	my ($node, @command) = @_;
	my $reply = eval { ($node->{own} //= $node->client)->try(@command) };
	return $reply unless $@;
	delete $node->{own};
	return $node->client->try(@command);
}

sub replicate
{
	my ($self, $replica, $primary) = @_;
	$self->until('a node knows its primary', sub { _say($replica, 'CLUSTER', 'REPLICATE', $primary->{id}) eq 'OK' });
	return;
}

# What a node says: an id => { master => id or '', slots => [ [from, to], ... ] }.
sub view
{
	my ($self, $node) = @_;
	my %view;
	for my $line (split /\n/, _say($node, 'CLUSTER', 'NODES'))
	{
		my ($id, undef, $flags, $master, undef, undef, undef, undef, @slots) = split / /, $line;
		$view{$id} = { flags => $flags, master => $master =~ /^-$/ ? '' : $master,
			slots => [ map { /^(\d+)(?:-(\d+))?$/ ? [ $1, $2 // $1 ] : () } @slots ] };
	}
	return \%view;
}

# All nodes that live say that all is well, that all of them live, and the same about who
# has what; and each replica has what its primary has.
sub wait_ok
{
	my ($self) = @_;
	my $n = @{ $self->{nodes} };
	$self->until('all is well', sub {
		my %said;
		for my $node ($self->living)
		{
			return 0 if $self->info($node) !~ /cluster_state:ok.*cluster_slots_ok:$OutboxTest::Slots::slots/s;
			my $view = $self->view($node);
			my @of_living = map { $view->{ $_->{id} } // return 0 } $self->living;
			return 0 if grep { $_->{flags} =~ /fail|handshake/ } @of_living;
			$said{ join ' ', map { "$_ $view->{$_}{master} " . join ',', map { "@$_" } @{ $view->{$_}{slots} } } sort keys %$view }++;
			return 0 if _say($node, 'INFO', 'replication') =~ /role:slave.*master_link_status:down/s;
		}
		return keys %said == 1;
	});
	return;
}

sub primaries { my ($self) = @_; return grep { _say($_, 'ROLE')->[0] eq 'master' } $self->living; }

# The replicas of a node, as any node that lives says.
sub replicas_of
{
	my ($self, $primary) = @_;
	my $view = $self->view(($self->living)[0]);
	return grep { ($view->{ $_->{id} }{master} // '') eq $primary->{id} } $self->living;
}

# Who has the slot, as most living nodes say.
sub owner_of
{
	my ($self, $slot) = @_;
	my %votes;
	for my $node ($self->living)
	{
		my $view = $self->view($node);
		my ($id) = grep { grep { $_->[0] <= $slot && $slot <= $_->[1] } @{ $view->{$_}{slots} } } keys %$view;
		$votes{$id}++ if $id;
	}
	my ($id) = sort { $votes{$b} <=> $votes{$a} } keys %votes;
	return (grep { $_->{id} eq ($id // '') } @{ $self->{nodes} })[0];
}
sub slot { my ($self, $key) = @_; return _say(($self->living)[0], 'CLUSTER', 'KEYSLOT', $key); }
sub node_of { my ($self, $key) = @_; return $self->owner_of($self->slot($key)); }

# A command whose first argument is the key, to whoever has that now.
sub cmd
{
	my ($self, @command) = @_;
	my ($reply, $at);
	$self->until("@command[0, 1]", sub {
		my ($any) = $self->living;
		$at //= $any;
		$at = $any unless $at->{pid} && !$at->{paused};
		$reply = _say($at, @command);
		return 1 unless ref $reply eq 'OutboxTest::Redis::Error';
		if ("$reply" =~ /^(MOVED|ASK) (\d+) \S*:(\d+)/)
		{
			my ($kind, $slot, $port) = ($1, $2, $3);
			# a client that doesn't use TLS is named the port without it, and there is none
			my ($next) = $port ? grep { port($_) == $port } $self->living : $self->owner_of($slot);
			undef $at;
			return 0 unless $next;
			$at = $next if $kind eq 'MOVED';
			if ($kind eq 'ASK')
			{
				_say($next, 'ASKING');
				$reply = _say($next, @command);
			}
		}
		return ref $reply ne 'OutboxTest::Redis::Error' || "$reply" !~ /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN)/;
	});
	die "redis says to $command[0]: $reply\n" if ref $reply eq 'OutboxTest::Redis::Error';
	return $reply;
}

sub url
{
	my ($self, $n, $login, @parameters) = @_;
	my @nodes = @{ $self->{nodes} };
	my $url = join ',', map { '127.0.0.1:' . port($_) } @nodes[ 0 .. ($n // 2) - 1 ];
	push @parameters, 'sslrootcert=' . $self->{tls}->file('ca.crt') if $self->{tls};
	return ($self->{tls} ? 'rediss' : 'redis') . '+cluster://' . ($login // '') . $url
	  . (@parameters ? '/?' . join('&', @parameters) : '');
}

sub _login { my ($self) = @_; return map { defined ? ('AUTH', $_) : () } $self->{redis}{requirepass}; }

sub redis_cli
{
	my ($self, @words) = @_;
	local $ENV{REDISCLI_AUTH} = $self->{redis}{requirepass} // '';
	my @tls = $self->{tls} ? ('--tls', '--cacert', $self->{tls}->file('ca.crt')) : ();
	my ($out, $err);
	IPC::Run::run([ 'redis-cli', @tls, @words ], '<', \undef, '>', \$out, '2>', \$err)
	  or die "redis-cli @words: $out$err\n";
	return $out;
}

# Moves of slots.  By hand, in the steps of the protocol, keys in the order they come; the
# test may do something between the steps ...
sub move_slot
{
	my ($self, $slot, $to, %between) = @_;
	my $from = $self->owner_of($slot);
	return if $from == $to;
	$to->cmd('CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
	$from->cmd('CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});
	$between{marked}->() if $between{marked};
	while (my @keys = OutboxTest::Slots::keys_in($from, $slot))
	{
		for my $key (@keys)
		{
			$from->cmd('MIGRATE', '127.0.0.1', port($to), $key, 0, 10000, $self->_login);
			$between{moved}->($key) if $between{moved};
		}
	}
	for my $node ($to, $from, grep { $_ != $to && $_ != $from } $self->primaries)
	{
		# one that has lost its last slot is a replica at once
		my $said = _say($node, 'CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id});
		die "cluster: $said\n" unless $said =~ /^OK$|only with masters/;
	}
	return;
}

# ... by redis-cli ...
sub reshard
{
	my ($self, $from, $to, $n) = @_;
	eval {
		$self->redis_cli('--cluster', 'reshard', '127.0.0.1:' . port($from), '--cluster-from', $from->{id},
			'--cluster-to', $to->{id}, '--cluster-slots', $n, '--cluster-yes', '--cluster-timeout', 10000);
	};
	# Valkey 8 waits for replicas when a slot is assigned; who has lost the last one is one
	die $@ if $@ && $@ !~ /instance state changed \(master -> replica/;
	return;
}

# ... and by the server itself, all at once: by which command, or undef.
sub moves_atomically
{
	my ($self) = @_;
	my $help = _say(($self->living)[0], 'CLUSTER', 'HELP');
	return unless ref $help eq 'ARRAY';
	return (grep { $_ } map { /^\s*(MIGRATESLOTS|MIGRATION)\b/i ? uc $1 : '' } @$help)[0];
}

sub move_atomically
{
	my ($self, $first, $last, $to) = @_;
	my $from = $self->owner_of($first);
	$self->until('slots are at another node', sub {
		return 1 if $self->owner_of($first) == $to;
		$self->{migrating} //= do {
			my $said = $self->moves_atomically eq 'MIGRATION'
			  ? _say($to, 'CLUSTER', 'MIGRATION', 'IMPORT', $first, $last)
			  : _say($from, 'CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', $first, $last, 'NODE', $to->{id});
			ref $said eq 'OutboxTest::Redis::Error' ? undef : 1;
		};
		return 0;
	});
	delete $self->{migrating};
	return;
}

# A replica takes over; how: undef, FORCE or TAKEOVER.
sub failover
{
	my ($self, $replica, $how) = @_;
	$self->until('a failover begins', sub { _say($replica, 'CLUSTER', 'FAILOVER', $how // ()) eq 'OK' });
	$self->wait_primary($replica);
	return;
}

sub wait_primary
{
	my ($self, $node) = @_;
	$self->until('the replica takes over', sub { _say($node, 'ROLE')->[0] eq 'master' });
	return;
}

# A further node, without slots; and away with one that has none (any more).
sub add_node
{
	my ($self) = @_;
	my $node = $self->_node;
	push @{ $self->{nodes} }, $node;
	$node->cmd('CLUSTER', 'MEET', '127.0.0.1', port($self->{nodes}[0]));
	$self->wait_ok;
	return $node;
}

sub remove_node
{
	my ($self, $node) = @_;
	$self->{nodes} = [ grep { $_ != $node } @{ $self->{nodes} } ];
	_say($_, 'CLUSTER', 'FORGET', $node->{id}) for $self->living;
	$node->kill9;
	return;
}

sub slots_of
{
	my ($self, $node) = @_;
	return map { $_->[0] .. $_->[1] } @{ $self->view($node)->{ $node->{id} }{slots} };
}

1;
