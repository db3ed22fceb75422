# Copyright (c) 2026, the outbox developers
#
# Promise: with wait_replicas a message is delivered, and may be forgotten, when so many
# replicas have it.  Until then it is kept and status says so; delivery to Redis goes on
# meanwhile, in all queues, and no attempt is counted.  See docs/guarantees.md.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start_primary;
my $replica = $redis->start_replica;
my $node = new_node('main', redis => $redis, conf => <<'EOC');
outbox.retention = 1s
log_min_messages = debug1
EOC
my $db = 'postgres';
install($node, $db, 'q', 'r');

sub wants
{
	my ($replicas, $timeout) = @_;
	my $set = ask($node, $db, 'SELECT count(*) FROM pg_foreign_server') ? 'SET' : 'ADD';
	$node->safe_psql($db, 'CREATE SERVER outbox_default FOREIGN DATA WRAPPER outbox OPTIONS (url '
		  . "'@{[ $redis->url ]}', wait_replicas '$replicas', wait_timeout '$timeout')") if $set eq 'ADD';
	$node->safe_psql($db, "ALTER SERVER outbox_default OPTIONS (SET wait_replicas '$replicas', SET wait_timeout '$timeout')") if $set eq 'SET';
	eventually { status($node, $db, 'state, server') eq 'running|outbox_default' } "$replicas wanted";
	return;
}

sub delivered { return ask($node, $db, q{SELECT string_agg(delivered::text, ' ' ORDER BY queue) FROM outbox.queue_status}); }
sub emptied { my @lines = log_of($node) =~ /outbox has emptied/g; return scalar @lines; }
sub kept
{
	return ask($node, $db, <<'EOC');
SELECT count(*) FROM journal AS j WHERE body ~ '^(third|meanwhile)'
AND (EXISTS (SELECT FROM outbox.staging_1 AS s WHERE s.id = j.id) OR EXISTS (SELECT FROM outbox.staging_2 AS s WHERE s.id = j.id))
EOC
}
sub behind { return status($node, $db, q{replicas_behind || '|' || (replicas_behind_since IS NOT NULL)}); }

# What can't be.
my @wrong = (
	"wait_replicas '-1'" => qr/wait_replicas must be a number from 0 to 100/,
	"wait_replicas 'two'" => qr/wait_replicas must be a number from 0 to 100/,
	"wait_replicas '1', wait_timeout '1h'" => qr/wait_timeout must be a time from 100ms to 60s/,
	"wait_replicas '1', wait_timeout '0'" => qr/wait_timeout must be a time from 100ms to 60s/,
	"wait_for '1'" => qr/invalid option "wait_for"\nHINT:  Options of a server are url,/);
while (my ($options, $error) = splice @wrong, 0, 2)
{
	my (undef, undef, $err) = $node->psql($db, "CREATE SERVER x FOREIGN DATA WRAPPER outbox OPTIONS (url 'redis://localhost', $options)");
	like($err, $error, "not so: $options");
}

# One replica, which has all.
put($node, $db, 'q', 'first');
wants(1, '200ms');
put($node, $db, $_, 'second') for 'q', 'r';
eventually { delivered() eq '2 1' } 'delivered when the replica has it';
is($replica->count('q'), 2, 'it has');
is(behind(), '', 'and nothing is wrong');

# A replica that stands still.
$replica->pause;
put($node, $db, $_, map { "third $_" } 1 .. 50) for 'q', 'r';
eventually { $redis->count('q') == 52 && $redis->count('r') == 51 } 'Redis gets all of it';
eventually { behind() =~ /^1 replica is wanted, 0 have confirmed, since \S.*\|true$/ } 'status says what is wrong';
eventually { ask($node, $db, q{SELECT string_agg(waiting::text, ' ' ORDER BY queue) FROM outbox.queue_status}) eq '50 50' } 'it waits';
is(ask($node, $db, q{SELECT count(*) FROM outbox.messages WHERE state = 'waiting'}), 100, 'outbox.messages says so');
like(status($node, $db, 'summary'), qr/^running: 1 replica is wanted, 0 have confirmed/, 'and the summary');
is(status($node, $db, 'waiting, delivered'), '100|3', 'and the counts');
like(log_of($node), qr/LOG: .*outbox waits for replicas of Redis: 1 replica is wanted, 0 have confirmed\n.*kept in staging until 1 replica has them/, 'and the log');

# Longer than the retention, and than a turn of the tables.  Other answers keep coming:
# each message of this loop is sent while WAIT blocks.
my $waits = $redis->calls('wait');
my $more = 0;
eventually
{
	put($node, $db, 'q', 'meanwhile ' . ++$more);
	wait_for { $redis->count('q') == 52 + $more };
	$redis->calls('wait') > $waits + 15 && $more > 20;
}
'while it is asked again and again, messages are delivered to Redis';
eventually { ask($node, $db, 'SELECT count(*) FROM outbox.staging_2') > 0 } 'the other table takes new rows';
$waits = $redis->calls('wait');
eventually { $redis->calls('wait') > $waits + 25 } 'it is asked for longer than the retention';
is(kept(), 100 + $more, 'nothing of it leaves staging');
is(delivered(), '2 1', 'and nothing of it is delivered yet');
is(ask($node, $db, q{SELECT string_agg(failed::text, ' ') FROM outbox.queue_status}), '0 0', 'no attempt has failed');
is(status($node, $db, 'state'), 'running', 'the relay runs');

# It goes on.
my $before = emptied();
$replica->resume;
eventually { delivered() eq (52 + $more) . ' 51' && behind() eq '' } 'it goes on: all is delivered, and nothing is wrong';
eventually { emptied() > $before } 'and staging is emptied';
like(log_of($node), qr/LOG: .*replicas have again what Redis has/, 'the log says it');

# More replicas than there are.
wants(2, '100ms');
put($node, $db, 'q', 'wanted twice');
eventually { behind() =~ /^2 replicas are wanted, 1 has confirmed, and Redis has 1, since/ } 'more are wanted than there are: it is said';
my $third = $redis->start_replica;
eventually { behind() eq '' && delivered() eq (53 + $more) . ' 51' } 'one more: delivered';

# The other connection is lost, and its next ones, too: that is no trouble of the link.
my $connections = sub { return map { /\bid=(\d+) .*\bname=(\S*)/ ? [ $1, $2 ] : () } split /\n/, $redis->cmd('CLIENT', 'LIST') };
put($node, $db, 'q', 'lost connection');
eventually { grep { $_->[1] eq 'outbox-replicas' } $connections->() } 'it is seen in CLIENT LIST';
my @main = map { $_->[0] } grep { $_->[1] eq 'outbox' } $connections->();
$third->pause;
put($node, $db, 'q', 'while it is cut');
for (1 .. 5)
{
	wait_for { my ($other) = grep { $_->[1] eq 'outbox-replicas' } $connections->(); $other && $redis->cmd('CLIENT', 'KILL', 'ID', $other->[0]) };
}
put($node, $db, 'q', 'after it was cut');
eventually { $redis->last_of('q') eq 'after it was cut' } 'without it messages are delivered to Redis';
$third->resume;
eventually { behind() eq '' && delivered() eq (56 + $more) . ' 51' } 'it comes back';
is_deeply([ map { $_->[0] } grep { $_->[1] eq 'outbox' } $connections->() ], \@main, 'the link has not been cut');

# WAIT is not permitted.
$redis->cmd('ACL', 'SETUSER', 'shop', 'on', '>secret', '~*', '&*', '+@all', '-wait');
$node->safe_psql($db, "CREATE USER MAPPING FOR PUBLIC SERVER outbox_default OPTIONS (user 'shop', password 'secret')");
put($node, $db, 'q', 'not permitted');
eventually { behind() =~ /^asking for them fails: NOPERM .*wait/ } 'not permitted: it is said';
eventually { $redis->last_of('q') eq 'not permitted' } 'and messages are delivered to Redis';
like(log_of($node), qr/WARNING: .*outbox waits for replicas of Redis: asking for them fails: NOPERM/, 'with a WARNING');
like(log_of($node), qr/HINT:  "wait_replicas" needs SET, GETEX and WAIT\./, 'and a hint');
$redis->cmd('ACL', 'SETUSER', 'shop', '+wait');
eventually { behind() eq '' && delivered() eq (57 + $more) . ' 51' } 'permitted: delivered';

# Turned off, with something that no replica has.
$_->pause for $replica, $third;
put($node, $db, 'q', 'turned off');
eventually { behind() =~ /^2 replicas are wanted, 0 have confirmed/ } 'both stand still';
wants(0, '100ms');
eventually { behind() eq '' && delivered() eq (58 + $more) . ' 51' } 'turned off: what Redis has is delivered';
$_->resume for $replica, $third;

audit($node, $db, $redis, [ 'q', 'r' ], 100, 'nothing lost, nothing twice, in order');
done_testing();
