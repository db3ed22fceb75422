# Copyright (c) 2026, the outbox developers
#
# Promise: what Redis loses comes again, and nothing else (I2, I3), also if its
# queue stands still meanwhile and staging has to be emptied: a message that had
# gone through at its second attempt, one that was given up, one that had simply
# been delivered.  Staging is emptied of all of them before the queue goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use Test::More;

my $redis = OutboxTest::Redis->start(appendonly => 'yes', appendfsync => 'no');
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1h\n");
my $db = 'postgres';
install($node, $db);
sub sql { my ($query) = @_; return $node->safe_psql($db, $query); }
sql(<<'EOC');
SELECT create_queue('retry', on_failure => 'retry', max_attempts => 1000, retry_delay => '50 ms', retry_backoff => 1);
SELECT create_queue('letters', on_failure => 'dead_letter');
EOC

sub spoil
{
	my ($key) = @_;
	$redis->cmd('MULTI');
	$redis->cmd('RENAME', $key, "$key:aside");
	$redis->cmd('SET', $key, 'of another type');
	$redis->cmd('EXEC');
	return;
}

sub mend
{
	my ($key) = @_;
	$redis->cmd('MULTI');
	$redis->cmd('DEL', $key);
	$redis->cmd('RENAME', "$key:aside", $key);
	$redis->cmd('EXEC');
	return;
}

# Until all that isn't delivered has left staging.  A new relay looks at once
# whether queues stand still; then it takes the retention, and some seconds.
# What Redis has lost must not be older than the retention before it is seen.
sub empty_staging
{
	my $relay = relay_pid($node, $db);
	eventually { sql(q{SELECT bool_and(paused_at < now() - interval '1 s') FROM outbox.queue WHERE paused_at IS NOT NULL}) eq 't' } 'a queue stands still';
	sql("SELECT pg_terminate_backend($relay)");
	another_relay($node, $db, $relay, 'another relay');
	configure($node, 'outbox.retention' => '1s');
	eventually { sql('SELECT (SELECT count(*) FROM outbox.staging_1) + (SELECT count(*) FROM outbox.staging_2)') == 0 } 'staging is emptied';
	return;
}

my @queues = qw(retry letters);
sql("SELECT outbox_enqueue('$_', 'before')") for @queues;
eventually { $redis->count($_) == 1 } "$_ flows" for @queues;

# What will be refused has left staging already.
sql("SELECT outbox_pause_queue('retry')");
sql("SELECT outbox_enqueue('retry', 'evacuated')");
empty_staging();
is(sql('SELECT string_agg(reason, chr(32)) FROM outbox.deferred'), 'evacuated', 'it is elsewhere');
configure($node, 'outbox.retention' => '1h');
my $before = $redis->written;
spoil($_) for @queues;
sql("SELECT outbox_resume_queue('retry')");
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'retry'}) == 1 } 'it is refused';
sql("SELECT outbox_enqueue('letters', 'given up')");
eventually { sql('SELECT count(*) FROM outbox.dead_letters') == 1 } 'another one is given up';
mend($_) for @queues;
eventually { $redis->count('retry') == 2 } 'the first goes through';
sql("SELECT outbox_enqueue('$_', 'delivered')") for @queues;
eventually { $redis->count('retry') == 3 && $redis->count('letters') == 2 } 'later ones are delivered at once';
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'applied'}) == 1 } 'what was refused is kept for a while';

sql("SELECT outbox_pause_queue('$_')") for @queues;
$redis->come_back_as_of($before);
is($redis->count($_), 1, "$_: Redis has lost it all") for @queues;
empty_staging();
is(sql('SELECT string_agg(reason, chr(32)) FROM outbox.deferred'), 'evacuated evacuated evacuated', 'three messages wait, the dead letter is none of them');

sql("SELECT outbox_resume_queue('$_')") for @queues;
eventually { $redis->count('retry') == 3 } 'the queue goes on with all that was lost';
eventually { $redis->count('letters') == 2 } 'so does the other one';

# Reading the cursors again brings nothing else.
$redis->drop_clients;
sql("SELECT outbox_enqueue('$_', 'last')") for @queues;
for my $queue (@queues)
{
	eventually { $redis->last_of($queue) eq 'last' } "$queue goes on";
}
is(join(' ', map { $_->[1] } $redis->arrived('retry')), 'before evacuated delivered last', 'each once, in order');
is(join(' ', map { $_->[1] } $redis->arrived('letters')), 'before delivered last', 'but for the dead letter');
eventually { sql('SELECT count(*) FROM outbox.deferred') == 0 } 'nothing stays deferred';
is($redis->count('letters'), 3, 'the dead letter has not come');
is(sql('SELECT count(*) FROM outbox.dead_letters'), 1, 'it is a dead letter still');

done_testing();
