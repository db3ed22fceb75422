# Copyright (c) 2026, the outbox developers
#
# Promise: emptying staging costs the same however many queues stand still (I8): a
# table is read once for all of them, in pieces, and what they have there is copied.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

my $rows = 50000;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");

sub cpu
{
	my ($pid) = @_;
	my ($times) = slurp_file("/proc/$pid/stat") =~ /\) (.*)/;
	my @fields = split / /, $times;
	return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# The processor time of a rotation with so many queues that stand still.
sub rotation
{
	my ($still) = @_;
	my $db = "still_$still";
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	configure($node, 'outbox.retention' => '1h');
	install($node, $db, "fill_$still");
	$node->safe_psql($db, <<"EOC");
SELECT count(create_queue('p' || i)) FROM generate_series(1, $still) AS i;
SELECT count(outbox_pause_queue('p' || i)) FROM generate_series(1, $still) AS i;
SELECT count(outbox_enqueue('p' || i, 'x')) FROM generate_series(1, $still) AS i;
SELECT count(outbox_enqueue('fill_$still', 'x')) FROM generate_series(1, $rows);
EOC
	eventually { $redis->count("fill_$still") == $rows } "$still: the others' messages come";
	eventually { status($node, $db, 'waiting') eq $still } "$still: and the rest waits";
	my $relay = relay_pid($node, $db);
	my $before = cpu($relay);
	configure($node, 'outbox.retention' => '1s');
	eventually {
		ask($node, $db, "SELECT count(*), pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2') FROM outbox.deferred") eq "$still|0"
	} "$still: evacuated and emptied";
	my $took = cpu($relay) - $before;
	is(relay_pid($node, $db), $relay, "$still: by the same relay");
	$node->safe_psql('postgres', "DROP DATABASE $db WITH (FORCE)");
	return $took;
}

my ($few, $many) = map { rotation($_) } 10, 80;
diag(sprintf '%.2f s with 10 queues, %.2f s with 80', $few, $many);
cmp_ok($many, '<', 3 * $few + 0.3, 'eight times the queues, not eight times the work');

done_testing();
