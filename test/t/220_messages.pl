# Copyright (c) 2026, the outbox developers
#
# Promise: outbox.messages says where each message is, as the relay last told; a look
# keeps nobody's lock and staging from nothing, in whatever transaction it is; and
# what says why a message was refused is not for pg_monitor (I10).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use OutboxTest;
use OutboxTest::Refusals;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = OutboxTest::Redis->start;
my $node = new_node('main', redis => $redis, conf => "max_prepared_transactions = 50\n");
my $db = 'postgres';
install($node, $db, 'q', 'p', 'blocked');
create_retrying($node, $db, 'r', 'stream');

sub sql { return $node->safe_psql($db, join ';', @_); }

# The states of a queue's messages, in their order.
sub states
{
	my ($queue, $columns) = @_;
	$columns //= q(payload #>> '{}' || ' ' || state);
	my $order = $columns =~ /count|agg/ ? '' : 'ORDER BY seq';
	return ask($node, $db, "SELECT $columns FROM outbox.messages WHERE queue = '$queue' $order") =~ s/\n/, /gr;
}

# The words are those of outbox.queue_status: so many messages have a state.
sub agrees
{
	my ($queue, $wanted) = @_;
	return eventually {
		queue_status($node, $db, $queue, 'waiting, delayed, retrying') eq $wanted
		  && states($queue, join ', ', map { "count(*) FILTER (WHERE state = '$_')" } qw(waiting delayed retrying)) eq $wanted
	} "$queue: outbox.messages and outbox.queue_status agree on $wanted";
}

# Waiting while Redis is away, then delivered; as_of goes on.
configure($node, 'outbox.retention' => '10min');
$redis->stop;
put($node, $db, 'q', 'one', 'two');
is(states('q'), 'one waiting, two waiting', 'while Redis is away');
agrees('q', '2|0|0');
eventually { sql('SELECT count(*) FROM outbox.messages WHERE as_of <= now()') eq '2' } 'as of a time that the relay told';
my $open = session($node, $db);
$open->query_safe(q{BEGIN; SELECT put('q', 'open')});
$redis->start_again;
eventually { states('q') eq 'one delivered, two delivered' } 'delivered, and what others have open is not seen';
like($open->query_safe(q{SELECT string_agg(payload #>> '{}' || ' ' || state, ', ' ORDER BY seq) FROM outbox.messages WHERE queue = 'q'}),
	qr/one delivered, two delivered, open waiting/, 'but by who has it open');
my $as_of = sql('SELECT min(as_of) FROM outbox.messages');
eventually { sql("SELECT min(as_of) > '$as_of' FROM outbox.messages") eq 't' } 'as_of goes on';
$open->query_safe('COMMIT');
$open->quit;
eventually { states('q') eq 'one delivered, two delivered, open delivered' } 'an earlier number that is committed later';

# Delayed, refused, and behind it.
sql(q{SELECT outbox_enqueue('q', 'later', delay => '1 day')});
is(states('q', 'state') =~ s/delivered, //gr, 'delayed', 'delayed');
agrees('q', '0|1|0');
refuse($redis, 'r');
put_keyed_messages('r', 'k', 'first', 'second');
put_keyed_messages('r', 'other', 'third');
sub put_keyed_messages { my ($q, $key, @bodies) = @_; sql(map { "SELECT outbox_enqueue('$q', '$_', key => '$key')" } @bodies); return; }
eventually { states('r') eq 'first retrying, second retrying, third retrying' } 'refused, and behind';
like(states('r', q(concat_ws('|', attempts, last_error, due_at > now(), key))),
	qr/^1\|WRONGTYPE [^|]*\|t\|k, 0\|k, 1\|WRONGTYPE/, 'why, how often, and until when; who is behind another has no time');
agrees('r', '0|0|3');
sql('CREATE ROLE watch IN ROLE pg_monitor');
is(ask($node, $db, q{SET ROLE watch; SELECT state, payload IS NULL AND headers IS NULL AND key IS NULL AND last_error IS NULL
	FROM outbox.messages WHERE queue = 'r' ORDER BY seq}), "retrying|t\nretrying|t\nretrying|t", 'pg_monitor sees that they are there, and no more');
mend($redis, 'r');
let_due($node, $db, $redis);
eventually { states('r') eq 'first delivered, second delivered, third delivered' } 'mended';
# given up: a dead letter, which has a view of its own
sql(q{SELECT outbox_alter_queue('r', on_failure => 'dead_letter')});
refuse($redis, 'r');
put_keyed_messages('r', 'k', 'dead');
eventually { sql(q{SELECT count(*) FROM outbox.dead_letters}) eq '1' } 'given up';
eventually { states('r') eq 'first delivered, second delivered, third delivered' } 'a dead letter is not among the messages';
mend($redis, 'r');
sql('SELECT outbox_replay(id) FROM outbox.dead_letters');
eventually { states('r') =~ /dead delivered$/ } 'replayed, it is';

# A queue that stands still, and is moved out of staging.
$redis->cmd('SET', 'blocked', 'of another type');
put($node, $db, 'blocked', 'still');
eventually { queue_status($node, $db, 'blocked', 'state') eq 'blocked' } 'a queue stands still';
is(states('blocked'), 'still waiting', 'its message waits');

# A transaction that looks, and stays open: staging is emptied all the same, the
# messages stay where they were, and it sees so.
for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	configure($node, 'outbox.retention' => '10min');
	put($node, $db, 'blocked', lc $level);
	my $looks = session($node, $db);
	$looks->query_safe("BEGIN ISOLATION LEVEL $level");
	my $sees = q{SELECT count(*) FROM outbox.messages WHERE queue = 'blocked' AND state = 'waiting'};
	my $n = $level eq 'READ COMMITTED' ? 2 : 3;
	is($looks->query_safe($sees), $n, "$level: what waits");
	is($looks->query_safe(q{SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text ~ 'staging'}), 0, "$level: no lock is left");
	# an old snapshot keeps what was copied in staging, too
	configure($node, 'outbox.retention' => '1s');
	eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) eq $n } "$level: evacuated";
	eventually { sql(q{SELECT pg_relation_size('outbox.staging_1') + pg_relation_size('outbox.staging_2')}) eq '0' } "$level: staging is emptied"
	  if $level eq 'READ COMMITTED';
	is($looks->query_safe($sees), $n, "$level: it still sees them, once");
	$looks->query_safe('COMMIT');
	$looks->quit;
}
eventually { sql(q{SELECT count(*) FROM outbox.deferred WHERE reason = 'evacuated'}) eq '3' } 'they are evacuated';
is(states('blocked'), 'still waiting, read committed waiting, repeatable read waiting', 'and wait, wherever they are');
agrees('blocked', '3|0|0');
$redis->cmd('DEL', 'blocked');
configure($node, 'outbox.retention' => '10min');
eventually { states('blocked', q(string_agg(DISTINCT state, ' '))) eq 'delivered' } 'and delivered';

# Who has staging locked is waited for, and the relay does not wait for a look.
my $locks = session($node, $db);
$locks->query_safe('BEGIN; LOCK TABLE outbox.staging_1, outbox.staging_2 IN ACCESS EXCLUSIVE MODE');
my ($rc, undef, $err) = $node->psql($db, q{SET lock_timeout = '100ms'; SELECT count(*) FROM outbox.messages});
like($err, qr/lock timeout/, 'a look waits as long as the session lets it');
$locks->query_safe('ROLLBACK');
$locks->quit;

# Beside very many open transactions the position is in a table, some seconds later.
sql(map { "BEGIN; SELECT outbox_enqueue('p', 'prepared'); PREPARE TRANSACTION 'p$_'" } 1 .. 45);
put($node, $db, 'p', 'among them');
eventually { states('p') eq 'among them delivered' } 'beside many open transactions';
sql(map { "ROLLBACK PREPARED 'p$_'" } 1 .. 45);

# A copy and a dump.
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($db) ], 'pg_dump');
$node->safe_psql('template1', "CREATE DATABASE copy TEMPLATE $db; CREATE DATABASE restored");
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
my $distinct = q{SELECT string_agg(DISTINCT state, ', ' ORDER BY state) FROM outbox.messages};
eventually { status($node, 'copy', 'state') eq 'held' && status($node, 'restored', 'state') eq 'held' } 'both are held';
is($node->safe_psql('copy', $distinct), 'delayed, held', 'a copy: not what the original has delivered');
is($node->safe_psql('restored', $distinct), 'held', 'a dump');

# Without a relay: what the last one has written.
put($node, $db, 'q', 'last');
eventually { states('q') =~ /last delivered/ } 'the last one';
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
put($node, $db, 'q', 'nobody delivers');
like(states('q'), qr/last delivered, nobody delivers waiting$/, 'without a relay, what the last one has written');
is(states('q', 'count(as_of)'), 0, 'and of no time');

done_testing();
