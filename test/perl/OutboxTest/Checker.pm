# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Checker: what arrived in Redis against what was committed.
#
# A pure function, so that it can be fed faulty histories (000_harness.pl) and
# be seen to find them.  The journal is a table that the writers fill in the
# same transactions in which they enqueue, hence it holds exactly the messages
# that ought to arrive.  A row of it is
#
#   { n, id, queue, xid, snap, body }
#
# n: a number from a sequence, drawn at each enqueue (order in a transaction);
# xid: the top transaction; snap: pg_current_snapshot() of the statement that
# enqueued, "xmin:xmax:xip,xip".  A transaction that this snapshot calls ended
# had committed before the enqueue began: its messages must come first.  This
# is the promise word by word, and no clock is involved.

package OutboxTest::Checker;

use strict;
use warnings;

# journal: the rows; got: { queue => [ [ id, body ], ... ] } in order of arrival.
# Returns a list of faults; its words are lost, duplicate, phantom, garbled,
# order.
sub faults
{
	my ($journal, $got) = @_;
	my %row = map { $_->{id} => $_ } @$journal;
	my (%seen, @faults);

	for my $queue (sort keys %$got)
	{
		my @first;    # rows in order of their first arrival
		for my $arrival (@{ $got->{$queue} })
		{
			my ($id, $body) = @$arrival;
			my $row = $row{$id};
			if (!$row || $row->{queue} ne $queue)
			{
				push @faults, "phantom: $id in $queue (" . ($row ? "enqueued to $row->{queue}" : 'never committed') . ')';
				next;
			}
			push @faults, "garbled: $id in $queue" if $body ne $row->{body};
			if ($seen{$id}++) { push @faults, "duplicate: $id in $queue"; }
			else { push @first, $row; }
		}
		push @faults, order($queue, \@first);
	}
	push @faults, map { "lost: $_->{id} of $_->{queue} (journal $_->{n}, xid $_->{xid})" }
	  grep { !$seen{ $_->{id} } } @$journal;
	return @faults;
}

# Faults of order among the rows of a queue, or of one of its keys, which are
# given in the order of their first arrival.
#
# From the last arrival to the first, keeping the xids that arrived later than
# the message at hand, sorted.  Those below its snapshot's xmax are few: in
# a correct history they were in progress in it.
sub order
{
	my ($queue, $rows) = @_;
	my (@later, %earliest, @faults);

	for my $b (reverse @$rows)
	{
		my (undef, $xmax, $xip) = split /:/, $b->{snap}, 3;
		my %running = map { $_ => 1 } split /,/, $xip;
		for my $xid (@later)
		{
			last if $xid >= $xmax;
			next if $running{$xid} || $xid == $b->{xid};
			push @faults, "order: $queue: xid $xid had committed when $b->{id} (xid $b->{xid}) was enqueued, arrived later";
			last;
		}
		push @faults, "order: $queue: $b->{id} overtook an earlier one of its transaction $b->{xid}"
		  if defined $earliest{ $b->{xid} } && $earliest{ $b->{xid} } < $b->{n};
		if (!defined $earliest{ $b->{xid} })
		{
			my ($low, $high) = (0, scalar @later);
			while ($low < $high)
			{
				my $mid = int(($low + $high) / 2);
				if ($later[$mid] < $b->{xid}) { $low = $mid + 1; }
				else { $high = $mid; }
			}
			splice @later, $low, 0, $b->{xid};
		}
		$earliest{ $b->{xid} } = $b->{n}
		  if !defined $earliest{ $b->{xid} } || $b->{n} < $earliest{ $b->{xid} };
	}
	return @faults;
}

1;
