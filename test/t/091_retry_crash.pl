# Copyright (c) 2026, the outbox developers
#
# Promise: whatever dies while messages are refused and held, nothing is lost
# (I2), nothing arrives twice (I3), and keys keep their order (I4): the relay,
# the server, the connection in the middle of an answer, Redis with its last
# writes.  What the script has skipped is known to the cursor in Redis, what is
# to become of it to the tables; guards that the two are made to agree.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $proxy = OutboxTest::Proxy->start($redis->socket);
my $node = new_node('main', url => 'redis://127.0.0.1:' . $proxy->port . '/0', conf => 'outbox.retention = 1h');
my $db = 'postgres';
install_keyed($node, $db);
my @queues = ('q', 'r', 'good');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('good');
SELECT create_queue('q', on_failure => 'retry', max_attempts => 1000,
	retry_delay => '100 milliseconds', retry_max_delay => '200 milliseconds');
SELECT create_queue('r', 'list', on_failure => 'retry', max_attempts => 1000,
	retry_delay => '100 milliseconds', retry_max_delay => '200 milliseconds');
EOC

# Answers that are lost.  Nothing else comes from Redis while the queue has
# nothing to do but wait, so the cut is in the answer to the next call.
sub quietly
{
	my ($delay) = @_;
	$node->safe_psql($db, "SELECT outbox_alter_queue('q', retry_delay => '$delay',"
		  . " retry_max_delay => '$delay')");
	return;
}

my $skipped = sub { return scalar grep { /^s\d/ } keys %{ cursor_of($redis, 'q') } };
my $round = 0;

for my $bytes (1, 9, 15, 40)
{
	$round++;
	quietly('1 hour');
	refuse($redis, 'q');
	put_keyed($node, $db, 'q', 'in the way', 'in the way');
	eventually { held($node, $db, 'q') == 1 } "round $round: the queue goes on by skipping";
	my $cuts = $proxy->stat->{cuts};

	# Skipped by the script; the relay isn't told.
	$proxy->plan([ 's2c', $bytes ]);
	$node->safe_psql($db, <<"EOC");
BEGIN;
SELECT put_keyed('q', 'a', 'round $round A1'), put_keyed('q', 'a', 'round $round A2'),
	put_keyed('q', NULL, 'round $round alone'), put_keyed('q', 'b', 'round $round B1');
COMMIT;
EOC
	eventually { $proxy->stat->{cuts} == $cuts + 1 } 'the answer to a batch that skips is lost';
	eventually { held($node, $db, 'q') == 5 && $skipped->() == 5 } 'all that was skipped is recorded';
	is(deferred($node, $db, 'q', q{min(attempts) FILTER (WHERE reason = 'retry'),
			bool_and(attempts = coalesce(jsonb_array_length(history), 0))}),
		'1|t', 'with its attempt');
	mend($redis, 'q');
	my $before = count_of($redis, 'q');
	let_due($node, $db, $redis);
	eventually { count_of($redis, 'q') == $before + 5 } 'mended, all arrive';
	eventually { held($node, $db, 'q') == 0 } 'and nothing is held';

	# Applied by the script; the relay isn't told.
	quietly('1 second');
	refuse($redis, 'q');
	put_keyed($node, $db, 'q', 'c', "round $round C1");
	put_keyed($node, $db, 'q', 'c', "round $round C2");
	eventually { held($node, $db, 'q') == 2 } 'two are held';
	$before = deferred($node, $db, 'q', 'max(d.attempts)');
	eventually { deferred($node, $db, 'q', 'max(d.attempts)') > $before } 'one has just been tried';
	frozen
	{
		mend($redis, 'q');
		$before = count_of($redis, 'q');
		$proxy->plan([ 's2c', $bytes > 14 ? 14 - 1 : $bytes ]);
	}
	relay_pid($node, $db);
	eventually { $proxy->stat->{cuts} == $cuts + 2 } 'the answer to trying it again is lost';
	eventually { count_of($redis, 'q') == $before + 2 && held($node, $db, 'q') == 0 }
	'both have arrived, and the relay knows';
}
audit_keyed($node, $db, $redis, \@queues, 28, 'answers lost');

# The same with requests, and wherever it strikes, under load.
quietly('100 milliseconds');
my $load;

sub begin_load
{
	$load = load($node, $db, writers => 3, queues => \@queues, max_delay => 0.01);
	return;
}

sub end_load
{
	my ($name) = @_;
	$load->stop;
	audit_keyed($node, $db, $redis, \@queues, 200, $name);

	# The next audit need not look at all this again.
	$node->safe_psql($db, 'DELETE FROM journal');
	$redis->cmd('DEL', @queues);
	return;
}

sub trouble
{
	my ($name, $do) = @_;
	$round++;
	refuse($redis, 'q', 'r');
	my $good = count_of($redis, 'good');
	eventually { held($node, $db, 'q') > 20 && held($node, $db, 'r') > 20 } "round $round: messages are held";
	eventually { count_of($redis, 'good') > $good } 'the other queue flows';
	$do->();
	mend($redis, 'q');
	$good = count_of($redis, 'r');
	eventually { count_of($redis, 'good') > $good } "$name: messages flow";
	mend($redis, 'r');
	my $n = count_of($redis, 'r');
	eventually { count_of($redis, 'r') > $n } 'of all queues';
	return;
}

my $seed = $ENV{OUTBOX_TEST_SEED} // time;
srand $seed;
note("OUTBOX_TEST_SEED=$seed");
begin_load();
for my $direction ('s2c', 'c2s')
{
	for (1 .. 2)
	{
		trouble("connections cut ($direction)", sub {
			my $cuts = $proxy->stat->{cuts};
			$proxy->plan(map { [ $direction, int rand($direction eq 's2c' ? 4000 : 20000) ] } 1 .. 4);
			eventually { $proxy->stat->{cuts} == $cuts + 4 } 'four cuts';
		});
	}
}
end_load('connections cut');

begin_load();
trouble('relay terminated', sub {
	my $pid = wait_relay($node, $db);
	$node->safe_psql($db, "SELECT pg_terminate_backend($pid)");
	eventually { my $new = relay_pid($node, $db); $new && $new != $pid } 'a new relay';
});
trouble('relay killed', sub {
	my $pid = wait_relay($node, $db);
	kill 'KILL', $pid;
	eventually { my $new = relay_pid($node, $db); $new && $new != $pid } 'a new relay';
});
end_load('relay');

begin_load();
trouble('server stopped', sub { $node->stop('immediate'); $node->start; wait_relay($node, $db); });
trouble('server killed', sub { kill_hard($node); $node->start; wait_relay($node, $db); });
end_load('server');

# Redis comes back without its last writes: what was refused then is refused
# again, and what has gone through since was never there.
for my $then ('flowing', 'refused')
{
	begin_load();
	refuse($redis, 'q', 'r') if $then eq 'refused';
	my $good = count_of($redis, 'good') + 30;
	eventually { count_of($redis, 'good') > $good } "$then: messages flow";
	eventually { $then eq 'flowing' || held($node, $db, 'q') > 20 } 'some are held';
	$redis->remember;
	if ($then eq 'refused') { mend($redis, 'q', 'r'); }
	else { refuse($redis, 'q', 'r'); }
	$good += 30;
	eventually { count_of($redis, 'good') > $good } "$then: messages that will be lost";
	eventually { $then eq 'refused' || held($node, $db, 'q') > 20 } 'some are held';
	$redis->come_back_as_remembered;
	$good = count_of($redis, 'good');
	eventually { count_of($redis, 'good') > $good } 'messages flow again';
	mend($redis, 'q', 'r');
	my $n = count_of($redis, 'q');
	eventually { count_of($redis, 'q') > $n } 'of all queues';
	end_load("Redis' last writes lost, $then");
}

# Quietly, so that what comes again can be counted: of three that have gone
# through since, two had been held then.
refuse($redis, 'q');
put_keyed($node, $db, 'q', 'a', 'A1');
put_keyed($node, $db, 'q', 'a', 'A2');
eventually { held($node, $db, 'q') == 2 } 'two are held';
$redis->remember;
mend($redis, 'q');
put_keyed($node, $db, 'q', 'b', 'B1');
eventually { count_of($redis, 'q') == 3 && held($node, $db, 'q') == 0 } 'they arrive, and a third one';
$redis->come_back_as_remembered;
eventually { held($node, $db, 'q') >= 2 && $skipped->() >= 2 } 'Redis has lost them: they are held again';
mend($redis, 'q');
audit_keyed($node, $db, $redis, ['q'], 3, 'writes lost while some were held');
is($redis->calls('xadd') - $redis->cmd('INFO', 'errorstats') =~ s/.*errorstat_WRONGTYPE:count=(\d+).*/$1/sr,
	3, 'nothing else is sent');

done_testing();
