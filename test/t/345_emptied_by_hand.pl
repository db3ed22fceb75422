# Copyright (c) 2026, the outbox developers
#
# Promise: what is gone from our tables is no longer shown, also where a table was emptied
# by hand, which its statistics don't say, and had so many rows that they are not counted
# again and again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis);
my $db = 'postgres';
install($node, $db, 'far', 'bad');

sub sql { return $node->safe_psql($db, $_[0]); }
sub column { return ask($node, $db, "SELECT $_[0] FROM outbox.queue_status WHERE queue = '$_[1]'"); }
sub far { my ($n) = @_; return "SELECT count(outbox_enqueue('far', 'x', delay => '30 days')) FROM generate_series(1, $n) AS i"; }

# With dead letters beside them, and without.
sql(q{SELECT outbox_alter_queue('bad', on_failure => 'dead_letter', max_attempts => 1)});
$redis->cmd('SET', 'bad', 'of another type');
put($node, $db, 'bad', 'x');
eventually { column('dead_letters', 'bad') == 1 } 'a dead letter is counted';
for my $table ('outbox.deferred', 'outbox.dead_letter, outbox.deferred')
{
	sql(far(2500));
	eventually { column('delayed', 'far') == 2500 } 'delayed messages are counted';
	sql("TRUNCATE $table");
	eventually { column('delayed', 'far') == 0 } "TRUNCATE of $table is noticed";
}
eventually { column('dead_letters', 'bad') == 0 } 'also of dead letters';
sql(far(1));
eventually { column('delayed', 'far') == 1 } 'and what comes later is counted';
done_testing();
