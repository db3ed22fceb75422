# Copyright (c) 2026, the outbox developers
#
# Promise: a staging table is emptied only of what has been delivered or copied (I2),
# also if somebody adds to it at the last moment: between the look that finds nothing
# in it that is waited for, and the lock.
#
# That moment is made to last: behind a statement in between the relay waits at a
# gate.  A writer that began when the table was the current one waits meanwhile for
# somebody who has locked it, and then gets its turn.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Gate;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => gate_conf());
my $db = 'postgres';
install($node, $db, 'flows', 'paused');

sub sql { return $node->safe_psql($db, $_[0]); }

sql(<<'EOC');
CREATE VIEW staged AS
	SELECT 'outbox.staging_1' AS rel, name, xid, enqueued_at
	FROM outbox.staging_1 AS s JOIN outbox.queue AS q ON q.id = s.queue UNION ALL
	SELECT 'outbox.staging_2', name, xid, enqueued_at
	FROM outbox.staging_2 AS s JOIN outbox.queue AS q ON q.id = s.queue;
EOC
sql(q{SELECT outbox_pause_queue('paused')});

my $locker = session($node, $db);
my $writer = session($node, $db);
my $writer_pid = $writer->query_safe('SET lock_timeout = 0; SELECT pg_backend_pid()');

# The writer waits for the table in which the last message of a queue lies, and which
# the second session has locked.  If the tables change places just then, the next try
# will do.
sub block_writer
{
	my ($queue, $before, $enqueue) = @_;
	configure($node, 'outbox.retention' => '10min');
	for my $try (1 .. 5)
	{
		$writer->query_safe("BEGIN; $before");
		put($node, $db, $queue, 'comes before');
		my $table = sql("SELECT rel FROM staged WHERE name = '$queue' ORDER BY enqueued_at DESC LIMIT 1");
		$locker->query_safe("BEGIN; LOCK TABLE $table IN SHARE MODE");
		$writer->{stdin} .= "$enqueue;\n\\echo enqueued\n";
		until ($writer->{stdout} =~ /enqueued/)
		{
			$writer->{run}->pump_nb;
			return $table if sql("SELECT count(*) FROM pg_locks WHERE pid = $writer_pid AND NOT granted AND relation = '$table'::regclass") == 1;
		}
		$writer->query_safe('ROLLBACK');
		$locker->query_safe('ROLLBACK');
	}
	die "the writer did not have to wait\n";
}

sub unblock_writer
{
	$locker->query_safe('COMMIT');
	$writer->query_safe('COMMIT');
	return;
}

sub emptied
{
	my ($name) = @_;
	return eventually {
		sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0'
	} "$name: in the end staging is emptied";
}

# The relay waits when it has copied a paused queue's message, just before it locks the
# table.  Meanwhile the writer enqueues.
sub enqueued_meanwhile
{
	my ($name, $is_last, $before, $queue) = @_;
	my $table = block_writer('paused', $before, "SELECT put('$queue', '$name')");
	set_gate($node, 'wait', 'INSERT INTO outbox.deferred SELECT s.*');
	configure($node, 'outbox.retention' => '1s');
	gate_is_reached($node, "$name: the relay waits");
	unblock_writer();
	is(sql("SELECT max(xid) = (SELECT xid FROM journal WHERE body = '$name') FROM $table"), $is_last, "$name: so it is");
	open_gate($node);
	emptied($name);
	return;
}

# To a queue that flows; its id is greater than what the relay has seen, or not.
enqueued_meanwhile('who begins late', 't', '', 'flows');
enqueued_meanwhile('who began early', 'f', 'SELECT pg_current_xact_id()', 'flows');
is($redis->count('flows'), 2, 'both messages have come');

# To a queue that it has created, which the relay doesn't know yet: as it waits, it
# knows those that were there before, and all of them stand still.
sql(q{SELECT outbox_pause_queue('flows')});
enqueued_meanwhile('who has created a queue', 'f', q{SELECT create_queue('new')}, 'new');

sql(q{SELECT outbox_resume_queue('flows')});
sql(q{SELECT outbox_resume_queue('paused')});
audit($node, $db, $redis, [ 'flows', 'paused', 'new' ], 6, 'nothing is lost');

done_testing();
