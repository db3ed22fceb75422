# Copyright (c) 2026, the outbox developers
#
# Promise: no turn of the relay's loop takes more than 50 ms of its CPU time (I8).
# Here: outbox_resend() of very many messages.  They are staged in pieces, each message
# once and in order, whatever becomes of the relay in between (I3, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Gate;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => gate_conf() . "shared_buffers = 256MB\nmax_wal_size = 4GB\n");
my $db = 'postgres';
install($node, $db, 'beside', 'other', map { "q$_" } 1 .. 6);

sub resend { $node->safe_psql($db, "SELECT outbox_resend('$_[0]', now() - interval '1 hour')"); return; }

sub is_done { return ask($node, $db, 'SELECT count(*) FROM outbox.resend_request') eq '0'; }

# All that the stream has is the numbers from 1 to n, in order.
sub has_all
{
	my ($queue, $n) = @_;
	return $redis->cmd('EVAL', <<'EOS', 1, $queue) eq "$n 0";
local n, wrong = 0, 0
for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for i = 1, #e[2], 2 do
    if e[2][i] == 'payload' then
      n = n + 1
      if tonumber(e[2][i + 1]) ~= n then wrong = wrong + 1 end
    end
  end
end
return n .. ' ' .. wrong
EOS
}

# Staging has other queues' messages, too, in the same transactions.
my $number = 0;
short_turns
{
	my ($n) = @_;
	my $q = 'q' . ++$number;
	$node->safe_psql($db, "SELECT count(outbox_enqueue(q, i::text))"
		  . " FROM generate_series(1, $n) AS i, unnest('{$q,other}'::text[]) AS q");
	eventually { $redis->count($q) == $n } 'all delivered';
	$redis->cmd('DEL', $q);
	resend($q);
	put($node, $db, 'beside', "beside $n");
	eventually { $redis->count($q) == $n && is_done() } "$n are delivered again";
	ok(has_all($q, $n), 'in order');
}
25_000, $node, $db, 'messages that are delivered again';

# The relay ends again and again, and takes its time for each piece.  What was staged
# again is a message like others, and is delivered once more.
$redis->cmd('DEL', 'q1');
my $n = 50_000;
my $kills = 0;
my $done = 0;
set_gate($node, 'sleep 20', 'UPDATE outbox.resend_request SET done');
resend('q1');
while ($kills < 4 && wait_for { is_done() || (ask($node, $db, 'SELECT sum(done) FROM outbox.resend_request') || 0) > $done })
{
	last if is_done();
	$done = ask($node, $db, 'SELECT sum(done) FROM outbox.resend_request') || last;
	my $pid = relay_pid($node, $db) || next;
	ask($node, 'postgres', "SELECT pg_terminate_backend($pid)");
	another_relay($node, $db, $pid, 'a relay goes on with it');
	$kills++;
}
open_gate($node);
cmp_ok($kills, '>', 0, "in the middle of it, $kills times");
eventually { is_done() && $redis->count('q1') >= $n } 'all are delivered again';
is($redis->cmd('EVAL', <<'EOS', 1, 'q1'), '50000 0', 'each as often as it should, in order');
local n, wrong = 0, 0
for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for i = 1, #e[2], 2 do
    if e[2][i] == 'payload' then
      if tonumber(e[2][i + 1]) ~= n % 25000 + 1 then wrong = wrong + 1 end
      n = n + 1
    end
  end
end
return n .. ' ' .. wrong
EOS

done_testing();
