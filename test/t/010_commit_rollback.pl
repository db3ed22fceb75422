# Copyright (c) 2026, the outbox developers
#
# Promise: atomic (I1 no phantom, I2 no loss).  A message of a transaction,
# savepoint or exception block that is rolled back never existed; one that
# commits arrives, once, wherever the enqueue was called from; and the commit
# itself wakes the relay.

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
install($node, $db, 'emails');

# The bodies that have arrived, after a last message that follows them all.
sub bodies
{
	settle($node, $db, $redis, 'emails');
	my @bodies = map { $_->[1] } $redis->arrived('emails');
	pop @bodies;
	$redis->cmd('DEL', 'emails');
	return join ' ', @bodies;
}

sub is_delivered
{
	my ($sql, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, undef, $err) = $node->psql($db, $sql, on_error_stop => 0);
	note($err) if $err;
	return is(bodies(), $expected, $name);
}

is_delivered("SELECT outbox_enqueue('emails', 'a');", 'a', 'commit of a single statement');
is_delivered("BEGIN; SELECT outbox_enqueue('emails', 'a'); SELECT outbox_enqueue('emails', 'b'); COMMIT;",
	'a b', 'commit of a block, in order');
is_delivered("BEGIN; SELECT outbox_enqueue('emails', 'a'); ROLLBACK;", '', 'rollback');
is_delivered("BEGIN; SELECT outbox_enqueue('emails', 'a'); SELECT 1/0; COMMIT;", '', 'a failed transaction');
is_delivered("SELECT outbox_enqueue('emails', 'a'), 1/(random()*0)::int;", '', 'a failed statement');
is_delivered(sql_of('010_savepoints.sql'), 'a c e', 'savepoints');
is_delivered(<<'EOC', 'inner', 'only a savepoint enqueues');
BEGIN; SAVEPOINT s; SELECT outbox_enqueue('emails', 'inner'); RELEASE s; COMMIT;
EOC
is_delivered(<<'EOC', '', 'only a savepoint enqueues, and is rolled back');
BEGIN; SAVEPOINT s; SELECT outbox_enqueue('emails', 'inner'); ROLLBACK TO s; COMMIT;
EOC
is_delivered(sql_of('010_exceptions.sql'), 'a handled c', 'exceptions in PL/pgSQL');
is_delivered(sql_of('010_do_block.sql'), 'one three', 'commit and rollback in a DO block');
is_delivered(sql_of('010_triggers.sql'), 'row1 row2', 'triggers, of a role that may do nothing else');
is_delivered(<<'EOC', 'deferred', 'a constraint trigger that fires at commit');
RESET ROLE;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION announce();
BEGIN; UPDATE users SET name = 'deferred' WHERE name = 'row1'; COMMIT;
EOC
is_delivered(<<'EOC', 'kept', 'a commit after a rollback in the same session');
BEGIN; SELECT outbox_enqueue('emails', 'gone'); ROLLBACK;
BEGIN; SELECT outbox_enqueue('emails', 'kept'); COMMIT;
EOC
is_delivered(<<'EOC', 'r1 r2 s1', 'REPEATABLE READ and SERIALIZABLE');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT outbox_enqueue('emails', 'r1'); SELECT outbox_enqueue('emails', 'r2'); COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT outbox_enqueue('emails', 's1'); COMMIT;
EOC

# More subtransactions than fit in shared memory, while a snapshot is taken.
my $many = session($node, $db);
$many->query_safe('BEGIN');
$many->query_safe(sql_of('010_subtransactions.sql'));
is(bodies(), '', 'nothing of a transaction with 200 open subtransactions');
$many->query_safe('COMMIT');
is(bodies(), join(' ', grep { $_ % 10 } 1 .. 200), 'all of it when it commits, but for what was rolled back');
$many->quit;

# A session that ends in the middle takes its messages with it.
my $dying = session($node, $db);
$dying->query_safe('BEGIN');
$dying->query_safe("SELECT outbox_enqueue('emails', 'never')");
$dying->quit;
is(bodies(), '', 'a session that ends in a transaction');

# The wake: without it a message waits until the relay happens to look, which
# it does once a second.  Each message follows the arrival of the one before it,
# so without a wake ten take nine seconds at least.
my $session = session($node, $db);
my $sent = 0;
at_best
{
	seconds {
		for (1 .. 10)
		{
			$session->query_safe("SELECT outbox_enqueue('emails', 'wake " . ++$sent . "')");
			wait_for { $redis->count('emails') == $sent };
		}
	}
} 5, 'the commit wakes the relay, ten times';
$session->quit;

done_testing();
