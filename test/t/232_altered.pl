# Copyright (c) 2026, the outbox developers
#
# Promise: a queue gets another name, key in Redis, target or format when nothing of it is
# left, and is refused it before, with what is in the way (I2, I3).  What comes afterwards
# goes to the new place, once, also if the queue comes back to an old one; rights and
# totals go along.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "outbox.retention = 1s\n");
my $db = 'postgres';
install($node, $db);

sub sql { return $node->safe_psql($db, $_[0]); }
sub payloads { my ($key) = @_; return join ' ', map { $_->[1] } $redis->arrived($key); }
sub try_alter
{
	my ($queue, $settings) = @_;
	my ($rc, undef, $err) = $node->psql($db, "SELECT outbox_alter_queue('$queue', settings => '$settings')");
	return $err;
}

sql(q{CREATE ROLE app LOGIN; SELECT outbox_create_queue('q', settings => '{"payload_type": "text", "fields": ["queue"]}'); SELECT outbox_grant('app', 'q')});

# While it flows, messages that wait are in the way, then what is retained.
$redis->pause;
sql(q{SELECT outbox_enqueue('q', 'first')});
like(try_alter('q', '{"redis_key": "k"}'), qr/queue "q" has messages waiting\nDETAIL:  Its name.*\nHINT:  Wait until they are delivered, or give them up with outbox_purge_queue\('q', force => true\)/,
	'not while messages wait');
$redis->resume;
eventually { payloads('q') eq 'first' } 'delivered';
my $message;
eventually {
	$message = try_alter('q', '{"redis_key": "k"}');
	$message !~ /has messages waiting/
} 'it was, and the relay knows';
like($message, qr/has delivered messages that are retained\nDETAIL:.*They would be sent again/, 'nor while delivered ones are retained') if $message ne '';
my $open = session($node, $db);
$open->query_safe(q{BEGIN; SELECT outbox_enqueue('q', 'second')});
like(try_alter('q', '{"name": "n"}'), qr/in use by another transaction/, 'nor while somebody has enqueued and is open');
ok(eval { sql(q{SELECT outbox_enqueue('q', 'third')}); 1 }, 'nobody waits behind it');
$open->query_safe('COMMIT');
$open->quit;
eventually { payloads('q') =~ /second/ && payloads('q') =~ /third/ } 'they come';

# When nothing is left, each is done.  Another queue's traffic empties staging, unless
# somebody looks into it or tries to alter the queue just then.
configure($node, 'outbox.retention' => 0);
sql(q{SELECT create_queue('other')});
sub nothing_is_left
{
	my ($queue) = @_;
	return wait_for {
		my $left = sql(qq{SELECT count(*) FROM (TABLE outbox.staging_1 UNION ALL TABLE outbox.staging_2) AS s
			JOIN outbox.queue AS q ON q.id = s.queue WHERE q.name = '$queue'});
		put($node, $db, 'other', 'passing by') if $left;
		$left eq '0'
	};
}
sub altered
{
	my ($queue, $settings, $name) = @_;
	nothing_is_left($queue);
	return eventually { try_alter($queue, $settings) eq '' } $name;
}
sub total { my ($queue) = @_; return sql("SELECT delivered FROM outbox.queue_status WHERE queue = '$queue'"); }
altered('q', '{"redis_key": "k"}', 'another key');
sql(q{SELECT outbox_enqueue('q', 'at k')});
eventually { payloads('k') eq 'at k' } 'it comes there';
is(scalar(split / /, payloads('q')), 3, 'and nothing more to the old one');
eventually { total('q') eq '4' } 'the total goes on';
altered('q', '{"name": "n"}', 'another name');
sql(q{SET ROLE app; SELECT outbox_enqueue('n', 'as n')});
eventually { payloads('k') eq 'at k as n' } 'the role may enqueue to it under its new name';
like(join(' ', map { @{ $_->[1] } } $redis->entries('k')), qr/queue q .*queue n$/, 'a message has the name of its queue');
altered('n', '{"redis_key": "q"}', 'back at the key that it had');
sql(q{SELECT outbox_enqueue('n', 'back')});
eventually { payloads('q') =~ /back$/ } 'it comes there';
is(scalar(split / /, payloads('q')), 4, 'each once');
altered('n', '{"target": "list", "redis_key": "l"}', 'another target');
sql(q{SELECT outbox_enqueue('n', '"in a list"')});
eventually { ($redis->cmd('LRANGE', 'l', 0, -1)->[0] // '') =~ /"payload": ?"in a list"/ } 'it comes as that wants it';
altered('n', '{"format": "raw"}', 'another format');
sql(q{SELECT outbox_enqueue('n', 'bytes')});
eventually { ($redis->cmd('LRANGE', 'l', 0, -1)->[1] // '') eq 'bytes' } 'it comes so';
is($redis->cmd('LLEN', 'l'), 2, 'once');
eventually { total('n') eq '8' } 'the total is that of all';

# Queues that were made in one transaction are told apart when one of them is renewed.
$node->safe_psql($db, q{BEGIN; SELECT create_queue('one'); SELECT create_queue('two'); COMMIT});
put($node, $db, $_, "to $_") for 'one', 'two';
eventually { $redis->count('one') == 1 && $redis->count('two') == 1 } 'both flow';
eventually { @{ $redis->cmd('KEYS', '{one}:outbox:*') } == 1 } 'with a cursor each';
eventually { $node->psql($db, q{BEGIN; SELECT outbox_drop_queue('one', force => true); SELECT outbox_purge_queue('two', force => true); COMMIT}, on_error_stop => 1) == 0 } 'one is dropped, the other renewed';
eventually { @{ $redis->cmd('KEYS', '{one}:outbox:*') } == 0 } 'the cursor of what was dropped goes';

# Whoever holds outbox.queue so that the relay can't read it: messages enqueued since
# wait, and don't go where the queue was.
altered('n', '{"target": "stream", "redis_key": "s"}', 'a stream again');
sql(q{SELECT outbox_enqueue('n', '"warm"')});
eventually { payloads('s') eq '"warm"' } 'the relay knows';
ok(nothing_is_left('n'), 'nothing is left');
my $pid = relay_pid($node, $db);
kill 'STOP', $pid;
my $writer = session($node, $db);
my $done = $node->psql($db, q{SELECT outbox_purge_queue('n', force => true)}) == 0
  && try_alter('n', '{"redis_key": "t"}') eq '';
$writer->query_safe(q{SELECT outbox_enqueue('n', '"moved"')});
my $holder = session($node, $db);
$holder->query_safe('BEGIN; LOCK TABLE outbox.queue IN ACCESS EXCLUSIVE MODE');
kill 'CONT', $pid;
ok($done, 'altered while the relay looks away');
eventually { status($node, $db, 'why') =~ /outbox.queue is locked/ } 'the relay cannot read its queues';
is(payloads('s'), '"warm"', 'nothing goes to the old place');
$holder->query_safe('ROLLBACK');
$_->quit for $holder, $writer;
eventually { payloads('t') eq '"moved"' } 'it comes to the new one';
is(payloads('s'), '"warm"', 'and never came to the old one');

# Whoever tries again at once asks the relay each time, with staging locked.  Staging is
# emptied between, and then it is done.
sql(q{SELECT outbox_enqueue('n', '"last"')});
eventually { payloads('t') =~ /last/ } 'delivered';
my $tries = 0;
do { put($node, $db, 'other', 'passing by') } while try_alter('n', '{"redis_key": "u"}') ne '' && ++$tries < 1000;
cmp_ok($tries, '<', 1000, 'tried again and again, it is altered');

# A consumer returns a message when the queue is being renamed: nothing was left, and then
# there is something.  One of the two is too late, and the message comes again.
sql(q{SELECT create_queue('c', on_failure => 'retry', retry_delay => '2s', consumer_retry => true); SELECT outbox_enqueue('c', 'returned')});
eventually { payloads('c') eq 'returned' } 'delivered';
my %entry = @{ $redis->cmd('XRANGE', 'c', '-', '+')->[0][1] };
ok(nothing_is_left('c'), 'nothing is left');
$holder = session($node, $db);
$holder->query_safe('BEGIN; LOCK TABLE outbox.queue_total IN SHARE MODE');
my $renaming = fork() // die "fork: $!";
if (!$renaming)
{
	open STDERR, '>', '/dev/null' or POSIX::_exit(1);
	exec 'psql', '-X', '-q', '-o', '/dev/null', '-d', $node->connstr($db), '-c', q{SELECT outbox_alter_queue('c', settings => '{"name": "renamed"}')} or POSIX::_exit(1);
}
my $ended = 0;
eventually {
	$ended ||= waitpid($renaming, WNOHANG) != 0;
	$ended || sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outbox.queue_total'::regclass}) ne '0'
} 'a renaming has found nothing, and waits for somebody';
$redis->cmd('XADD', 'c:retry', '*', %entry, error => 'cannot do it');
eventually { sql(q{SELECT count(*) FROM outbox.returned}) eq '1' } 'the relay records what was returned';
$holder->query_safe('ROLLBACK');
$holder->quit;
waitpid $renaming, 0 unless $ended;
eventually { payloads('c') eq 'returned returned' } 'it comes again';

done_testing();
