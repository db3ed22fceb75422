# Copyright (c) 2026, the outbox developers
#
# OutboxTest::Copies: copies of a server, as operators and their tools make them.
#
# A volume is what a snapshot of the disk has: all files at one moment, while the
# server runs or is stopped.  It lies among the node's backups.

package OutboxTest::Copies;

use strict;
use warnings;
use Exporter 'import';
use File::Path 'rmtree';
use OutboxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(volume put_back clone held_why);

# Take a snapshot of a node's disk.
sub volume
{
	my ($node, $name) = @_;
	my $to = $node->backup_dir . "/$name";
	my @pids = -e $node->data_dir . '/postmaster.pid' ? freeze_server($node) : ();

	system_or_bail('mkdir', '-p', $node->backup_dir);
	system_or_bail('cp', '-a', $node->data_dir, $to);
	kill 'CONT', @pids;
	unlink "$to/postmaster.pid", "$to/postmaster.opts";
	return;
}

# A node that was stopped gets the disk of then.
sub put_back
{
	my ($node, $name) = @_;
	rmtree($node->data_dir);
	system_or_bail('cp', '-a', $node->backup_dir . "/$name", $node->data_dir);
	return;
}

# Another node with such a disk, not started yet.  conf: further settings.
sub clone
{
	my ($node, $volume, $name, %opt) = @_;
	my $clone = PostgreSQL::Test::Cluster->new($name);
	$clone->init_from_backup($node, $volume, %opt);
	return $clone;
}

# For which reason a database is held; empty if it isn't.
sub held_why
{
	my ($node, $db) = @_;
	my $why = status($node, $db, q{CASE WHEN state IN ('held', 'fenced') THEN why END}) // '';
	return $why =~ s/:.*//sr;
}

1;
