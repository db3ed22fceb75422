# Copyright (c) 2026, the outbox developers
#
# Promise: an open or aborted transaction costs nobody anything (I5): only a commit
# wakes the relay, and only one that has something for it.  The server's log tells
# how often the relay looks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'q');

# From now on each transaction is logged.
configure($node, log_min_messages => 'debug5');
my $relay = relay_pid($node, $db);
sub looks
{
	my ($from) = @_;
	return scalar(() = substr(log_of($node), $from) =~ /^.*\[$relay\].*\bStartTransaction\(/mg);
}
my $from = length log_of($node);
eventually { looks($from) > 0 } 'what the relay does is logged';

# How often it looks while this is done many times.
my $times = 300;
sub looks_during
{
	my ($script) = @_;
	my $from = length log_of($node);
	my $began = time;
	$node->safe_psql($db, "$script; SELECT pg_sleep(0.003);\n" x $times);
	my ($looks, $took) = (looks($from), time - $began);
	note("$looks looks in $took s");
	return ($looks, $took);
}
my $enqueue = q{SELECT outbox_enqueue('q', 'x')};

my $enqueued = 0;
at_best
{
	$enqueued += $times;
	my ($looks) = looks_during($enqueue);
	$times / ($looks || 1)
}
2, 'a commit that has enqueued wakes the relay; commits for each look:';
eventually { $redis->count('q') == $enqueued } 'for something';

# Neither the end of the transaction nor what the session does then.  By itself
# the relay looks around every second, a few times.
my ($looks, $took) = looks_during("BEGIN; $enqueue; SELECT pg_sleep(0.003); ROLLBACK");
cmp_ok($looks, '<', 50 + 20 * $took, 'one that is rolled back does not');
is($redis->count('q'), $enqueued, 'as there is nothing');

done_testing();
