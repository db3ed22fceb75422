# Copyright (c) 2026, the outbox developers
#
# OutboxTest::History: what has become of messages, as PostgreSQL and Redis say.
#
# Reads what OutboxTest::Outcome compares.  The database has, beside the
# journal (with columns key and due), tables "cancelled", "discarded" and
# "replayed" of ids, written in the transactions that did so: see
# test/t/100_random.sql.  All has to be at rest: messages that are still on
# their way would be called lost.

package OutboxTest::History;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(history);

# The argument of OutboxTest::Outcome::faults.  order: what is promised of the
# order in each queue; each is a stream of the same name.
sub history
{
	my ($node, $db, $redis, $order) = @_;
	my $column = sub { return [ split /\n/, $node->safe_psql($db, $_[0]) ]; };

	return {
		journal => [ map { _row($_) } @{ $column->(q{SELECT n, id, queue, xid, snap, body, coalesce(key, ''),
			coalesce(extract(epoch FROM due)::text, '') FROM journal ORDER BY n}) } ],
		got => { map { $_ => _arrived($redis, $_) } keys %$order },
		dead => $column->('SELECT id FROM outbox.dead_letters'),
		map({ $_ => $column->("SELECT DISTINCT id FROM $_") } qw(cancelled discarded replayed)),
		order => $order };
}

sub _row
{
	my ($line) = @_;
	my %row;
	@row{qw(n id queue xid snap body key due)} = map { $_ eq '' ? undef : $_ } split /\|/, $line, -1;
	$row{snap} .= '';
	# Redis tells the time in whole milliseconds.
	$row{due} -= 0.001 if defined $row{due};
	return \%row;
}

sub _arrived
{
	my ($redis, $queue) = @_;
	return [
		map { my %f = @{ $_->[1] }; [ @f{qw(id payload)}, (split /-/, $_->[0])[0] / 1000 ] }
		  $redis->entries($queue) ];
}

1;
