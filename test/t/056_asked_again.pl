# Promise: a staging table is emptied only of what has been delivered or copied (I2),
# also if somebody adds to it at the last moment: between the look that finds nothing
# in it that is waited for, and the lock.
#
# That moment is made to last: evacuating a paused queue's message comes between look
# and lock, and a constraint lets it wait.  A writer that began when the table was the
# current one waits meanwhile for somebody who has locked it, and then gets its turn.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "lock_timeout = 0\n");
my $db = 'postgres';
install($node, $db, 'flows', 'paused');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(<<'EOC');
CREATE FUNCTION gate() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock_shared(1);
	RETURN true;
END $$;
ALTER TABLE outbox.deferred ADD CONSTRAINT gate CHECK (public.gate()) NOT VALID;
EOC
sql(q{SELECT outbox_pause_queue('paused')});

# The table that has the paused queue's message.
my $table_sql = q{SELECT min(t) FROM (SELECT 'outbox.staging_1' AS t, queue FROM outbox.staging_1
	UNION ALL SELECT 'outbox.staging_2', queue FROM outbox.staging_2) AS s
	WHERE queue = (SELECT id FROM outbox.queue WHERE name = 'paused')};

# A writer that waits for its table, which has a paused queue's message and is locked
# by the second session.  If the tables change places meanwhile, the next try will do.
sub blocked_writer
{
	my ($writer, $locker, $before, $enqueue) = @_;
	my $pid = $writer->query_safe('SELECT pg_backend_pid()');
	for my $try (1 .. 5)
	{
		$writer->query_safe("BEGIN; $before");
		put($node, $db, 'paused', 'waits');
		my $table = sql($table_sql);
		$locker->query_safe("BEGIN; LOCK TABLE $table IN SHARE MODE");
		my $done = 0;
		$writer->{stdin} .= "$enqueue;\n\\echo enqueued\n";
		while (1)
		{
			$writer->{run}->pump_nb;
			return $table if sql("SELECT count(*) FROM pg_locks WHERE pid = $pid AND NOT granted AND relation = '$table'::regclass") == 1;
			last if $writer->{stdout} =~ /enqueued/;
		}
		$writer->query_safe('ROLLBACK');
		$locker->query_safe('ROLLBACK');
	}
	return;
}

# What the writer does before its table is locked, and then.
my %writers = (
	'who begins late' => [ '', q{SELECT put('flows', 'late')} ],
	'who began early' => [ 'SELECT pg_current_xact_id()', q{SELECT put('flows', 'early')} ],
	'who has created a queue' => [ q{SELECT outbox_create_queue('new')}, q{SELECT put('new', 'first')} ]);
for my $name (sort keys %writers)
{
	configure($node, 'outbox.retention' => '10min');
	my ($gate, $writer, $locker) = map { session($node, $db) } 1 .. 3;
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	my $table = blocked_writer($writer, $locker, @{ $writers{$name} });
	ok($table, "$name: waits for the table");
	configure($node, 'outbox.retention' => '1s');
	eventually {
		sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox relay' AND wait_event = 'advisory'}) == 1
	} "$name: the relay has looked at the table and not yet locked it";

	$locker->query_safe('COMMIT');
	$writer->query_safe('COMMIT');
	is(sql("SELECT max(xid) = (SELECT max(xid) FROM journal WHERE body IN ('late', 'early', 'first')) FROM $table"),
		$name eq 'who begins late' ? 't' : 'f', "$name: has enqueued with an id like that");
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$_->quit for $gate, $writer, $locker;
	eventually {
		sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0'
	} "$name: in the end staging is emptied";
}
is($redis->count('flows'), 2, 'both messages have come');
sql(q{SELECT outbox_resume_queue('paused')});
audit($node, $db, $redis, [ 'flows', 'paused', 'new' ], 6, 'nothing is lost');

done_testing();
