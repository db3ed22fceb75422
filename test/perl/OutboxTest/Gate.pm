# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Gate: the relay waits, sleeps or fails behind a statement that a test
# names (test/gate/gate.c).  The node is one of new_node(..., conf => gate_conf()).

package OutboxTest::Gate;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec;
use PostgreSQL::Test::Utils;
use OutboxTest;

our @EXPORT = qw(gate_conf set_gate gate_is_reached open_gate);

sub gate_conf
{
	my $library = File::Spec->rel2abs(dirname(__FILE__) . '/../../gate/gate.so');
	die "no $library: make installcheck builds it\n" unless -e $library;
	return "shared_preload_libraries = 'outbox,$library'\n";
}

# What to do ("wait", "sleep 50" (ms), "fail") behind statements with this piece of text.
sub set_gate
{
	my ($node, $what, $piece) = @_;
	my $gate = $node->data_dir . '/gate';
	append_to_file("$gate.new", "$what\n$piece\n");
	rename "$gate.new", $gate or die "could not rename $gate.new: $!\n";
	return;
}

# A test: the relay waits at the gate.
sub gate_is_reached
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return eventually { -e $node->data_dir . '/gate.reached' } $name;
}

# It goes on, and no other statement is concerned.
sub open_gate
{
	my ($node) = @_;
	unlink map { $node->data_dir . "/$_" } 'gate', 'gate.reached';
	return;
}

1;
