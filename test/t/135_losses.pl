# Copyright (c) 2026, the outbox developers
#
# Promise: whatever Redis loses comes again as far as it is retained, and a WARNING
# says how much was lost (I2): when the relay was restarted at the same time, when
# the connection did not break and the queue is idle, when only a message that was
# tried again is lost.  What was delivered without an answer is counted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 8s");
my $db = 'postgres';
install($node, $db, 'q', 'r');

sub delivered { return $node->safe_psql($db, "SELECT delivered FROM outbox.queue_status WHERE queue = '$_[0]'"); }
sub cursor_of { my ($queue) = @_; return $redis->cmd('KEYS', "{$queue}:outbox:*")->[0]; }

# An idle queue, and a connection that goes on.
put($node, $db, 'q', map { "idle $_" } 1 .. 20);
settle($node, $db, $redis, 'q', 'r');
my $count = $redis->count('q');
$redis->cmd('FLUSHDB');
eventually { $redis->count('q') == $count } 'a queue that is idle notices what Redis has lost, in time';
like(log_of($node), qr/WARNING:.*Redis has lost $count acknowledged messages of queue "q"\n.*DETAIL:.*\b$count are retained/,
	'a warning says how many');
audit($node, $db, $redis, [ 'q', 'r' ], 20, 'all of it is there again, once, in order');

# Also if it is paused.
$node->safe_psql($db, q{SELECT outbox_pause_queue('r')});
my $of_r = $redis->count('r');
put($node, $db, 'r', map { "paused $_" } 1 .. 5);
my $log = length log_of($node);
$redis->cmd('FLUSHDB');
eventually { substr(log_of($node), $log) =~ /Redis has lost $of_r acknowledged messages of queue "r"|cursor of queue "r" in Redis has been moved/ }
'a paused queue notices, too';
$node->safe_psql($db, q{SELECT outbox_resume_queue('r')});
settle($node, $db, $redis, 'q', 'r');

# The relay is restarted while Redis is away.
configure($node, 'outbox.retention' => '1h');
put($node, $db, 'q', map { "kept $_" } 1 .. 10);
settle($node, $db, $redis, 'q', 'r');
$redis->remember;
put($node, $db, 'q', map { "lost $_" } 1 .. 30);
settle($node, $db, $redis, 'q', 'r');
my $all = $redis->count('q');
$log = length log_of($node);
$node->stop;
$redis->come_back_as_remembered;
$node->start;
eventually { $redis->count('q') == $all } 'a new relay sends again what Redis has lost';
eventually { substr(log_of($node), $log) =~ /WARNING:.*Redis has lost 31 acknowledged messages of queue "q"\n.*DETAIL:.*\b31 are retained/ }
'and its warning says how many';
audit($node, $db, $redis, [ 'q', 'r' ], 60, 'all is there, once, in order');

# Only the write of a message that was tried again is lost: the position is the
# same with it and without.
$redis->cmd('SET', 'l', 'no list');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('l', 'list', on_failure => 'retry', retry_delay => '1 hour', retry_max_delay => '1 hour', format => 'raw');
SELECT outbox_enqueue('l', 'refused');
EOC
eventually { $node->safe_psql($db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'retry'}) == 1 } 'a message is refused';
my %before;
eventually { %before = @{ $redis->cmd('HGETALL', cursor_of('l')) }; grep { /^s\d+$/ } keys %before } 'and skipped';
$redis->cmd('DEL', 'l');
let_due($node, $db, $redis);
eventually { $redis->cmd('LLEN', 'l') == 1 } 'it is tried again';
eventually { $node->safe_psql($db, q{SELECT count(*) FROM outbox.deferred WHERE reason = 'applied'}) == 1 } 'and recorded';
my $cursor = cursor_of('l');
$log = length log_of($node);
my ($skipped) = grep { /^s\d+$/ } keys %before;
$redis->cmd('EVAL', "redis.call('DEL', KEYS[2]) redis.call('HSET', KEYS[1], 'count', ARGV[1], ARGV[2], ARGV[3])", 2, $cursor, 'l', $before{count}, $skipped, $before{$skipped});
configure($node, 'outbox.retention' => '8s');
eventually { substr(log_of($node), $log) =~ /Redis has lost 1 acknowledged messages of queue "l"/ } 'Redis loses that write alone: noticed by the count';
let_due($node, $db, $redis);
eventually { $redis->cmd('LLEN', 'l') == 1 } 'and the message comes again';

# Answers that never come, to relays that reconnect and to relays that die: the cursor
# knows what was delivered.
my $proxy = OutboxTest::Proxy->start($redis->socket);
configure($node, 'outbox.retention' => '1h', 'outbox.redis_url' => 'redis://127.0.0.1:' . $proxy->port . '/0');
$node->safe_psql($db, q{SELECT create_queue('d')});
my ($n, $unanswered) = (0, 0);
for my $round (1 .. 6)
{
	eventually { $proxy->stat->{connections} > 0 && status($node, $db, 'state') eq 'running' } "round $round: it is connected";
	my $cuts = $proxy->stat->{cuts};
	$proxy->plan([ 's2c', 2 ], map { [ 'c2s', 1 ] } 1 .. 1000);
	$n += $node->safe_psql($db, q{SELECT count(outbox_enqueue('d', 'x')) FROM generate_series(1, 2000)});
	eventually { $proxy->stat->{cuts} > $cuts + 1 } "round $round: no answer comes, and no connection again";
	$unanswered++ if $redis->cmd('XLEN', 'd') > delivered('d');
	my $relay = relay_pid($node, $db);
	$node->safe_psql($db, "SELECT pg_terminate_backend($relay)") if $round % 2 && $relay;
	$proxy->plan;
	eventually { $redis->cmd('XLEN', 'd') == $n && delivered('d') == $n } "round $round: all that was delivered is counted, once";
}
cmp_ok($unanswered, '>', 0, 'some were delivered without an answer');
my $total = $node->safe_psql($db, 'SELECT delivered - (SELECT sum(delivered) FROM outbox.queue_status) FROM outbox.status');
is($total, 0, 'in the total as well');

done_testing();
