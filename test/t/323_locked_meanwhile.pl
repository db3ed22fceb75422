# Copyright (c) 2026, the outbox developers
#
# Promise: if outbox.deferred gets locked while a plan is being made, the messages that
# lie there are not left out (I2): their queue waits for the lock, and only that queue.

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
install($node, $db, 'p', 'other');

sub sql { return $node->safe_psql($db, $_[0]); }

# CPU time of a process, in units of 10 ms.
sub used { my @stat = split / /, (slurp_file("/proc/$_[0]/stat") =~ s/.*\) //sr); return $stat[11] + $stat[12]; }

my $many = 400_000;
sql(q{SELECT outbox_pause_queue('p')});
sql(q{SELECT outbox_enqueue('p', '"aside"') FROM generate_series(1, 300)});
configure($node, 'outbox.retention' => '1s');
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) == 300 } 'what waits is copied aside';
eventually { sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) == 0 } 'and leaves staging';
configure($node, 'outbox.retention' => '10min');
sql("SELECT count(outbox_enqueue('p', i::text)) FROM generate_series(1, $many) AS i");

# Locked while the relay looks for the rows of the queue.
my $session = session($node, $db);
my $relay = relay_pid($node, $db);
my $before = used($relay);
sql(q{SELECT outbox_resume_queue('p')});
eventually { used($relay) > $before + 3 || $redis->count('p') > 0 } 'the relay looks for them';
kill STOP => $relay;
$session->{stdin} .= "BEGIN; LOCK TABLE outbox.deferred IN ACCESS EXCLUSIVE MODE;\n";
eventually
{
	$session->{run}->pump_nb;
	sql(q{SELECT count(*) FROM pg_locks WHERE relation = 'outbox.deferred'::regclass AND mode = 'AccessExclusiveLock'}) == 1
}
'somebody has the table locked, or is about to';
kill CONT => $relay;
put($node, $db, 'other', 'goes on');
settle($node, $db, $redis, 'other');
$session->query_safe('ROLLBACK');
eventually { $redis->count('p') >= $many + 300 } 'all messages arrive';
is($redis->count('p'), $many + 300, 'and none twice');
is((split /,/, join ',', map { my %f = @{ $_->[1] }; $f{payload} } @{ $redis->cmd('XRANGE', 'p', '-', '+', 'COUNT', 1) })[0],
	'"aside"', 'what lay aside is the first');
$session->quit;
done_testing();
