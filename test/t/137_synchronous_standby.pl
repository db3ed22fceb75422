# Copyright (c) 2026, the outbox developers
#
# Promise: with synchronous_standby_names nothing leaves before the standby has
# what it rests on.  Transactions that hung in their commit when the server was
# killed are visible after the restart, and are not sent (I1); what the relay
# itself has committed, as the move of a delayed message, does not come twice
# after the failover (I3).  The relay says what it waits for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $primary = new_node('primary', redis => $redis, streaming => 1, conf => 'outbox.retention = 4s');
my $db = 'postgres';
my $local = 'SET synchronous_commit = local;';
my $make_due = "$local UPDATE outbox.deferred SET due_at = now() WHERE reason = 'delayed'";
install($primary, $db, 'q', 'd');

# Whose the cursors are.
sub owners { return join ' ', map { $redis->cmd('HGET', $_, 'line') } sort @{ $redis->cmd('KEYS', '*:outbox:*') }; }

# Its standby, as it is, without what it has not got yet.
sub promote
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', "primary_conninfo = ''");
	$node->start;
	$node->promote;
	wait_relay($node, $db);
	return;
}

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
configure($primary, synchronous_standby_names => 'standby');
eventually { ask($primary, $db, 'SELECT sync_state FROM pg_stat_replication') eq 'sync' } 'the standby is synchronous';

# With the standby, messages flow.
my $load = load($primary, $db, writers => 3, queues => ['q'], max_delay => 0.005);
eventually { $redis->count('q') > 200 } 'messages flow';
$load->stop;
settle($primary, $db, $redis, 'q');
is(status($primary, $db, 'state'), 'running', 'undisturbed');

# A message is given up while the standby is away: the next one of its key waits for
# that.  The last attempt must not come before the standby is away: then once more.
$primary->safe_psql($db, <<'EOC');
SELECT create_queue('f', target => 'function', redis_key => 'f', on_failure => 'retry', max_attempts => 2,
	retry_delay => '3 s', retry_max_delay => '3 s',
	options => jsonb_build_object('function', $$
		if payload == 'bad' then return {err = 'ERR bad'} end
		redis.call('RPUSH', key, payload)
	$$));
EOC
my $buried = 'SELECT count(*) FROM outbox.dead_letters';
my $tries = 0;
do
{
	$standby->start if $tries++;
	$primary->safe_psql($db, "BEGIN; SELECT outbox_enqueue('f', 'bad', key => 'k'); SELECT outbox_enqueue('f', 'good', key => 'k'); COMMIT");
	wait_for { ask($primary, $db, q{SELECT string_agg(reason, ' ' ORDER BY seq) FROM outbox.deferred WHERE reason <> 'applied'}) =~ /^(retry behind)?$/ };
	$standby->stop('immediate');
} while ($tries < 5 && ask($primary, $db, $buried) == $tries);
eventually { ask($primary, $db, $buried) == $tries } 'a message is given up without the standby';
eventually { status($primary, $db, 'state') eq 'waiting for standby' } 'the next one of its key waits';
is($redis->cmd('LLEN', 'f'), $tries - 1, 'it has not left');
$standby->start;
eventually { $redis->cmd('LLEN', 'f') == $tries } 'it leaves when the standby is back';
eventually { status($primary, $db, 'state') eq 'running' } 'and all goes on';
$primary->safe_psql($db, "SELECT outbox_drop_queue('f', force => true)");

# Without it, what the relay moves waits.
$primary->safe_psql($db, q{SELECT outbox_enqueue('d', 'later', delay => '1 hour')});
$standby->stop('immediate');
$primary->safe_psql($db, $make_due);
eventually { status($primary, $db, 'state') eq 'waiting for standby' } 'a delayed message that is due waits for the standby';
like(status($primary, $db, 'why'), qr{^the synchronous standby has WAL up to [0-9A-F]+/[1-9A-F][0-9A-F]+ and has to have it up to [0-9A-F]+/}, 'how far it is');
is($redis->count('d'), 0, 'it has not left');

# Commits hang; the server is killed, and comes back without its standby.
my $count = $redis->count('q');
my @hanging = map { session($primary, $db) } 1 .. 3;
$hanging[$_]->query_until(qr/begun/, "\\echo begun\nSELECT put('q', 'hangs $_');\n") for 0 .. $#hanging;
eventually { ask($primary, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) == @hanging } 'commits hang';
kill_hard($primary);
my $owners = owners();
$_->{run}->kill_kill for @hanging;
$primary->start;
is($primary->safe_psql($db, q{SELECT count(*) FROM journal WHERE body LIKE 'hangs%'}), scalar @hanging, 'what hung is visible after the restart');
eventually { status($primary, $db, 'state') eq 'waiting for standby' } 'it waits for the standby';
like(status($primary, $db, 'summary'), qr/^waiting for standby since 20\S+ .*no synchronous standby has answered/, 'in one line');
is($redis->count('q'), $count, 'nothing that hung has left');
is(owners(), $owners, 'no cursor was taken over for a run that the standby does not know');
is($redis->count('d'), 0, 'nor has the delayed message');

# The standby is promoted as it is, while the old primary still waits.
promote($standby);
put($standby, $db, 'q', 'on the new primary');
$standby->safe_psql($db, $make_due);
eventually { $redis->count('d') == 1 } 'the delayed message comes from the new primary';
eventually { status($primary, $db, 'state') eq 'fenced' } 'the old primary is fenced, though it has waited';
audit($standby, $db, $redis, ['q'], 200, 'no phantom, nothing lost, nothing twice');
is($redis->count('d'), 1, 'the delayed message came once');

# A standby that never comes, and who would not wait for it.
configure($standby, synchronous_standby_names => 'nobody');
$count = $redis->count('q');
for my $case ([ 'outbox.wait_for_standby' => 'off', 'on' ], [ synchronous_standby_names => '', 'nobody' ])
{
	my ($setting, $go, $wait) = @$case;

	$standby->safe_psql($db, "$local SELECT put('q', 'waits for $setting')");
	eventually { status($standby, $db, 'state') eq 'waiting for standby' } "$setting: a message waits";
	is($redis->count('q'), $count++, "$setting: it has not left");
	configure($standby, $setting => $go);
	eventually { $redis->count('q') == $count } "$setting = '$go': it comes";
	eventually { status($standby, $db, 'state') eq 'running' } "$setting = '$go': nothing is waited for";
	put($standby, $db, 'q', "without waiting, $setting") if $setting eq 'synchronous_standby_names';
	configure($standby, $setting => $wait) if $wait eq 'on';
}
audit($standby, $db, $redis, ['q'], 200, 'after all that');

# A queue that flowed, and waits: it notices that its standby was promoted.
$standby->safe_psql($db, "SELECT outbox_drop_queue('d', force => true)");
$standby->backup('again');
my $third = PostgreSQL::Test::Cluster->new('third');
$third->init_from_backup($standby, 'again', has_streaming => 1);
$third->start;
configure($standby, synchronous_standby_names => 'third');
eventually { ask($standby, $db, 'SELECT sync_state FROM pg_stat_replication') eq 'sync' } 'it has a standby, too';
put($standby, $db, 'q', 'to both');
settle($standby, $db, $redis, 'q');
$third->stop('immediate');
$standby->safe_psql($db, "$local SELECT put('q', 'to one')");
eventually { status($standby, $db, 'state') eq 'waiting for standby' } 'a message waits';
promote($third);
put($third, $db, 'q', 'on the third');
eventually { status($standby, $db, 'state') eq 'fenced' } 'who waited is fenced';
audit($third, $db, $redis, ['q'], 200, 'in the end');

done_testing();
