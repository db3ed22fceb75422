# Copyright (c) 2026, the outbox developers
#
# Promise: atomic, for two-phase commit (I1, I2).  Nothing of a prepared
# transaction before COMMIT PREPARED, all of it afterwards, also over a crash;
# nothing ever after ROLLBACK PREPARED.  COMMIT PREPARED runs no transaction
# callback of ours, so this also guards the look that an idle relay takes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'max_prepared_transactions = 10');
my $db = 'postgres';
install($node, $db, 'q');

for my $name ('commit', 'rollback', 'crash_commit', 'crash_rollback')
{
	$node->safe_psql($db, "BEGIN; SELECT put('q', '$name 1'); SAVEPOINT s;"
		  . "SELECT put('q', '$name 2'); PREPARE TRANSACTION '$name'");
}
put($node, $db, 'q', 'passes by');
eventually { $redis->count('q') == 1 } 'a later transaction passes those that are prepared';

$node->safe_psql($db, "COMMIT PREPARED 'commit'");
eventually { $redis->count('q') == 3 } 'COMMIT PREPARED delivers, with nobody else to wake the relay';
$node->safe_psql($db, "ROLLBACK PREPARED 'rollback'");

$node->stop('immediate');
$node->start;
put($node, $db, 'q', 'after the crash');
eventually { $redis->count('q') == 4 } 'after a crash others pass still';

$node->safe_psql($db, "COMMIT PREPARED 'crash_commit'");
$node->safe_psql($db, "ROLLBACK PREPARED 'crash_rollback'");
eventually { $redis->count('q') == 6 } 'prepared before the crash, committed after it';

# The order among overlapping transactions is not promised; audit knows that.
audit($node, $db, $redis, ['q'], 7, 'nothing of what was rolled back, nothing twice');
is($redis->count('q'), 7, 'the number of messages, counted by hand');

done_testing();
