# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Outcome: what has become of messages that may also fail, wait,
# be taken back, given up and replayed.
#
# Like OutboxTest::Checker a pure function, so that it can be fed faulty
# histories (000_harness.pl).  A message that was committed ends in exactly one
# way: it is in Redis, once; or it is a dead letter, once; or it was taken back
# or discarded by a transaction that committed, which says so in a table of the
# test.  A dead letter that was replayed is one of these again.  In all there
# is nothing else that may happen to it, however often Redis, the server and
# the relay have died.
#
# Order is promised for a queue, or for each of its keys, or not at all.  Two
# kinds of messages have no place in it: those that were delayed, and those
# that were replayed.

package OutboxTest::Outcome;

use strict;
use warnings;
use OutboxTest::Checker;

# history is a hash:
#
#   journal    rows as OutboxTest::Checker has them, and of each the key, and
#              due: when it might go (epoch, seconds), if it was delayed
#   got        { queue => [ [ id, body, time of arrival ], ... ] }
#   dead       ids of dead letters
#   cancelled, discarded, replayed: ids
#   order      { queue => "queue" | "key" | "none" }
#
# Returns a list of faults; its words are lost, duplicate, phantom, garbled,
# order, early, revived (taken back or discarded, and yet there), both
# (delivered and a dead letter).
sub faults
{
	my ($history) = @_;
	my %row = map { $_->{id} => $_ } @{ $history->{journal} };
	my %is = map {
		my $kind = $_;
		$kind => { map { $_ => 1 } @{ $history->{$kind} } }
	} qw(cancelled discarded replayed);
	my (%applied, %dead, @faults);

	for my $queue (sort keys %{ $history->{got} })
	{
		my @arrivals = @{ $history->{got}{$queue} };
		for my $arrival (@arrivals)
		{
			my ($id, $body, $at) = @$arrival;
			my $row = $row{$id};
			if (!$row || $row->{queue} ne $queue)
			{
				push @faults, "phantom: $id in $queue";
				next;
			}
			$applied{$id}++;
			push @faults, "garbled: $id in $queue" if $body ne $row->{body};
			push @faults, "early: $id in $queue, $at, due $row->{due}"
			  if defined $row->{due} && $at < $row->{due};
		}
		push @faults, _order($queue, $history->{order}{$queue},
			[ grep { defined } map { $row{ $_->[0] } } @arrivals ], $is{replayed});
	}
	for my $id (@{ $history->{dead} })
	{
		push @faults, "phantom: dead letter $id" unless $row{$id};
		$dead{$id}++;
	}
	push @faults, map { _fate($_, $applied{ $_->{id} } // 0, $dead{ $_->{id} } // 0, \%is) }
	  @{ $history->{journal} };
	return @faults;
}

sub _fate
{
	my ($row, $applied, $dead, $is) = @_;
	my $id = $row->{id};
	my $gone = $is->{cancelled}{$id} || $is->{discarded}{$id};
	my $which = "$id of $row->{queue} (journal $row->{n}, xid $row->{xid}"
	  . ($is->{replayed}{$id} ? ', replayed)' : ')');
	my @faults;

	push @faults, "lost: $which" if !$applied && !$dead && !$gone;
	push @faults, "duplicate: $which, $applied times" if $applied > 1;
	push @faults, "duplicate: dead letter $which, $dead times" if $dead > 1;
	push @faults, "both: $which" if $applied && $dead;
	push @faults, "revived: $which" if $gone && ($applied || $dead);
	return @faults;
}

# The rows are in the order of their arrival.
sub _order
{
	my ($queue, $promise, $rows, $replayed) = @_;
	my (%part, %seen);

	return if $promise eq 'none';
	for my $row (@$rows)
	{
		next if defined $row->{due} || $replayed->{ $row->{id} } || $seen{ $row->{id} }++;
		next if $promise eq 'key' && !defined $row->{key};
		push @{ $part{ $promise eq 'key' ? "$queue, key $row->{key}" : $queue } }, $row;
	}
	return map { OutboxTest::Checker::order($_, $part{$_}) } sort keys %part;
}

1;
