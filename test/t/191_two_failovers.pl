# Copyright (c) 2026, the outbox developers
#
# Promise: two failovers one after the other, each of which loses commits, are judged
# each by itself (I2, I3): when staging was emptied in between, so that no row tells
# which ids had been used before; and for a queue whose cursor is from the first primary
# still, as Redis refused it all the time that the second one was there.  For each of
# the two queues the ids that are given out again begin elsewhere.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $db = 'postgres';
my $conf = "max_worker_processes = 16\noutbox.retention = 1s\n";
my $first = new_node('first', redis => $redis, streaming => 1, conf => $conf);
install($first, $db, 'q', 'still');
my %lost;

sub standby_of
{
	my ($primary, $name) = @_;
	$primary->backup($name);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	return $standby;
}

# The primary delivers what the standby doesn't get, and ends; Redis is away until
# the standby was promoted and has messages of its own, with ids that were used.
sub fail_over
{
	my ($primary, $standby, $name, @queues) = @_;
	$primary->wait_for_catchup($standby);
	$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
	$standby->reload;
	eventually { ask($standby, $db, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' } "$name: replication has ended";
	for my $queue (@queues)
	{
		put($primary, $db, $queue, map { "lost with $name $_" } 1 .. 30);
	}
	settle($primary, $db, $redis, @queues);
	my %more = map { ($_ => 1) } split /\n/, $primary->safe_psql($db, 'SELECT id FROM journal');
	delete @more{ split /\n/, $standby->safe_psql($db, 'SELECT id FROM journal') };
	@lost{ keys %more } = values %more;
	$primary->stop('immediate');
	return;
}

sub promote
{
	my ($standby, $name) = @_;
	$redis->stop_saved;
	$standby->promote;
	put($standby, $db, $_, map { "new of $name $_" } 1 .. 20) for 'still', 'q';
	$redis->start_again;
	wait_relay($standby, $db);
	return;
}

put($first, $db, $_, map { "both $_" } 1 .. 10) for 'q', 'still';
settle($first, $db, $redis, 'q', 'still');
my $second = standby_of($first, 'second');
fail_over($first, $second, 'the first', 'q', 'still');
promote($second, 'the second');
settle($second, $db, $redis, 'q', 'still');
eventually {
	ask($second, $db, q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0'
} 'staging is emptied';

my $third = standby_of($second, 'third');
fail_over($second, $third, 'the second', 'q', 'still');

# The third one never gets to this queue's cursor.
my ($cursor) = @{ $redis->cmd('KEYS', '{still}:outbox:*') };
$redis->cmd('RENAME', $cursor, "$cursor:kept");
$redis->cmd('SET', $cursor, 'no cursor');
promote($third, 'the third');
settle($third, $db, $redis, 'q');
eventually { ask($third, $db, q{SELECT last_error FROM outbox.queue_status WHERE queue = 'still'}) =~ /WRONGTYPE/ } 'a queue is never delivered from the third';
my $fourth = standby_of($third, 'fourth');
fail_over($third, $fourth, 'the third', 'q');
$redis->cmd('RENAME', "$cursor:kept", $cursor);
promote($fourth, 'the fourth');
settle($fourth, $db, $redis, 'q', 'still');

my %got;
for my $queue ('q', 'still')
{
	my @arrived = $redis->arrived($queue);
	is(scalar(grep { $lost{ $_->[0] } } @arrived), $queue eq 'q' ? 93 : 62, "$queue: what was lost was in Redis, once");
	$got{$queue} = [ grep { !$lost{ $_->[0] } } @arrived ];
}
my @faults = OutboxTest::Checker::faults(journal($fourth, $db), \%got);
is_deeply(\@faults, [], 'of what the fourth one has, nothing is lost, nothing comes twice, all is in order');

done_testing();
