# Copyright (c) 2026, the outbox developers
#
# Promise: nobody's open transaction holds up the queues (I5, I8): not one that drops a queue,
# not one that has changed rows of outbox's tables by hand, not a session that hangs while it
# commits a NOTIFY.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, streaming => 1, conf => <<'EOC');
outbox.retention = 1
log_line_prefix = '%b: '
log_lock_waits = on
deadlock_timeout = 1ms
EOC
my $db = 'postgres';
install($node, $db, 'q');
$node->safe_psql($db, <<'EOC');
SELECT create_queue('bad', on_failure => 'retry', max_attempts => 1000, retry_delay => '1 ms', retry_backoff => 1);
SELECT create_queue('dead', on_failure => 'dead_letter');
SELECT create_queue('dropped', on_failure => 'retry', max_attempts => 1000, retry_delay => '1 ms', retry_backoff => 1);
SELECT create_queue('paused');
SELECT outbox_pause_queue('paused');
EOC
$redis->cmd('SET', $_, 'no stream') for 'bad', 'dead', 'dropped';
put($node, $db, $_, 'first') for 'bad', 'dead', 'dropped', 'paused';
my $relay = relay_pid($node, $db);
my $session = session($node, $db);

sub waits { my ($from) = @_; return join "\n", grep { /^outbox relay: .*still waiting/ } split /\n/, substr(log_of($node), $from) }

# Messages arrive one after the other.  (Totals are written about every ten seconds.)
sub flows
{
	my ($name, $messages) = @_;
	for my $n (1 .. $messages)
	{
		my $arrived = $redis->count('q');
		put($node, $db, 'q', "$name $n");
		put($node, $db, 'dead', $n) if $n == 1;
		eventually { $redis->count('q') == $arrived + 1 } "$name: message $n" or return;
	}
	return;
}

eventually { $node->safe_psql($db, q{SELECT count(*) > 2 FROM outbox.queue_total}) eq 't' } 'totals have been written';
my $log = length log_of($node);
$session->query_safe(q{BEGIN; SELECT outbox_drop_queue('dropped', true); SELECT pg_backend_pid()});
my $holder = $session->query_safe('SELECT pg_backend_pid()');
put($node, $db, 'q', 'a change of the totals');
settle($node, $db, $redis, 'q');
flows('a queue is being dropped', 24);
eventually { status($node, $db, 'why') =~ /is being dropped or altered by process $holder/ } 'status says who drops a queue';
$session->query_safe('ROLLBACK');
is(waits($log), '', 'the relay has waited for nobody who drops a queue');
eventually { status($node, $db, 'why') !~ /dropped/ } '... until that has ended';

# Each table's rows.
for my $line (split /\n/, $node->safe_psql($db, <<'EOC'))
SELECT DISTINCT ON (relname) relname, quote_ident(attname) FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0
WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r' AND relname !~ '^staging' ORDER BY relname, attnum
EOC
{
	my ($table, $column) = split /\|/, $line;
	$session->query_safe("BEGIN; UPDATE outbox.$table SET $column = $column");
	flows("rows of $table are changed", 4);
	$session->query_safe('ROLLBACK');
}
is(relay_pid($node, $db), $relay, 'the relay is the same');

# Commits that wait for a standby which is not there hold PostgreSQL's lock on the order of
# notifications.
$node->psql('postgres', 'ALTER SYSTEM SET outbox.wait_for_standby = off');
configure($node, synchronous_standby_names => 'gone');
my @hangs;

sub hang
{
	push @hangs, fork // die;
	return if $hangs[-1];
	exec 'psql', '-XAtq', '-d', $node->connstr($db), '-c', 'BEGIN', '-c', q{SELECT pg_logical_emit_message(true, '', '')}, '-c', 'NOTIFY hangs', '-c', 'COMMIT'
	  or POSIX::_exit(127);
}

{
	local $ENV{PGOPTIONS} = '-c synchronous_commit=local';
	# those that commit before the setting is in effect don't hang
	eventually
	{
		{ local $ENV{PGOPTIONS} = ''; hang(); }
		$node->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) > 0;
	}
	'a session hangs in its commit';
	my $listener = session($node, $db);
	$listener->query_safe('LISTEN outbox_dead_letter');
	my $dead = $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters');
	flows('a NOTIFY hangs', 4);
	eventually { $node->safe_psql($db, 'SELECT count(*) FROM outbox.dead_letters') > $dead } 'a dead letter is recorded meanwhile';
	eventually { status($node, $db, 'why') =~ /cannot notify of dead letters/ } 'status says that nobody can be told';
	configure($node, synchronous_standby_names => '');
	waitpid $_, 0 for @hangs;
	eventually { $listener->query('SELECT 1') =~ /outbox_dead_letter/ } 'then they are told';
	$listener->quit;
}
$session->quit;
$node->safe_psql($db, q{SELECT outbox_drop_queue(name, true) FROM outbox.queue WHERE name <> 'q'; DELETE FROM journal WHERE queue <> 'q'});
audit($node, $db, $redis, ['q'], 50, 'everything has arrived');
is(relay_pid($node, $db), $relay, 'the relay is the same');

done_testing();
