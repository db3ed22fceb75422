# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that refuses everything, at full traffic and for long, delays
# no other queue (I8).  What it is refused is held, more and more; when it is
# mended all arrives once (I2, I3), in order of keys (I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install_keyed($node, $db);
$node->safe_psql($db, <<'EOC');
SELECT create_queue('good');
SELECT create_queue('probe');
SELECT create_queue('bad', on_failure => 'retry', max_attempts => 1000,
	retry_delay => '200 milliseconds', retry_max_delay => '1 second');
EOC

# How long the slowest of the messages of queue "probe" took, in ms, from this one
# on: from the clock in its enqueue to Redis' in its entry.
sub slowest
{
	my ($from) = @_;
	my %at = map { split /\|/ } split /\n/, $node->safe_psql($db,
		q{SELECT id, floor(extract(epoch FROM at) * 1000) FROM journal WHERE queue = 'probe'});
	my $worst = 0;
	my @entries = $redis->entries('probe');
	for my $entry (@entries[ $from .. $#entries ])
	{
		my ($ms) = $entry->[0] =~ /^(\d+)-/;
		my $took = $ms - $at{ $entry->[1][1] };
		$worst = $took if $took > $worst;
	}
	return $worst;
}

# What a probe takes on this machine while nothing fails.
my $load = load($node, $db, writers => 4, queues => [ 'good', 'bad' ], max_delay => 0.01);
my $session = session($node, $db);
my $probes = 0;
sub probe { $session->query_safe(sprintf "SELECT put_keyed('probe', NULL, 'probe %s')", ++$probes); return; }
wait_for { probe(); count_of($redis, 'good') >= 300 };
wait_for { count_of($redis, 'probe') == $probes };
my $usual = slowest(0);

refuse($redis, 'bad');
# A machine that is busy elsewhere holds up some of them.  So none is held up in the
# best of some steps, each with more messages held.
my $held = 0;
my @slowest;
for my $step (1 .. 5)
{
	my $from = $probes;
	my $good = count_of($redis, 'good') + 800;
	eventually
	{
		probe();
		count_of($redis, 'good') >= $good && held($node, $db, 'bad') >= $held + 300;
	}
	"the other queue flows, and more is held: $step";
	$held = held($node, $db, 'bad');
	eventually { count_of($redis, 'probe') == $probes } "all probes have arrived: $step";
	push @slowest, slowest($from);
}
is($node->safe_psql($db, q{SELECT count(*) FROM journal WHERE queue = 'probe'}), $probes,
	'as many as there were');
my ($best) = sort { $a <=> $b } @slowest;
note("the slowest of $probes took @slowest ms, with up to $held messages held, and $usual ms with none");
cmp_ok($probes, '>', 20, 'enough to tell');
cmp_ok($best, '<', 2000 + 5 * $usual, 'none was held up');
cmp_ok($held, '>', 1000, 'a thousand messages are held');
eventually { queue_status($node, $db, 'bad', 'retrying >= 1000 AND failed >= 20') eq 't' }
'the view has them, and the attempts';
is(queue_status($node, $db, 'bad', q{state || ' ' || dead_lettered}), 'flowing 0', 'none is given up');
is($redis->cmd('TYPE', 'bad'), 'string', 'and none has got through');

# Mended in the middle of it.
mend($redis, 'bad');
my $good = count_of($redis, 'good') + 500;
eventually { count_of($redis, 'good') > $good && count_of($redis, 'bad') > 100 } 'mended, both flow';
$load->stop;
$session->quit;
audit_keyed($node, $db, $redis, [ 'good', 'bad', 'probe' ], 6000, 'under load');

# What is tried again all the time doesn't keep others of its queue from their
# turn.
$node->safe_psql($db, <<'EOC');
SELECT create_queue('turns', on_failure => 'retry', max_attempts => 1000, retry_delay => '0');
EOC
refuse($redis, 'turns');
my ($before, $both, $attempts) = split /\|/, run_sql($node, $db, '094_turns.sql');
cmp_ok($before, '>', 3, 'one is tried again and again');
is($both, 2, 'another one has its turn');
cmp_ok($attempts, '<', 1000, 'not only when that is given up');
mend($redis, 'turns');
audit_keyed($node, $db, $redis, ['turns'], 2, 'turns');

done_testing();
