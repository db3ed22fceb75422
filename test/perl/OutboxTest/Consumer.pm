# OutboxTest::Consumer: a consumer that can't process what it gets.
#
# It reads a queue's stream and gives entries back as the README says: all their
# fields and one more, "error", in the stream <key>:retry or <key>:dead.

package OutboxTest::Consumer;

use strict;
use warnings;
use Exporter 'import';
use OutboxTest;

our @EXPORT = qw(deliveries attempts give_back);

# The entries of a stream as hashes, in order; of one payload if that is given.
sub deliveries
{
	my ($redis, $key, $payload) = @_;
	my @all = map { +{ @{ $_->[1] }, fields => $_->[1] } } $redis->entries($key);
	return defined $payload ? grep { $_->{payload} eq $payload } @all : @all;
}

# The attempts of a payload that have been delivered, in order.
sub attempts
{
	my ($redis, $key, $payload) = @_;
	return join ' ', map { $_->{attempt} // '-' } deliveries($redis, $key, $payload);
}

# Give an entry back.
sub give_back
{
	my ($redis, $stream, $entry, $error) = @_;
	return $redis->cmd('XADD', $stream, '*', @{ $entry->{fields} }, 'error', $error);
}

1;
