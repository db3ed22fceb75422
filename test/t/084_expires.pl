# Copyright (c) 2026, the outbox developers
#
# Promise: a message that is older than its queue's expires_after when its turn
# comes isn't sent but is a dead letter, wherever it has waited and whatever the
# policy; younger ones go.  Replaying it sends it.

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
my @policies = ('block', 'retry', 'dead_letter');

sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { return join ' ', map { $_->[1] } $redis->arrived($_[0]); }
sub break_it { return $redis->cmd('SET', $_[0], 'of another type'); }
sub mend_it { return $redis->cmd('DEL', $_[0]); }

# Dead letters of a queue, and why they are.
sub letters
{
	my ($queue) = @_;
	return ask($node, $db, "SELECT string_agg(payload #>> '{}' || ' ' || reason, ', ' ORDER BY payload #>> '{}')"
		  . " FROM outbox.dead_letters WHERE queue = '$queue'");
}

# Messages get old without anybody waiting for it: those with a payload like
# this, wherever they wait.
sub get_old { my ($payload) = @_; return run_sql($node, $db, '084_get_old.sql', payload => $payload); }

# Queues in which messages wait, each in its own way.  They get an
# expires_after that the old ones have reached and the young ones are far from.
my $limit = '1 h';
my (@paused, @away);
for my $policy (@policies)
{
	push @paused, "paused $policy";
	push @away, "away $policy";
}
sql("SELECT create_queue('$_', on_failure => '" . s/.* //r . "',"
	  . " retry_delay => '200 ms', retry_backoff => 1, max_attempts => 1000)")
  for @paused, @away, 'refused block', 'refused retry';

# Paused; kept by a refusal: of itself, or of one before it.
for my $queue (@paused)
{
	sql("SELECT outbox_pause_queue('$queue'); SELECT outbox_enqueue('$queue', 'old')");
}
break_it("refused $_") for 'block', 'retry';
sql("SELECT outbox_enqueue('refused $_', 'old', key => 'k')") for 'block', 'retry';
sql("SELECT outbox_enqueue('refused $_', 'old behind', key => 'k')") for 'block', 'retry';
eventually {
	ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')") eq '2'
} 'refused, and behind';
eventually {
	ask($node, $db, "SELECT state FROM outbox.queue_status WHERE queue = 'refused block'") eq 'blocked'
} 'blocked';

get_old('old%');
sql("SELECT outbox_alter_queue('$_', expires_after => '$limit')") for @paused, 'refused block', 'refused retry';
for my $queue (@paused)
{
	sql("SELECT outbox_enqueue('$queue', 'young'); SELECT outbox_resume_queue('$queue')");
	eventually { payloads($queue) eq 'young' } "$queue: the young one goes";
	is(letters($queue), 'old expired', "$queue: the old one doesn't");
}

for my $policy ('block', 'retry')
{
	my $queue = "refused $policy";
	eventually { letters($queue) eq 'old expired, old behind expired' } "$queue: it expires, and so does what it held up";
	is(sql("SELECT history->-1->>'reason', history->0->>'reason' FROM outbox.dead_letters"
			  . " WHERE queue = '$queue' AND payload #>> '{}' = 'old'"),
		$policy eq 'retry' ? 'expired|refused' : 'expired|expired', "$queue: the history");
	mend_it($queue);
	sql("SELECT outbox_enqueue('$queue', 'young', key => 'k')");
	eventually { payloads($queue) eq 'young' } "$queue: the young one goes";
}

# A young one behind an old one is not expired with it.
break_it('q');
sql("SELECT outbox_alter_queue('q', on_failure => 'retry', retry_delay => '50 ms', retry_backoff => 1,"
	  . " max_attempts => 1000)");
sql("SELECT outbox_enqueue('q', 'old', key => 'k')");
sql("SELECT outbox_enqueue('$_', 'old')") for @away;
eventually { payloads($_) eq 'old' } "$_ flows" for @away;
$redis->stop_saved;
sql("SELECT outbox_enqueue('$_', 'older')") for @away;
get_old('older');
sql("SELECT outbox_alter_queue('$_', expires_after => '$limit')") for @away;
sql("SELECT outbox_enqueue('$_', 'young')") for @away;
sql("SELECT outbox_enqueue('q', 'young', key => 'k')");
$redis->start_again;
for my $queue (@away)
{
	eventually { payloads($queue) eq 'old young' } "$queue: after an outage the young one goes";
	is(letters($queue), 'older expired', "$queue: the old one doesn't");
}
eventually {
	ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')") eq '2'
} 'a young one behind an old one';
get_old('old');
sql("SELECT outbox_alter_queue('q', expires_after => '$limit')");
eventually { letters('q') eq 'old expired' } 'the old one expires';
mend_it('q');
eventually { payloads('q') eq 'young' } 'the young one goes';

# An old one behind a young one isn't taken along.
sql("SELECT create_queue('f', on_failure => 'retry', retry_delay => '200 ms', retry_backoff => 1,"
	  . " max_attempts => 1000, expires_after => '$limit')");
break_it('f');
sql("SELECT outbox_enqueue('f', 'first', key => 'k'), outbox_enqueue('f', 'second', key => 'k')");
eventually { ask($node, $db, "SELECT count(*) FROM outbox.deferred WHERE reason IN ('retry', 'behind')") eq '2' } 'one behind another';
get_old('second');
mend_it('f');
eventually { letters('f') eq 'second expired' } 'the old one expires';
is(payloads('f'), 'first', 'the young one goes, without it');

# Its age begins when it is due, and when it is replayed.
sql("SELECT outbox_alter_queue('q', expires_after => '1 h')");
my $id = sql("SELECT outbox_enqueue('q', 'delayed', delay => '1 day')");
sql("UPDATE outbox.deferred SET due_at = now(), enqueued_at = now() - interval '2 h' WHERE id = '$id'");
eventually { payloads('q') eq 'young delayed' } 'what was delayed for long is not old';
sql("SELECT outbox_replay(id) FROM outbox.dead_letters WHERE queue = 'q'");
eventually { payloads('q') eq 'young delayed old' } 'what has expired and is replayed goes';
sql("SELECT outbox_replay_queue('$_')") for @paused;
eventually { payloads($_) eq 'young old' } "$_: replayed" for @paused;
for my $queue (@paused)
{
	eventually {
		ask($node, $db, "SELECT delivered, failed, dead_lettered, expired, dead_letters"
			  . " FROM outbox.queue_status WHERE queue = '$queue'") eq '2|0|1|1|0'
	} "$queue: counted as expired, not as failed";
}

# None of it comes back.
my $relay = relay_pid($node, $db);
kill 'KILL', $relay;
eventually { my $new = relay_pid($node, $db); $new && $new ne $relay } 'another relay';
eventually { status($node, $db, 'state') eq 'running' } 'it runs';
sql("SELECT outbox_enqueue('$_', 'last')") for @paused, @away;
eventually { payloads($_) eq 'young old last' } "$_: nothing has come back" for @paused;
eventually { payloads($_) eq 'old young last' } "$_: nothing has come back" for @away;

done_testing();
