# Copyright (c) 2026, the outbox developers
#
# Promise: the relay's memory is bounded, whatever waits: a backlog of many
# transactions while Redis is away, the same being delivered, and one huge
# transaction.  What the relay has allocated is looked at all the time.  The
# payloads alone are more than the limit, so a relay that reads a backlog or a
# tick as a whole, or sends without waiting for answers, exceeds it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $messages = $ENV{OUTBOX_TEST_MESSAGES} // 100_000;
my $bytes = int 150_000_000 / $messages;    # of each of them
my $limit = 100;                            # MB
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
synchronous_commit = off
max_wal_size = 4GB
EOC
my $db = 'postgres';
install($node, $db);
$node->safe_psql($db, "SELECT create_queue('q', maxlen => 1000)");

my ($relay, $peak);

# A test: true in the end, and the relay stays below the limit until then.
sub within_limit
{
	my ($true, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$peak = 0;
	eventually {
		my $mb = anonymous_memory($relay);
		$peak = $mb if $mb > $peak;
		$true->();
	} $name;
	return cmp_ok($peak, '<', $limit, sprintf "$name: memory %.0f MB", $peak);
}

# Enqueue a last message; true when it has arrived.
my $last = 0;
sub enqueue_last
{
	$last++;
	$node->safe_psql($db, "SELECT outbox_enqueue('q', 'last $last')");
	return;
}

sub last_arrived
{
	my $end = $redis->cmd('XREVRANGE', 'q', '+', '-', 'COUNT', 1);
	return @$end && $end->[0][1][3] eq "last $last";
}

$relay = wait_relay($node, $db);
$redis->stop_saved;
my $filler = session($node, $db);
$filler->{stdin} .= "CALL flood('q', $messages, 100, $bytes);\n";
within_limit(
	sub { $filler->{run}->pump_nb; (status($node, $db, 'waiting') || 0) >= $messages },
	"a backlog of $messages messages builds up");
$filler->quit;
is(relay_pid($node, $db), $relay, 'the relay is the same');
enqueue_last();
$redis->start_again;
within_limit(\&last_arrived, 'the backlog is delivered');

# A relay that starts with the backlog: what it has learnt is gone.
$redis->stop_saved;
$node->safe_psql($db, "CALL flood('q', $messages, $messages / 300, $bytes)");
enqueue_last();
$node->restart;
$relay = wait_relay($node, $db);
$redis->start_again;
within_limit(\&last_arrived, 'the backlog is delivered by a new relay');

$node->safe_psql($db, "SELECT count(outbox_enqueue('q', repeat('x', $bytes))) FROM generate_series(1, $messages)");
enqueue_last();
within_limit(\&last_arrived, "one transaction of $messages messages");
is(relay_pid($node, $db), $relay, 'the relay is the same');

# Large messages: limits by count alone would not hold.
$node->safe_psql($db, q{SELECT count(outbox_enqueue('q', repeat('x', 1000000))) FROM generate_series(1, 300)});
enqueue_last();
within_limit(\&last_arrived, '300 messages of 1 MB');

done_testing();
