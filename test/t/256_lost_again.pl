# Copyright (c) 2026, the outbox developers
#
# Promise: what Redis loses again within the retention comes again, however often that
# happens (I2): the retention of what was sent again begins anew, also if the relay had not
# come to look at staging meanwhile.  Guards upkeep/rotate.c.
#
# Redis is set back by hand: the queue's cursor and its stream as they were before.  The
# relay looks at staging about once a second, and the message comes again much sooner.

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
my $node = new_node('main', redis => $redis, conf => "outbox.retention = ${retention}s\n");
my $db = 'postgres';
install($node, $db, 'q');
put($node, $db, 'q', 'before');
settle($node, $db, $redis, 'q');
my ($cursor) = grep { /:outbox:/ } @{ $redis->cmd('KEYS', '*:outbox:*') };

sub kept { return ask($node, $db, q{SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s WHERE convert_from(payload, 'UTF8') = 'lost'}); }

# Longer than the tables take turns, and the retention of the first time ends.  What is
# lost later than the retention need not come again: then this says nothing.
my ($tries, $missing, $began, $seen, $slow);
for (1 .. 5)
{
	my $dump = $redis->cmd('DUMP', $cursor);
	$redis->cmd('DEL', 'q');
	put($node, $db, 'q', 'lost');
	($tries, $missing, $slow, $began) = (0, 0, 0, time);
	$seen = time;
	while (!$missing && !$slow && time < $began + 4 * $retention)
	{
		wait_for { $redis->last_of('q') eq 'lost' } or $missing = 1;
		last if $missing;
		wait_for { time > $seen + 0.7 };
		$redis->cmd('MULTI');
		$redis->cmd('RESTORE', $cursor, 0, $dump, 'REPLACE');
		$redis->cmd('DEL', 'q');
		$redis->cmd('EXEC');
		$slow = time - $seen > $retention;
		$seen = time;
		$redis->drop_clients;
		$tries++;
	}
	last unless $slow;
}
ok(!$missing, "what is lost within the retention comes again, $tries times");
cmp_ok($tries, '>', 4, 'it was lost several times in a row');
eventually { $redis->last_of('q') eq 'lost' } 'the last time, too';
is(kept(), 1, 'then it is in staging still');
eventually { kept() eq '0' } 'and in the end it is forgotten';

done_testing();
