# Copyright (c) 2026, the outbox developers
#
# Promise: whatever stands, no turn of the relay's loop takes more than 50 ms of its
# CPU time, so no queue waits longer for another one (I8).  Here: rows that are planned
# and counted.  Taken in pieces they arrive as ever, once and in order (I2, I3, I4).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "shared_buffers = 256MB\nmax_wal_size = 4GB\n");
my $db = 'postgres';
install($node, $db, 'bad', 'b', 'large', 'c');

# What the view says.
sub view { return ask($node, $db, "SELECT $_[0] FROM outbox.longest_turns"); }

sub put_many
{
	my ($queue, $n) = @_;
	$node->safe_psql($db, "SELECT count(outbox_enqueue('$queue', i::text)) FROM generate_series(1, $n) AS i");
	return;
}

# A queue that stands still is tried again and again: each time what it has is planned,
# and all that waits is counted.  Others are delivered meanwhile.
refuse($redis, 'bad');
my ($stuck, $beside) = (0, 0);
short_turns
{
	my ($n) = @_;
	$stuck += $n;
	put_many('bad', $n);
	put($node, $db, 'b', "beside $n");
	$beside++;
	eventually { $redis->count('b') == $beside } "the other queue flows beside $n";
	eventually
	{
		ask($node, $db, q{SELECT waiting FROM outbox.queue_status WHERE queue = 'bad'}) eq $stuck
	}
	"all $stuck are counted";
	my $tries = 'SELECT sum(failed) FROM outbox.queue_status';
	my $failed = ask($node, $db, $tries);
	eventually { ask($node, $db, $tries) > $failed + 1 } 'it is tried again';
	is(view("count(*) FILTER (WHERE rows > $stuck / 2)"), 0, 'no turn goes through half of them') if $stuck > 40_000;
}
40_000, $node, $db, 'rows of a queue that stands still';

# It goes on where it stood.
mend($redis, 'bad');
eventually { $redis->count('bad') == $stuck } 'mended, all of it arrives';

# In the order of numbers.
sub in_order
{
	my ($queue, $n) = @_;
	my $of = $redis->cmd('EVAL', <<'EOS', 1, $queue);
local wrong, last, n = 0, 0, 0
for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for i = 1, #e[2], 2 do
    if e[2][i] == 'payload' then
      local v = tonumber(e[2][i + 1])
      if v ~= last + 1 and v ~= 1 then wrong = wrong + 1 end
      last = v
      n = n + 1
    end
  end
end
return n .. ' ' .. wrong
EOS
	return $of eq "$n 0";
}
ok(in_order('bad', $stuck), 'each once, in order');

# One transaction with very many rows, for two queues; a third one that keeps up.
short_turns
{
	my ($n) = @_;
	$redis->cmd('DEL', 'large', 'c');
	$node->safe_psql($db, "SELECT count(outbox_enqueue(q, i::text))"
		  . " FROM generate_series(1, $n) AS i, unnest('{large,c}'::text[]) AS q");
	put($node, $db, 'b', "behind $n");
	eventually { $redis->count('large') == $n && $redis->count('c') == $n } "$n rows for each of two queues";
	ok(in_order('large', $n), 'one has them in order');
	ok(in_order('c', $n), 'and the other one');
}
30_000, $node, $db, 'rows of one transaction';

# Two transactions, the older one with the greater numbers: its rows are found first, and
# have to wait for those of the other one.
my $older = session($node, $db);
$node->safe_psql($db, q{SELECT outbox_pause_queue('c')});
$redis->cmd('DEL', 'c');
$older->query_safe('BEGIN; SELECT pg_current_xact_id()');
put_many('c', 100_000);
$older->query_safe(q{SELECT count(outbox_enqueue('c', i::text)) FROM generate_series(100001, 200000) AS i; COMMIT});
$older->quit;
$node->safe_psql($db, q{SELECT outbox_resume_queue('c')});
eventually { $redis->count('c') >= 200_000 } 'two transactions with many rows';
ok(in_order('c', 200_000), 'each once, in the order of numbers');

# The view.
reset_turns($node, $db);
like(view('count(*)'), qr/^\d+$/, 'turns can be forgotten');
refuse($redis, 'bad');
put_many('bad', 20_000);
eventually { view('count(*)') > 0 } 'and there are others';
eventually { view(q{string_agg(DISTINCT clock, ' ')}) =~ /wall/ } 'by the clock as well';
is(view('bool_and(ms > 0 AND at > now() - interval \'1 hour\' AND rows >= 0)'), 't', 'with what they did');

done_testing();
