# Copyright (c) 2026, the outbox developers
#
# Promise: whoever owns outbox's tables gets no rights by that.  A role that is no
# superuser owns them, and attaches its own code to each of them in every way there is.
# The relay, a superuser, and superusers who call outbox's functions must not execute it
# with their rights; what has been changed is refused, with a reason, and works again when
# it has been undone.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => 'outbox.retention = 1');
my $db = 'postgres';
install($node, $db, 'q');
run_sql($node, $db, '150_owner.sql');
my @tables = split /\n/, $node->safe_psql($db,
	q{SELECT relname FROM pg_class WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r' ORDER BY 1});
cmp_ok(scalar @tables, '>', 8, 'tables');

sub as_owner
{
	my (@commands) = @_;
	my ($rc, undef, $err) = $node->psql($db, join(';', @commands), extra_params => [ '-U', 'owner', '-v', 'ON_ERROR_STOP=1' ]);
	return $err;
}

sub why { my ($like) = @_; return eventually { status($node, $db, 'why') =~ $like } "status says $like" }

# Everything that callers can do with the tables, each in a transaction of its own, as a
# superuser: it may fail.
sub use_all
{
	my $n = shift;
	for my $sql ("SELECT create_queue('new$n')", "SELECT outbox_alter_queue('new$n', on_failure => 'retry')",
		"SELECT outbox_pause_queue('new$n')", "SELECT outbox_resume_queue('new$n')",
		"SELECT put('q', 'message $n')",
		"SELECT outbox_enqueue('new$n', 'x', delay => '1 hour', id => '00000000-0000-0000-0000-000000000001')",
		"SELECT outbox_cancel('00000000-0000-0000-0000-000000000001')",
		"SELECT outbox_enqueue('new$n', 'x', delay => '1 ms')",
		"SELECT outbox_resend('new$n', now())",
		"SELECT outbox_replay_queue('dead')", "SELECT outbox_replay('00000000-0000-0000-0000-000000000002')",
		"SELECT outbox_discard('00000000-0000-0000-0000-000000000002')",
		"SELECT outbox_drop_queue('new$n', true)")
	{
		$node->psql($db, $sql);
	}
	return;
}

# With an owner without rights of its own everything works.
$node->safe_psql($db, q{SELECT create_queue('dead', on_failure => 'dead_letter')});
$redis->cmd('SET', 'dead', 'no stream');
$node->safe_psql($db, q{SELECT outbox_enqueue('dead', 'x', id => '00000000-0000-0000-0000-000000000002')});
eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters') == 1 } 'a dead letter';
use_all(0);
audit($node, $db, $redis, ['q'], 1, 'the owner is no superuser');

# It is the owner who reads and writes the tables, with its rights and no others.
is(as_owner('REVOKE SELECT ON outbox.relay_state FROM owner'), '', 'the owner denies itself a table');
$node->safe_psql($db, q{SELECT pg_terminate_backend(pid) FROM outbox.status});
why(qr/permission denied for table relay_state/);
is(as_owner('GRANT SELECT ON outbox.relay_state TO owner'), '', '... no more');
for my $call ("outbox_create_queue('denied')", "outbox_pause_queue('q')", "outbox_drop_queue('dead', true)")
{
	as_owner('REVOKE INSERT, UPDATE, DELETE ON outbox.queue FROM owner');
	my (undef, undef, $err) = $node->psql($db, "SELECT $call");
	like($err, qr/permission denied for table queue/, "$call has the owner's rights");
	as_owner('GRANT ALL ON outbox.queue TO owner');
}
for my $call ("outbox_enqueue('q', 'x', delay => '1 hour')", "outbox_cancel('00000000-0000-0000-0000-000000000001')")
{
	as_owner('REVOKE INSERT, UPDATE, DELETE ON outbox.deferred FROM owner');
	my (undef, undef, $err) = $node->psql($db, "SELECT $call");
	like($err, qr/permission denied for table deferred/, "$call has the owner's rights");
	as_owner('GRANT ALL ON outbox.deferred TO owner');
}

# Each way to attach code to each table, and to be rid of it.  %1$s is the table.
my @ways = (
	[ 'a trigger before', q{CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION traps.trap()}, q{DROP TRIGGER a ON %1$s} ],
	[ 'a trigger after', q{CREATE TRIGGER z AFTER INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION traps.trap()}, q{DROP TRIGGER z ON %1$s} ],
	[ 'a trigger of statements', q{CREATE TRIGGER z AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION traps.trap()}, q{DROP TRIGGER z ON %1$s} ],
	[ 'a deferred trigger', q{CREATE CONSTRAINT TRIGGER z AFTER INSERT OR UPDATE OR DELETE ON %1$s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION traps.trap()}, q{DROP TRIGGER z ON %1$s} ],
	[ 'a condition', q{CREATE TRIGGER z AFTER INSERT OR UPDATE ON %1$s FOR EACH ROW WHEN (traps.yes(1)) EXECUTE FUNCTION traps.trap()}, q{DROP TRIGGER z ON %1$s} ],
	[ 'a rule', q{CREATE RULE r AS ON INSERT TO %1$s DO ALSO SELECT traps.spring()}, q{DROP RULE r ON %1$s} ],
	[ 'an index of an expression', q{CREATE INDEX %2$s_trap ON %1$s (traps.value(%3$s))}, q{DROP INDEX outbox.%2$s_trap} ],
	[ 'a partial index', q{CREATE INDEX %2$s_trap ON %1$s (%3$s) WHERE traps.yes(1)}, q{DROP INDEX outbox.%2$s_trap} ],
	[ 'a constraint', q{ALTER TABLE %1$s ADD CONSTRAINT trap CHECK (traps.yes(1)) NOT VALID}, q{ALTER TABLE %1$s DROP CONSTRAINT trap} ],
	[ 'a policy', q{CREATE POLICY p ON %1$s USING (traps.spring()); ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY},
		q{DROP POLICY p ON %1$s; ALTER TABLE %1$s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY} ],
	[ 'a default', q{ALTER TABLE %1$s ALTER %3$s SET DEFAULT traps.value(1)::text::%4$s}, q{ALTER TABLE %1$s ALTER %3$s DROP DEFAULT} ],
	[ 'a child', q{CREATE TABLE outbox.%2$s_child () INHERITS (%1$s)}, q{DROP TABLE outbox.%2$s_child} ]);
my %column = map { split /=/, $_, 2 } split /\n/, $node->safe_psql($db, <<'EOC');
SELECT DISTINCT ON (relname) relname || '=' || quote_ident(attname) || ' ' || format_type(atttypid, NULL)
FROM pg_class AS c JOIN pg_attribute AS a ON attrelid = c.oid AND attnum > 0 AND NOT atthasdef
WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r' ORDER BY relname, attnum
EOC
my $n = 0;
for my $way (@ways)
{
	my ($name, $attach, $detach) = @$way;
	my @all = map { [ "outbox.$_", $_, split / /, $column{$_}, 2 ] } @tables;
	no warnings 'redundant';
	is(as_owner(map { sprintf $attach, @$_ } @all), '', "$name is attached to each table");
	use_all(++$n);
	why(qr/changed by hand/);
	is(as_owner(map { sprintf $detach, @$_ } @all), '', '... and taken off');
	is($node->safe_psql($db, q{SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'}), 'f', '... its author is no superuser');
}
cmp_ok($node->safe_psql($db, 'SELECT last_value FROM traps.sprung'), '>', 10, 'traps have sprung');
$node->safe_psql($db, q{SELECT outbox_drop_queue('dead', true)});
audit($node, $db, $redis, ['q'], 3, 'nothing is lost');
why(qr/^$/);
unlike(log_of($node), qr/ended by signal|TRAP:/, 'no process has crashed');

done_testing();
