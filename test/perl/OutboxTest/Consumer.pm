# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Consumer: a consumer that can't process what it gets.
#
# It reads a queue's stream and gives entries back as docs/consumers/returning.md says: all their
# fields and one more, "error", in the stream <key>:retry or <key>:dead.  And
# what PostgreSQL knows of them: waiting, given up.

package OutboxTest::Consumer;

use strict;
use warnings;
use Exporter 'import';
use OutboxTest;
use Test::More;

our @EXPORT = qw(deliveries attempts give_back read_up_to waiting let_waiting_go letters given_up);

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

# A test: all that has been given back in this stream, up to this entry, has been
# read.  The queue's name is its key.
sub read_up_to
{
	my ($node, $db, $stream, $id) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($key, $which) = split /:/, $stream;
	return eventually {
		ask($node, $db, "SELECT ${which}_id = '$id' FROM outbox.consumer_position AS p JOIN outbox.queue AS q"
			  . " ON q.id = p.queue WHERE q.redis_key = '$key'") eq 't'
	} "$stream is read";
}

# How many wait to be delivered again.
sub waiting
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'delayed'});
}

# They may go now, as the relay sees when it looks, once a second.
sub let_waiting_go
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, q{UPDATE outbox.deferred SET due_at = now() WHERE reason = 'delayed'});
}

# Columns of dead letters: of all, or of some.
sub letters
{
	my ($node, $db, $columns, $where) = @_;
	return $node->safe_psql($db, "SELECT $columns FROM outbox.dead_letters WHERE " . ($where // 'true'));
}

# How many dead letters the log has told of.
sub given_up { my ($node) = @_; my @w = log_of($node) =~ /WARNING:.*given up message (\S+)/g; return scalar @w; }

1;
