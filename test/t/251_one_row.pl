# Copyright (c) 2026, the outbox developers
#
# Promise: whoever calls outbox_enable() at the same time, in whatever isolation level,
# the last one to commit is obeyed, and one row says so.  A queue's view keeps its
# name: who renames it by hand is refused, and its rights stay what they are.

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
install($node, $db, 'q');

sub sql { return $node->safe_psql($db, $_[0]); }
sub refused { my ($rc, undef, $err) = $node->psql($db, $_[0]); return $rc == 0 ? 'not refused' : $err; }

# Two that have looked before either has called; the second one waits for the first.
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	sql('DELETE FROM outbox.delivery');
	for my $round ('first', 'then')
	{
		my @at = map { session($node, $db) } 1 .. 2;
		$_->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM outbox.queue") for @at;
		$at[0]->query_safe('SELECT outbox_enable(true)');
		$at[1]->query_until(qr/called/, "\\echo called\nSELECT outbox_enable(false);\n");
		eventually { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) eq '1' } "$level, $round: one waits";
		$at[0]->query_safe('COMMIT');
		$at[1]->query_safe('COMMIT');
		$_->quit for @at;
		is(sql(q{SELECT string_agg(enabled::text, ', ') FROM outbox.delivery}), 'false', "$level, $round: one row, which the last one wrote");
	}
}
like(refused(q{INSERT INTO outbox.delivery (enabled) VALUES (true)}), qr/delivery_pkey/, 'there is no way to another row');
like(refused(q{INSERT INTO outbox.delivery (one, enabled) VALUES (false, true)}), qr/delivery_one_check/, 'none at all');
eventually { status($node, $db, 'state') eq 'disabled' } 'it is off';
sql('SELECT outbox_enable(true)');
eventually { status($node, $db, 'state') eq 'running' } 'and on';

# The view's name.
sql('CREATE ROLE app; CREATE SCHEMA elsewhere; SELECT outbox_grant($$app$$, $$q$$)');
for my $command ('ALTER VIEW outbox_queues.q RENAME TO r', 'ALTER TABLE outbox_queues.q RENAME TO r',
	'ALTER VIEW outbox_queues.q SET SCHEMA elsewhere', 'SET search_path = outbox_queues; ALTER VIEW q RENAME TO r')
{
	like(refused($command), qr/view outbox_queues\.q cannot be renamed\n.*\nHINT:  outbox_alter_queue\(\) with the setting "name"/, "$command: refused, with what to do");
}
sql(q{CREATE VIEW elsewhere.q AS SELECT 1; ALTER VIEW elsewhere.q RENAME TO r; ALTER VIEW elsewhere.r SET SCHEMA public});
is(sql(q{SET ROLE app; SELECT outbox_enqueue('q', '1') IS NOT NULL}), 't', 'others may be renamed, and the right is what it was');
eventually { $redis->count('q') == 1 } 'delivered';
eventually { $node->psql($db, q{SELECT outbox_purge_queue('q', true); SELECT outbox_alter_queue('q', settings => '{"name": "r"}')}) == 0 }
'outbox_alter_queue() renames it';
is(sql(q{SET ROLE app; SELECT outbox_enqueue('r', '1') IS NOT NULL}), 't', 'with its rights');

done_testing();
