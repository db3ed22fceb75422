# Copyright (c) 2026, the outbox developers
#
# Promise: a failover to a standby that had not received everything finds held
# messages as Redis has them (I2, I3, I4).  What the old primary got through
# since isn't sent again; what it had skipped and the standby never got leaves
# the skip list, as those numbers are given out again: to messages that nobody has
# refused.  What was given up, and the standby knows as waiting, is given up.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'max_worker_processes = 16');
my $db = 'postgres';
install($primary, $db, 'q');
run_sql($primary, $db, '066_put_keys.sql');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub held
{
	my ($node, $n) = @_;
	return $node->safe_psql($db, q{SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')}) == $n;
}

# Both servers know of these.
$redis->cmd('SET', $_, 'of another type') for 'broken', 'mended', 'letters';
$primary->safe_psql($db, "SELECT put_keys('$_', 'both', 30)") for 'broken', 'mended';
eventually { held($primary, 60) } 'messages are held';
put($primary, $db, 'q', 'both');
$primary->wait_for_catchup($standby);
ok(held($standby, 60), 'the standby has them too');

# It has some more, but not what becomes of them.  From here on it gets nothing.
$redis->pause;
$primary->safe_psql($db, "SELECT put_keys('letters', 'told', 10)");
$primary->wait_for_catchup($standby);
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
eventually { ask($standby, $db, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' } 'replication has ended';
$redis->resume;
my $dead = 'SELECT count(*) FROM outbox.dead_letters';
eventually { $primary->safe_psql($db, $dead) == 10 } 'what the standby has is given up';
$primary->safe_psql($db, "SELECT put_keys('broken', 'lost', 40)");
eventually { held($primary, 100) } 'more are held, which the standby does not get';
$primary->safe_psql($db, "SELECT put_keys('letters', 'lost', 40)");
eventually { $primary->safe_psql($db, $dead) == 50 } 'and others are given up';
$redis->cmd('DEL', 'mended');
eventually { $redis->count('mended') == 30 } 'others go through, of which the standby does not know';
eventually { held($primary, 70) } 'and are not held any more';

# Dead letters are skipped as long as they are staged: a new relay looks at once
# whether they still are, and then every second.
$primary->safe_psql($db, 'SELECT pg_terminate_backend(' . relay_pid($primary, $db) . ')');
wait_relay($primary, $db);
my $began = time;
eventually { time > $began + 3 } 'the relay has had time to forget them';
$primary->stop('immediate');

# New messages take the numbers of the lost ones before the relay is there.
$redis->cmd('DEL', 'letters');
$redis->stop_saved;
$standby->promote;
$standby->safe_psql($db, "SELECT put_keys('$_', 'new', 50)") for 'letters', 'broken', 'mended';
$redis->start_again;
wait_relay($standby, $db);
eventually { $redis->count('mended') == 80 } 'what goes through, goes on';
eventually { $redis->count('letters') == 50 } 'what has the number of a dead letter is not one';
$redis->cmd('DEL', 'broken');
eventually { $redis->count('broken') == 80 } 'mended, all that is held goes through';

my %got = map { $_ => [ $redis->arrived($_) ] } 'q', 'broken', 'mended', 'letters';
my @faults = grep { !/^order/ } OutboxTest::Checker::faults([ grep { $_->{body} !~ /^told/ } @{ journal($standby, $db) } ], \%got);
is_deeply(\@faults, [], 'nothing lost, nothing twice, nothing of what was lost with the old primary');
for my $queue ('broken', 'mended')
{
	for my $key (0 .. 2)
	{
		my @bodies = grep { /(\d+)$/ && $1 % 3 == $key } map { $_->[1] } @{ $got{$queue} };
		is_deeply(\@bodies,
			[ (map { "both $_" } grep { $_ % 3 == $key } 1 .. 30), (map { "new $_" } grep { $_ % 3 == $key } 1 .. 50) ],
			"$queue: in order for key $key");
	}
}
is($standby->safe_psql($db, $dead), 10, 'what was given up, is');
is(scalar(grep { /^s\d/ } map { @{ $redis->cmd('HKEYS', $_) } } @{ $redis->cmd('KEYS', '*:outbox:*') }), 10, 'the skip lists have no more than that');

done_testing();
