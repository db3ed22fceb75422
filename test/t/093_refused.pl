# Copyright (c) 2026, the outbox developers
#
# Promise: a queue that Redis refuses delays no other, in whatever policy (I8).
# What the command of a message is refused with is for the policy; where the
# whole call is refused the queue stands still, no attempt is counted (I9), and
# it goes on by itself.  Nothing is lost or comes twice (I2, I3).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my ($url) = relay_url($redis);
my $node = new_node('main', url => $url);
my $db = 'postgres';
my @policies = qw(block retry dead_letter);
install_keyed($node, $db);
$node->safe_psql($db, "SELECT create_queue('good')");
$node->safe_psql($db, "SELECT create_queue('$_', on_failure => '$_', max_attempts => 1000,"
	  . " retry_delay => '300 ms', retry_backoff => 1)") for @policies;

sub state_of { return queue_status($node, $db, $_[0], 'state'); }

my $n = 0;
sub good_flows
{
	my ($when) = @_;
	my $mark = 'good ' . ++$n;
	put($node, $db, 'good', $mark);
	eventually { $redis->last_of('good') eq $mark } "$when: another queue flows";
	return;
}

# What each policy makes of a refusal, and how it is seen.
my $word;
sub refused
{
	my ($what) = @_;
	put_keyed($node, $db, $_, 'a key', map { "$what $_" } 1 .. 20) for @policies;
	good_flows($what);
	eventually { state_of('block') eq 'blocked' } "$what, block: the queue stands still";
	eventually { queue_status($node, $db, 'block', 'why') =~ /^message [0-9a-f-]{36}: $word/ } "$what, block: status names the message";
	eventually { status($node, $db, 'summary') =~ /queue block blocked since \d.*: message [0-9a-f-]{36}: $word/ } "$what, block: in one line";
	eventually { held($node, $db, 'retry') == 20 } "$what, retry: messages are held";
	is(state_of('retry'), 'flowing', "$what, retry: the queue isn't");
	eventually { $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters WHERE queue = 'dead_letter'") == 20 }
	"$what, dead_letter: messages are set aside";
	like($node->safe_psql($db, "SELECT min(last_error) FROM outbox.dead_letters"), qr/^$word/, "$what, dead_letter: with what Redis said");
	good_flows($what);
	return;
}

my $sum = 0;
sub mended
{
	my ($what) = @_;
	$node->safe_psql($db, "SELECT outbox_replay_queue('dead_letter')");
	$sum += 60;
	audit_keyed($node, $db, $redis, \@policies, $sum, "$what, mended: each arrived once");
	eventually { join(' ', map { state_of($_) } @policies) eq 'flowing flowing flowing' } "$what, mended: all flow";
	return;
}

$word = 'WRONGTYPE';
refuse($redis, @policies);
refused('WRONGTYPE');
mend($redis, @policies);
mended('WRONGTYPE');

# The command is forbidden, and the script that calls it is not.
$word = "(?:NOPERM|ERR .*(?:ACL|permission|can't run this command))";
put($node, $db, 'good', 'before');
$node->safe_psql($db, "SELECT create_queue('list', 'list')");
relay_may($redis, '-xadd');
put_keyed($node, $db, $_, 'a key', map { "NOPERM $_" } 1 .. 20) for @policies;
put($node, $db, 'list', 'list');
eventually { $redis->cmd('LLEN', 'list') == 1 } 'NOPERM: another queue flows';
eventually { state_of('block') eq 'blocked' && held($node, $db, 'retry') == 20
	  && $node->safe_psql($db, "SELECT count(*) FROM outbox.dead_letters") == 20 } 'NOPERM: as each policy says';
like($node->safe_psql($db, "SELECT min(last_error) FROM outbox.dead_letters"), qr/^$word/, 'NOPERM: with what Redis said');
relay_may($redis, '+xadd');
mended('NOPERM');

# The whole call is refused.
my $before = $node->safe_psql($db, 'SELECT sum(failed) FROM outbox.queue_status');
for my $rule ([ '-evalsha', '+evalsha' ], [ 'resetkeys', '~*' ])
{
	my $what = $rule->[0];
	relay_may($redis, $what);
	put_keyed($node, $db, $_, 'a key', map { "$what $_" } 1 .. 20) for @policies;
	eventually { join(' ', map { state_of($_) } @policies) eq 'blocked blocked blocked' } "$what: the queues stand still, in each policy";
	relay_may($redis, $rule->[1]);
	$sum += 60;
	audit_keyed($node, $db, $redis, \@policies, $sum, "$what, mended: each arrived once");
}
is($node->safe_psql($db, 'SELECT sum(failed) FROM outbox.queue_status'), $before, 'no attempt was counted');
is($node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters'), 0, 'nothing was set aside');

done_testing();
