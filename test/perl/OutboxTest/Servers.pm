# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Servers: a database with several Redis servers, and queues that move
# from one to another.  Server 0 is the default one.

package OutboxTest::Servers;

use strict;
use warnings;
use OutboxTest;
use Test::More;

# names: of the servers beside the default one; queues: of text, on the default one; conf.
sub start
{
	my ($class, %opt) = @_;
	my $redis = OutboxTest::Redis->start;
	my $node = new_node('main', redis => $redis, conf => $opt{conf});
	my $self = bless { node => $node, names => ['outbox_default'], redis => [$redis], queues => $opt{queues} // [], marks => 0 }, $class;
	install($node, 'postgres', @{ $self->{queues} });
	$self->add($_, OutboxTest::Redis->start) for @{ $opt{names} // [qw(jobs events)] };
	return $self;
}

# One more.  options: of the foreign server, unless it is the url of that Redis.
sub add
{
	my ($self, $name, $redis, $options) = @_;
	$options //= "url '@{[ $redis->url ]}'";
	$self->{node}->safe_psql('postgres', "CREATE SERVER $name FOREIGN DATA WRAPPER outbox OPTIONS ($options)");
	push @{ $self->{names} }, $name;
	push @{ $self->{redis} }, $redis;
	return $#{ $self->{names} };
}

# Its replica has taken over.
sub is_now { my ($self, $number, $redis) = @_; $self->{redis}[$number] = $redis; return; }

sub node { return $_[0]{node}; }
sub redis { return @{ $_[0]{redis} }; }
sub names { return @{ $_[0]{names} }; }

# What it gives, and what is said beside that.
sub sql
{
	my ($self, $text) = @_;
	my ($rc, $out, $err) = $self->{node}->psql('postgres', $text, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ($rc == 0 ? $out : '') . $err;
}

# Move a queue to the server of this number.  more: further settings.
sub alter
{
	my ($self, $queue, $to, $more) = @_;
	return $self->sql("SELECT outbox_alter_queue('$queue', settings => '{\"server\": \"$self->{names}[$to]\"" . ($more // '') . "}')");
}

sub setting
{
	my ($self, $queue, $column) = @_;
	return ask($self->{node}, 'postgres', "SELECT coalesce($column, '-') FROM outbox.queue_settings WHERE queue = '$queue'");
}

# Has the queue's move ended?
sub ended { my ($self, $queue) = @_; return $self->setting($queue, 'moving_from') eq '-'; }

sub queue_is
{
	my ($self, $queue) = @_;
	return ask($self->{node}, 'postgres', "SELECT concat_ws('|', state, why) FROM outbox.queue_status WHERE queue = '$queue'");
}

# What has arrived at a stream on all servers, as OutboxTest::Redis has it of one, by the
# time at which it did: all have one clock.
sub arrived
{
	my ($self, $stream) = @_;
	my @all;
	for my $redis ($self->redis)
	{
		for my $entry ($redis->entries($stream))
		{
			my %field = @{ $entry->[1] };
			push @all, [ split(/-/, $entry->[0]), $field{id}, $field{payload} ];
		}
	}
	return map { [ @$_[ 2, 3 ] ] } sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @all;
}

sub _has_recent
{
	my ($redis, $queue, $mark) = @_;
	return grep { my %field = @{ $_->[1] }; $field{payload} eq $mark } @{ $redis->cmd('XREVRANGE', $queue, '+', '-', 'COUNT', 20) };
}

# A test, as audit() is with one server.
sub check
{
	my ($self, $at_least, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @queues = @{ $self->{queues} };
	my $mark = 'mark ' . ++$self->{marks};
	put($self->{node}, 'postgres', $_, $mark) for @queues;
	for my $queue (@queues)
	{
		eventually { grep { _has_recent($_, $queue, $mark) } $self->redis } "$name: the last of $queue comes";
	}
	my @journal = @{ journal($self->{node}, 'postgres') };
	my @faults = OutboxTest::Checker::faults(\@journal, { map { $_ => [ $self->arrived($_) ] } @queues });
	push @faults, 'only ' . @journal . ' messages' if @journal < $at_least;
	return ok(!@faults, $name) || diag(join "\n", @faults[ 0 .. ($#faults < 9 ? $#faults : 9) ]);
}

1;
