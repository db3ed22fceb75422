# Copyright (c) 2026, the outbox developers
#
# Promise: rows are forgotten only when a look at the cursor, later than their
# retention, has found that Redis still has what they are kept for (I2).  Redis loses
# everything in the last moment, while the relay can't look: when it goes on, the
# retention of rows in staging, of copies and of messages that were tried again has
# passed, and all of them are sent again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $retention = 4;
my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q', 'copied');
$node->safe_psql($db, q{SELECT create_queue('retried', on_failure => 'retry', retry_delay => '1 s', retry_max_delay => '1 s')});

sub count { my ($what) = @_; return ask($node, $db, "SELECT count(*) FROM $what"); }

# Rows of one kind each: copies, and one that was refused, both in no staging table.
sub prepare
{
	my ($round) = @_;
	configure($node, 'outbox.retention' => '1s');
	$node->safe_psql($db, q{SELECT outbox_pause_queue('copied')});
	put($node, $db, 'copied', map { "copied $round $_" } 1 .. 20);
	$redis->cmd('SET', 'retried', 'no stream');
	put($node, $db, 'retried', "refused $round");
	eventually {
		put($node, $db, 'q', 'passing by');
		count(q{outbox.deferred WHERE reason = 'evacuated'}) eq '20'
		  && count(q{outbox.deferred WHERE reason = 'retry'}) eq '1'
		  && count("(TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) s JOIN journal j USING (id) WHERE body ~ ' $round'") eq '0'
	} 'copied and refused messages have left staging';
	configure($node, 'outbox.retention' => "${retention}s");
	return;
}

# Staged messages whose table takes no new rows, all delivered, as the others are.
sub deliver
{
	my ($round) = @_;
	put($node, $db, 'q', map { "staged $round $_" } 1 .. 20);
	my $seq = 'SELECT max(seq) FROM outbox.staging_';
	eventually {
		put($node, $db, 'q', 'passing by');
		ask($node, $db, "SELECT s.n FROM (VALUES (1, ($seq" . "1)), (2, ($seq" . "2))) AS s(n, last), LATERAL (SELECT count(*) FROM"
			  . " (SELECT 1 AS n, id FROM outbox.staging_1 UNION ALL SELECT 2, id FROM outbox.staging_2) t JOIN journal j USING (id)"
			  . " WHERE t.n = s.n AND body LIKE 'staged $round %') AS c WHERE c.count = 20 AND s.last < greatest(($seq" . "1), ($seq" . "2))") ne ''
	} 'new rows go to the other table';
	$redis->cmd('DEL', 'retried');
	$node->safe_psql($db, q{SELECT outbox_resume_queue('copied')});
	eventually { count(q{outbox.deferred WHERE reason = 'applied'}) eq '1' && $redis->count('copied') == 20 } 'all is delivered';
	settle($node, $db, $redis, 'q', 'copied', 'retried');
	return;
}

# The relay has looked twice, so its chores have seen what is delivered.
sub looked_at
{
	my ($cursor) = @{ $redis->cmd('KEYS', '{q}:outbox:*') };
	for (1, 2)
	{
		my $pos = $redis->cmd('HGET', $cursor, 'pos');
		wait_for { $redis->cmd('HGET', $cursor, 'pos') ne $pos };
	}
	return;
}

my $lost;
for my $round (1 .. 5)
{
	$redis->cmd('FLUSHDB') if $round > 1;
	prepare($round);
	deliver($round);
	looked_at();
	my $arrived = { map { $_ => $redis->count($_) } 'q', 'copied', 'retried' };
	frozen {
		my $kept = count(q{outbox.deferred WHERE reason = 'evacuated'}) . ' '
		  . count(q{outbox.deferred WHERE reason = 'applied'}) . ' '
		  . count("(TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) s JOIN journal j USING (id) WHERE body LIKE 'staged $round %'");
		note("round $round: $kept");
		if ($kept eq '20 1 20')
		{
			$lost = $round;
			$redis->cmd('FLUSHDB');
			my $end = time + $retention + 1;
			wait_for { time > $end };
		}
	} relay_pid($node, $db);
	last if $lost;
}
ok($lost, 'Redis loses all, and the retention passes while the relay cannot look');
sub bodies { my ($queue, $like) = @_; return scalar grep { $_->[1] =~ $like } $redis->arrived($queue); }
eventually { bodies('q', qr/^staged $lost /) == 20 } 'what was in staging comes again';
eventually { bodies('copied', qr/^copied $lost /) == 20 } 'so do copies';
eventually { bodies('retried', qr/^refused $lost/) == 1 } 'and what had been refused first';
is($redis->count('retried'), 2, 'once');

done_testing();
